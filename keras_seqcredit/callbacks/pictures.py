"""Figures and images of views."""

from typing import Any

import numpy as np

from keras_seqcredit.checks import check_shape
from keras_seqcredit.optional_import import import_optional


def new_figure(view: str, width: float, height: float) -> Any:
    """A figure of matplotlib, in inches, that needs no screen.

    Args:
        view: String, the name of the callback, for an error.
        width: Float.
        height: Float.
    """
    module = import_optional("matplotlib.figure", "examples", f"`{view}`")
    return module.Figure(figsize=(width, height), layout="constrained")


def check_image_shape(image_shape: tuple[int, ...], shape: tuple) -> None:
    """Whether data of `shape` can be images of `image_shape`.

    Raises:
        ValueError: if not.
    """
    image_shape = check_shape("image_shape", image_shape, (2, 3))
    if np.prod(image_shape) != np.prod(shape):
        raise ValueError(
            "Expected `image_shape` to be (height, width) or (height, width, "
            f"channels) with {np.prod(shape):.0f} numbers. Received: "
            f"image_shape={image_shape}"
        )


def picture_of(image: np.ndarray, high: float) -> np.ndarray:
    """An image of 0 to `high` as matplotlib wants it, of 0 to 1."""
    image = np.clip(np.asarray(image, "float32") / high, 0, 1)
    if image.ndim == 3 and image.shape[-1] not in (3, 4):
        image = image.mean(axis=-1)
    return image
