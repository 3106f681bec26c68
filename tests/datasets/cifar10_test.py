import hashlib
import importlib

import keras
import numpy as np
import pytest

from keras_seqcredit import datasets

# The module: the function has the same name.
module = importlib.import_module("keras_seqcredit.datasets.cifar10")


def arrays(num):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (num, 32, 32, 3), dtype="uint8")
    return x, rng.integers(0, 10, (num, 1), dtype="uint8")


def test_reads_a_file_or_its_folder(tmp_path, monkeypatch):
    x_train, y_train = arrays(3)
    path = tmp_path / "cifar10_train4000.npz"
    np.savez(path, x_train=x_train, y_train=y_train)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(module, "SHA256", digest)
    for name in (path, str(path), tmp_path):
        x, y = datasets.cifar10(name)
        np.testing.assert_array_equal(x, x_train)
        np.testing.assert_array_equal(y, y_train[:, 0])
        assert y.dtype == np.int32


def test_default_is_the_loader_of_keras(monkeypatch):
    train = arrays(4)
    monkeypatch.setattr(
        keras.datasets.cifar10, "load_data", lambda: (train, None)
    )
    x, y = datasets.cifar10()
    assert (x.shape, y.shape) == ((4, 32, 32, 3), (4,))


def test_another_file_is_refused(tmp_path):
    (tmp_path / "cifar10_train4000.npz").write_bytes(b"something else")
    with pytest.raises(ValueError, match="SHA-256 33475.* Received: .*SHA-256"):
        datasets.cifar10(tmp_path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file '.*4000\.npz'"):
        datasets.cifar10(tmp_path)
