"""Spoken digits as frames of raw samples."""

import os

import numpy as np

from keras_seqcredit.checks import check_integer
from keras_seqcredit.datasets.files import checked_file

SHA256 = "393657c727d5f4da97a9ca7abf19c024e5cfb67bdfc6c0a75868bc309214ff57"
SAMPLE_RATE = 8000


def spoken_digits(
    path: str | os.PathLike[str],
    frame_size: int = 200,
    max_frames: int | None = 40,
) -> tuple[
    tuple[dict[str, np.ndarray], np.ndarray],
    tuple[dict[str, np.ndarray], np.ndarray],
]:
    """Loads the Free Spoken Digit Dataset as sequences of frames.

    There are 3,000 recordings of six speakers at 8 kHz, cut into
    non-overlapping frames and padded with zeros. An incomplete last frame is
    dropped.

    Args:
        path: The file `fsdd_8khz.npz`, or its folder. The file holds one int16
            array `samples` of all recordings, with their `offsets`, and `digit`
            and `recording` of each.
        frame_size: Positive integer, number of samples per frame. Defaults to
            `200`, 25 milliseconds.
        max_frames: Positive integer, or `None` for the length of the longest
            recording. Longer recordings are truncated. Defaults to `40`, one
            second: 99 % of the recordings are shorter.

    Returns:
        Tuple `(x_train, y_train), (x_test, y_test)`, 2,700 recordings and 300:

        - `x_train`, `x_test`: dictionaries, as `ZForcing` takes them, with
            `"sequences"`, float32 `(recordings, frames, frame_size)` in
            `[-1, 1)`, and `"mask"`, bool `(recordings, frames)`.
        - `y_train`, `y_test`: int32 `(recordings,)`, the digits.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file has the wrong SHA-256, or an argument is not a
            positive integer.

    Example:

    ```python
    from keras_seqcredit import datasets


    def speech(data_dir):
        (x_train, y_train), _ = datasets.spoken_digits(data_dir)
        assert x_train["sequences"].shape == (2700, 40, 200)
        return x_train
    ```

    References:
        - Jackson et al., "Free Spoken Digit Dataset",
          doi:10.5281/zenodo.1342401, CC BY-SA 4.0. This is its own split: the
          first five recordings of each digit and speaker form the test set.
    """
    frame_size = check_integer("frame_size", frame_size)
    max_frames = check_integer("max_frames", max_frames, optional=True)
    file = checked_file(path, "fsdd_8khz.npz", SHA256)
    with np.load(file, allow_pickle=False) as arrays:
        samples, offsets = arrays["samples"], arrays["offsets"]
        digits, recording = arrays["digit"], arrays["recording"]
    lengths = np.diff(offsets) // frame_size
    if max_frames is not None:
        lengths = np.minimum(lengths, max_frames)
    frames = int(lengths.max())
    mask = np.arange(frames) < lengths[:, None]
    sequences = np.zeros((len(lengths), frames, frame_size), "float32")
    for row, start, length in zip(sequences, offsets, lengths, strict=False):
        cut = samples[start : start + length * frame_size]
        row[:length] = cut.reshape(length, frame_size) / np.float32(32768)
    test = recording < 5
    (x_train, y_train), (x_test, y_test) = (
        (
            {"sequences": sequences[part], "mask": mask[part]},
            digits[part].astype("int32"),
        )
        for part in (~test, test)
    )
    return (x_train, y_train), (x_test, y_test)
