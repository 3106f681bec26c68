"""Handwritten characters as sequences of pen points."""

import math
import os
from collections.abc import Sequence
from numbers import Real

import numpy as np

from keras_seqcredit.checks import check_integer
from keras_seqcredit.datasets.files import checked_file

SHA256 = "e9b1edb91245174b6bcb83ce5e9cc92395a9a91811ce9337f82d9b64c6b8d5bd"
TEST_DRAWERS = (17, 18, 19, 20)


def pen_strokes(
    path: str | os.PathLike[str],
    alphabets: Sequence[str] | None = None,
    max_points: int | None = 40,
    spacing: float = 5.0,
) -> tuple[
    tuple[dict[str, np.ndarray], np.ndarray],
    tuple[dict[str, np.ndarray], np.ndarray],
]:
    """Loads drawings of characters from the Omniglot dataset as pen points.

    There are 4,840 pen recordings: 242 characters of eight alphabets, each
    drawn once by 20 people. Points are placed at equal distances along each
    stroke.

    A point is `(dx, dy, pen)`: the offset from the previous point, with y
    pointing up, and 1 where a stroke ends, so that the pen is lifted after it,
    else 0. The first offset is from the center of the drawing's bounding box.
    All offsets are divided by one number, so that those of the training set
    have a mean square of 1.

    Args:
        path: The file `omniglot_pen_raw.npz`, or its folder. The file holds one
            array `points` of all recordings, with their `offsets`, and
            `alphabet`, `character` and `drawer` of each.
        alphabets: Sequence of names among `"Balinese"`, `"Early_Aramaic"`,
            `"Greek"`, `"Japanese_(katakana)"`, `"Korean"`, `"Latin"`,
            `"Sanskrit"` and `"Tagalog"`. Defaults to `None`, all of them in
            this order.
        max_points: Integer of at least 2, number of points per drawing, or
            `None` for no limit. Longer drawings have points further apart; a
            drawing with too many strokes is truncated. Defaults to `40`.
        spacing: Positive float, the distance between points along a stroke, in
            pixels of a 105 x 105 drawing. Defaults to `5.0`.

    Returns:
        Tuple `(x_train, y_train), (x_test, y_test)`. Drawers 17 to 20 of each
        alphabet form the test set.

        - `x_train`, `x_test`: dictionaries, as sequence models take them, with
            `"sequences"`, float32 `(drawings, max_points, 3)`, and `"mask"`,
            bool `(drawings, max_points)`. Padding is 0.
        - `y_train`, `y_test`: int32 `(drawings,)`, the classes: characters,
          numbered from 0 in the order of `alphabets` and, within an alphabet,
          in its own order. In `"Latin"`, they are the letters a to z.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file has the wrong SHA-256, or an argument has an
            invalid value.

    Example:

    ```python
    from keras_seqcredit import datasets


    def letters(data_dir):
        (x_train, y_train), _ = datasets.pen_strokes(data_dir, ["Latin"])
        assert x_train["sequences"].shape == (416, 40, 3)
        assert y_train.max() == 25
        return x_train
    ```

    References:
        - Lake, Salakhutdinov and Tenenbaum, "Human-Level Concept Learning
          Through Probabilistic Program Induction", Science 350(6266), 2015.
    """
    check_integer("max_points", max_points, minimum=2, optional=True)
    if not (isinstance(spacing, Real) and 0 < spacing < math.inf):
        raise ValueError(
            "Expected `spacing` to be a positive number. "
            f"Received: spacing={spacing!r}"
        )
    file = checked_file(path, "omniglot_pen_raw.npz", SHA256)
    with np.load(file, allow_pickle=False) as archive:
        arrays = dict(archive)
    chosen, labels = _classes(arrays, alphabets)
    points, starts = arrays["points"], arrays["offsets"]
    drawings = [
        _drawing(points[start:end], arrays["scale"], max_points, spacing)
        for start, end in zip(starts[chosen], starts[chosen + 1], strict=True)
    ]
    lengths = np.array([len(drawing) for drawing in drawings])
    width = lengths.max() if max_points is None else max_points
    mask = np.arange(width) < lengths[:, None]
    sequences = np.zeros((*mask.shape, 3), "float32")
    sequences[mask] = np.concatenate(drawings)
    test = np.isin(arrays["drawer"][chosen], TEST_DRAWERS)
    ways = sequences[~test][mask[~test], :2]
    sequences[..., :2] /= np.sqrt(np.mean(ways**2))
    (x_train, y_train), (x_test, y_test) = (
        ({"sequences": sequences[part], "mask": mask[part]}, labels[part])
        for part in (~test, test)
    )
    return (x_train, y_train), (x_test, y_test)


def _classes(arrays, alphabets):
    """The numbers of the drawings of these alphabets, and their classes."""
    names = arrays["alphabet_names"].tolist()
    alphabets = names if alphabets is None else list(alphabets)
    if not alphabets or set(alphabets) - set(names):
        raise ValueError(
            f"Expected `alphabets` to be None or some of {names}. "
            f"Received: alphabets={alphabets!r}"
        )
    index = [names.index(name) for name in alphabets]
    alphabet, character = arrays["alphabet"], arrays["character"]
    chosen = np.flatnonzero(np.isin(alphabet, index))
    keys = [
        (index.index(a), c)
        for a, c in zip(alphabet[chosen], character[chosen], strict=True)
    ]
    _, classes = np.unique(keys, axis=0, return_inverse=True)
    return chosen, classes.astype("int32")


def _drawing(recording, scale, max_points, spacing):
    """Points `(dx, dy, pen)`, in pixels, equally spaced within a stroke."""
    strokes = np.split(
        np.cumsum(recording[:, :2] * scale, axis=0),
        np.flatnonzero(recording[:, 2])[:-1] + 1,
    )
    lengths = [_lengths(stroke) for stroke in strokes]
    if max_points is not None:
        # A stroke has fewer than `length / spacing + 2` points.
        room = max(max_points - 2 * len(strokes), 1)
        spacing = max(spacing, sum(x[-1] for x in lengths) / room)
    strokes = [
        _resampled(stroke, x, 1 + math.ceil(x[-1] / spacing))
        for stroke, x in zip(strokes, lengths, strict=True)
    ]
    points = np.concatenate(strokes)[:max_points]
    ends = np.zeros(len(points))
    ends[[min(n, len(points)) - 1 for n in np.cumsum([*map(len, strokes)])]] = 1
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    return np.c_[np.diff(points, axis=0, prepend=middle[None]), ends]


def _lengths(stroke):
    """The length of a stroke up to each of its points."""
    steps = np.linalg.norm(np.diff(stroke, axis=0), axis=1)
    return np.concatenate([[0], np.cumsum(steps)])


def _resampled(stroke, lengths, num_points):
    at = np.linspace(0, lengths[-1], num_points)
    return np.stack([np.interp(at, lengths, x) for x in stroke.T], axis=1)
