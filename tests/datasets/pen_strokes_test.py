import hashlib
import importlib

import numpy as np
import pytest

from keras_seqcredit import datasets

# The module: the function has the same name.
module = importlib.import_module("keras_seqcredit.datasets.pen_strokes")

# An L of two strokes, in pixels: down from (10, 50) to (10, 20), with a halt on
# the way, then from (10, 20) to (30, 20).
BIG = [[10, 50, 0], [0, -24, 0], [0, 0, 0], [0, -6, 1], [0, 0, 0], [20, 0, 1]]
# A dot and a line up.
SMALL = [[7, 7, 1], [2, 0, 0], [0, 9, 1]]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    recordings = 2 * [BIG, SMALL, BIG, SMALL]
    path = tmp_path / "omniglot_pen_raw.npz"
    np.savez(
        path,
        points=np.concatenate(recordings).astype("int16") * [256, 256, 1],
        offsets=np.cumsum([0, *map(len, recordings)]),
        scale=np.array(1 / 256),
        alphabet=np.array([0, 0, 0, 0, 1, 1, 2, 2], "uint8"),
        alphabet_names=np.array(["Ogham", "Runes", "Tifinagh"]),
        character=np.array([3, 1, 3, 1, 2, 2, 5, 5], "uint8"),
        drawer=np.array([1, 2, 17, 16, 16, 20, 3, 18], "uint8"),
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(module, "SHA256", digest)
    return tmp_path


def lines(sequence, mask):
    """The points of each stroke, with the same mean square of offsets."""
    points = np.cumsum(sequence[mask, :2], axis=0)
    ends = np.flatnonzero(sequence[mask, 2])
    assert ends[-1] == len(points) - 1
    return np.split(points, ends[:-1] + 1)


def test_points_are_at_equal_distances(folder):
    (x, _), _ = datasets.pen_strokes(folder, max_points=8, spacing=10)
    assert x["sequences"].shape == (5, 8, 3)
    assert x["sequences"].dtype == "float32"
    assert x["mask"].dtype == "bool"
    np.testing.assert_array_equal(x["mask"].sum(axis=1), [7, 3, 3, 7, 7])
    assert (x["sequences"][~x["mask"]] == 0).all()
    offsets = x["sequences"][x["mask"], :2]
    assert np.mean(offsets**2) == pytest.approx(1, rel=1e-5)

    down, right = lines(x["sequences"][0], x["mask"][0])
    unit = right[1, 0] - right[0, 0]
    down, right = down / unit, right / unit
    # In tens of pixels from the middle, (20, 35).
    np.testing.assert_allclose(
        down, [[-1, 1.5], [-1, 0.5], [-1, -0.5], [-1, -1.5]], rtol=1e-5
    )
    np.testing.assert_allclose(
        right, [[-1, -1.5], [0, -1.5], [1, -1.5]], rtol=1e-5, atol=1e-6
    )
    dot, line = lines(x["sequences"][1], x["mask"][1])
    np.testing.assert_allclose(dot / unit, [[-0.1, -0.45]], rtol=1e-5)
    np.testing.assert_allclose(
        line / unit, [[0.1, -0.45], [0.1, 0.45]], rtol=1e-5
    )


def test_long_drawings_have_points_further_apart(folder):
    (x, _), _ = datasets.pen_strokes(folder, ["Ogham"], max_points=6)
    down, right = lines(x["sequences"][0], x["mask"][0])
    assert (len(down), len(right)) == (3, 2)
    # All of the shape is there.
    size = np.ptp(np.concatenate([down, right]), axis=0)
    assert size[1] / size[0] == pytest.approx(1.5, rel=1e-5)
    # Two strokes do not fit into three points.
    (x, _), _ = datasets.pen_strokes(folder, ["Ogham"], max_points=3)
    down, right = lines(x["sequences"][0], x["mask"][0])
    assert (len(down), len(right)) == (2, 1)
    (x, _), _ = datasets.pen_strokes(folder, max_points=None, spacing=3)
    assert x["sequences"].shape[1] == 11 + 8


def test_classes_and_drawers(folder):
    (_, y_train), (x_test, y_test) = datasets.pen_strokes(folder)
    assert y_train.dtype == np.int32
    np.testing.assert_array_equal(y_train, [1, 0, 0, 2, 3])
    np.testing.assert_array_equal(y_test, [1, 2, 3])
    np.testing.assert_array_equal(
        x_test["sequences"][..., 2].sum(axis=1), [2, 2, 2]
    )
    (x, y_train), (_, y_test) = datasets.pen_strokes(folder, ["Runes", "Ogham"])
    np.testing.assert_array_equal(y_train, [2, 1, 1, 0])
    np.testing.assert_array_equal(y_test, [2, 0])
    assert x["sequences"].shape == (4, 40, 3)


def test_wrong_arguments_are_refused(folder):
    with pytest.raises(ValueError, match="Received: max_points=1"):
        datasets.pen_strokes(folder, max_points=1)
    with pytest.raises(ValueError, match="Received: spacing=0"):
        datasets.pen_strokes(folder, spacing=0)
    with pytest.raises(ValueError, match=r"'Ogham', .*Received: .*'Latin'"):
        datasets.pen_strokes(folder, ["Latin"])
    (folder / "omniglot_pen_raw.npz").write_bytes(b"something else")
    with pytest.raises(ValueError, match="with SHA-256"):
        datasets.pen_strokes(folder)
