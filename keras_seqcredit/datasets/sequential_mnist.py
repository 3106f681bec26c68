"""MNIST, read pixel by pixel."""

import os
import pathlib

import keras
import numpy as np

from keras_seqcredit.datasets.files import checked_file
from keras_seqcredit.datasets.pixels import pixel_order
from keras_seqcredit.datasets.pixels import pixel_sequences

SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def sequential_mnist(
    permute: bool | int = False, path: str | os.PathLike[str] | None = None
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Loads MNIST as sequences of 784 pixels.

    Args:
        permute: `False` for row by row, `True` for the permutation of seed 0,
            or an integer for the permutation of that seed. Defaults to
            `False`.
        path: The file `mnist.npz` of `keras.datasets.mnist`, or its folder.
            Defaults to `None`, Keras' own cache, which is filled by a download
            on first use.

    Returns:
        Tuple of NumPy arrays `(x_train, y_train), (x_test, y_test)`:

        - `x_train`, `x_test`: float32, shapes `(60000, 784, 1)` and
            `(10000, 784, 1)`, values in `[0, 1]`.
        - `y_train`, `y_test`: int32, shapes `(60000,)` and `(10000,)`, the
            digits.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the SHA-256 of the file differs from Keras', or if
            `permute` has an invalid value.

    Example:

    ```python
    from keras_seqcredit import datasets


    def permuted_mnist(data_dir):
        (x_train, y_train), test = datasets.sequential_mnist(
            permute=True, path=data_dir
        )
        assert x_train.shape == (60000, 784, 1)
        return (x_train, y_train), test
    ```

    References:
        - LeCun et al., "Gradient-Based Learning Applied to Document
          Recognition", Proceedings of the IEEE 86(11), 1998.
        - Le, Jaitly and Hinton, "A Simple Way to Initialize Recurrent Networks
          of Rectified Linear Units", arXiv:1504.00941: pixel by pixel, also
          permuted.
    """
    order = pixel_order(784, permute)
    if path is None:
        train, test = keras.datasets.mnist.load_data()
    else:
        train, test = _load(checked_file(path, "mnist.npz", SHA256))
    x_train, x_test = (pixel_sequences(x, 255, order) for x, _ in (train, test))
    y_train, y_test = (y.astype("int32") for _, y in (train, test))
    return (x_train, y_train), (x_test, y_test)


def _load(
    path: pathlib.Path,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    with np.load(path, allow_pickle=False) as arrays:
        return (
            (arrays["x_train"], arrays["y_train"]),
            (arrays["x_test"], arrays["y_test"]),
        )
