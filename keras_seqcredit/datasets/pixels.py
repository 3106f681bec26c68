"""Images read as sequences, one pixel per step."""

from typing import Any

import numpy as np

from keras_seqcredit.checks import check_integer


def pixel_order(num_pixels: int, permute: Any) -> np.ndarray:
    """Returns the order in which the pixels are read.

    Args:
        num_pixels: Integer, the number of pixels of an image.
        permute: `False` for row by row, `True` for the permutation of seed 0,
            or an integer for the permutation of that seed.

    Returns:
        An integer array of shape `(num_pixels,)`.
    """
    if isinstance(permute, (bool, np.bool_)):
        if not permute:
            return np.arange(num_pixels)
        permute = 0
    seed = check_integer("permute", permute, minimum=0)
    return np.random.default_rng(seed).permutation(num_pixels)


def pixel_sequences(
    images: np.ndarray, maximum: float, order: np.ndarray
) -> np.ndarray:
    """Returns images `(n, height, width)` as sequences `(n, pixels, 1)`.

    Args:
        images: Array of shape `(n, height, width)`, values in
            `[0, maximum]`.
        maximum: Float, the brightest value; it becomes 1.
        order: Integer array of shape `(height * width,)`, from `pixel_order`.

    Returns:
        A float32 array of shape `(n, height * width, 1)`.
    """
    pixels = images.reshape(len(images), -1)[:, order].astype("float32")
    pixels /= np.float32(maximum)
    return pixels[..., np.newaxis]
