"""Figures and images of views."""

from typing import Any

import numpy as np

from keras_seqcredit.checks import check_shape
from keras_seqcredit.optional_import import import_optional


def new_figure(view: str, width: float, height: float) -> Any:
    """Creates a matplotlib figure, sized in inches, that needs no display.

    Args:
        view: String, the name of the callback, for errors.
        width: Float.
        height: Float.
    """
    module = import_optional("matplotlib.figure", "examples", f"`{view}`")
    return module.Figure(figsize=(width, height), layout="constrained")


def check_image_shape(image_shape: tuple[int, ...], shape: tuple) -> None:
    """Checks that data of `shape` can be images of `image_shape`.

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
    """Scales an image from `[0, high]` to `[0, 1]`, as matplotlib expects."""
    image = np.clip(np.asarray(image, "float32") / high, 0, 1)
    if image.ndim == 3 and image.shape[-1] not in (3, 4):
        image = image.mean(axis=-1)
    return image
