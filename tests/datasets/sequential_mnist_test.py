import hashlib
import importlib

import keras
import numpy as np
import pytest

from keras_seqcredit import datasets

# The module: the function has the same name.
module = importlib.import_module("keras_seqcredit.datasets.sequential_mnist")


@pytest.fixture
def small_mnist():
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (5, 28, 28), dtype="uint8"),
        "y_train": rng.integers(0, 10, 5, dtype="uint8"),
        "x_test": rng.integers(0, 256, (3, 28, 28), dtype="uint8"),
        "y_test": rng.integers(0, 10, 3, dtype="uint8"),
    }


@pytest.fixture
def mnist_file(tmp_path, small_mnist, monkeypatch):
    path = tmp_path / "mnist.npz"
    np.savez(path, **small_mnist)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(module, "SHA256", digest)
    return path


def test_reads_a_file_or_its_folder(mnist_file, small_mnist):
    for path in (mnist_file, str(mnist_file), mnist_file.parent):
        (x_train, y_train), (x_test, y_test) = datasets.sequential_mnist(
            path=path
        )
        assert (x_train.shape, x_train.dtype) == ((5, 784, 1), np.float32)
        assert (x_test.shape, x_test.dtype) == ((3, 784, 1), np.float32)
        assert y_train.dtype == y_test.dtype == np.int32
        np.testing.assert_array_equal(y_train, small_mnist["y_train"])
        np.testing.assert_allclose(
            x_test, small_mnist["x_test"].reshape(3, 784, 1) / 255, rtol=1e-6
        )


def test_permutation_is_a_bijection_shared_by_train_and_test(mnist_file):
    plain = datasets.sequential_mnist(path=mnist_file)
    permuted = datasets.sequential_mnist(permute=3, path=mnist_file)
    order = np.random.default_rng(3).permutation(784)
    for (x, y), (x_permuted, y_permuted) in zip(plain, permuted, strict=True):
        np.testing.assert_array_equal(x[:, order], x_permuted)
        np.testing.assert_array_equal(y, y_permuted)


def test_default_is_the_loader_of_keras(small_mnist, monkeypatch):
    train = small_mnist["x_train"], small_mnist["y_train"]
    test = small_mnist["x_test"], small_mnist["y_test"]
    monkeypatch.setattr(
        keras.datasets.mnist, "load_data", lambda: (train, test)
    )
    (x_train, _), (_, y_test) = datasets.sequential_mnist()
    assert x_train.shape == (5, 784, 1)
    np.testing.assert_array_equal(y_test, small_mnist["y_test"])


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "mnist.npz"
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="SHA-256 731c5.* Received: .*SHA-256"):
        datasets.sequential_mnist(path=path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file '.*mnist\.npz'"):
        datasets.sequential_mnist(path=tmp_path)
