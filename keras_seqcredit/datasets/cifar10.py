"""CIFAR-10, or a subset of it."""

import hashlib
import os
import pathlib

import keras
import numpy as np

from keras_seqcredit.checks import check_path

SHA256 = "334750958c9aabbcff4f83b98c272d0ae5386aa1012d7ff7e9570a9ee375cea8"


def cifar10(
    path: str | os.PathLike[str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Loads the training images of CIFAR-10, or the first 4,000 of them.

    Args:
        path: The file `cifar10_train4000.npz`, the first 4,000 images, or its
            folder. Defaults to `None`, all 50,000 from Keras' own cache, which
            is filled by a download on first use. Results on the subset are not
            comparable with published ones.

    Returns:
        Tuple of NumPy arrays `(x, y)`:

        - `x`: uint8, shape `(num_images, 32, 32, 3)`.
        - `y`: int32, shape `(num_images,)`, the classes.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file has the wrong SHA-256.

    Example:

    ```python
    from keras_seqcredit import datasets


    def small_cifar10(data_dir):
        x, y = datasets.cifar10(path=data_dir)
        assert x.shape == (4000, 32, 32, 3)
        return x, y
    ```

    References:
        - Krizhevsky, "Learning Multiple Layers of Features from Tiny Images",
          2009.
    """
    if path is None:
        (x, y), _ = keras.datasets.cifar10.load_data()
    else:
        x, y = _load(pathlib.Path(check_path("path", path)))
    return x, y[:, 0].astype("int32")


def _load(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    if path.is_dir():
        path = path / "cifar10_train4000.npz"
    if not path.is_file():
        raise FileNotFoundError(
            "Expected `path` to be the file `cifar10_train4000.npz` or its "
            f"folder. Received: no file '{path}'"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise ValueError(
            "Expected `path` to be `cifar10_train4000.npz`, with SHA-256 "
            f"{SHA256}. Received: '{path}' with SHA-256 {digest}"
        )
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["x_train"], arrays["y_train"]
