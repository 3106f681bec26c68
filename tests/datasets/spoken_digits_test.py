import hashlib
import importlib

import numpy as np
import pytest

from keras_seqcredit import datasets

# The module: the function has the same name.
module = importlib.import_module("keras_seqcredit.datasets.spoken_digits")

LENGTHS = [7, 12, 3, 9]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = tmp_path / "fsdd_8khz.npz"
    np.savez(
        path,
        samples=np.arange(sum(LENGTHS), dtype="int16"),
        offsets=np.cumsum([0, *LENGTHS]),
        digit=np.array([1, 2, 3, 4], "uint8"),
        recording=np.array([0, 5, 7, 4], "uint8"),
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(module, "SHA256", digest)
    return tmp_path


def test_frames_are_the_samples_in_order(folder):
    (x_train, y_train), (x_test, y_test) = datasets.spoken_digits(
        folder, frame_size=2, max_frames=None
    )
    assert x_train["sequences"].shape == (2, 6, 2)
    assert x_train["sequences"].dtype == "float32"
    np.testing.assert_array_equal(y_train, [2, 3])
    np.testing.assert_array_equal(y_test, [1, 4])
    np.testing.assert_array_equal(x_test["mask"].sum(axis=1), [3, 4])
    np.testing.assert_array_equal(x_train["mask"][1], [1, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(
        x_test["sequences"][1, :4].ravel() * 32768, 22 + np.arange(8)
    )
    for x in (x_train, x_test):
        assert (x["sequences"][~x["mask"]] == 0).all()


def test_long_recordings_are_cut(folder):
    (x_train, _), _ = datasets.spoken_digits(folder, 2, max_frames=4)
    assert x_train["sequences"].shape == (2, 4, 2)
    np.testing.assert_array_equal(x_train["mask"].sum(axis=1), [4, 1])


def test_wrong_arguments_are_refused(folder):
    with pytest.raises(ValueError, match="Received: frame_size=0"):
        datasets.spoken_digits(folder, frame_size=0)
    with pytest.raises(ValueError, match="Received: max_frames=-1"):
        datasets.spoken_digits(folder, max_frames=-1)
    with pytest.raises(FileNotFoundError, match=r"no file '.*fsdd_8khz\.npz'"):
        datasets.spoken_digits(folder / "none" / "fsdd_8khz.npz")
