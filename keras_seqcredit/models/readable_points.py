"""Checks data that a chain learns from."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_seqcredit.checks import check_array
from keras_seqcredit.checks import fits
from keras_seqcredit.layers.transitions.transition import Transition
from keras_seqcredit.models.grey_levels import is_grey_level

# The names of inputs with known classes.
DATA, CLASSES = "data", "classes"


def data_and_classes(inputs: Any) -> tuple:
    """Returns `(data,)`, or `(data, classes)` from a dictionary of both."""
    if isinstance(inputs, dict):
        return inputs[DATA], inputs[CLASSES]
    return (inputs,)


def readable_points(
    x: Any, name: str, transition: Transition, shape: Any, dequantize: bool
) -> np.ndarray:
    """Returns data as an array, checked as far as possible.

    Args:
        x: Data.
        name: String, name of the data in errors.
        transition: The operator.
        shape: Shape of a state, or None if unknown.
        dequantize: Boolean, whether data are integers from 0 to 255.

    Raises:
        ValueError: if the data are not suitable.
    """
    x = np.asarray(x)
    if shape is not None and not fits(x.shape[1:], shape):
        raise ValueError(
            f"Expected {name} of shape {('batch', *shape)}. "
            f"Received: shape={x.shape}"
        )
    if dequantize and not is_grey_level(x).all():
        raise ValueError(
            f"Expected {name} of integers from 0 to 255 for "
            f"`dequantize=True`. Received: values from {x.min()} to "
            f"{x.max()}, dtype={x.dtype}"
        )
    possible = transition.is_possible(x)
    # NaN is left to `FiniteLoss`, which knows its batch.
    if possible is not None and not (possible | np.isnan(x)).all():
        wrong = x[~(possible | np.isnan(x))]
        raise ValueError(
            f"Expected {name} that {type(transition).__name__} can "
            f"make, such as 0 and 1. Received: {len(wrong)} other values, "
            f"such as {wrong[0]}"
        )
    return x


def readable_classes(
    classes: Any, num_classes: int | None, length: int
) -> np.ndarray:
    """Returns classes `(length,)`, from one integer or as many.

    Raises:
        ValueError: if the operator has no classes, or not these.
    """
    if num_classes is None:
        raise ValueError(
            "Expected an operator with `num_classes` for data with classes. "
            "Received: num_classes=None"
        )
    found = check_array("classes", classes)
    if not found.ndim:
        found = np.full(length, found)
    if found.dtype.kind not in "iu" or found.shape != (length,):
        raise ValueError(
            f"Expected `classes` to be an integer or {length} integers. "
            f"Received: shape={found.shape}, dtype={found.dtype}"
        )
    unknown = found[(found < 0) | (found >= num_classes)]
    if len(unknown):
        raise ValueError(
            f"Expected `classes` from 0 to {num_classes - 1}, as the operator "
            f"has num_classes={num_classes}. Received: {unknown[0]}"
        )
    return found.astype("int32")


def look_at(data: Any, name: str, check: Callable, draws: bool) -> Any:
    """Returns data for training, after `check(inputs, name)`, which may raise.

    Args:
        data: As `fit` takes it; in a dataset, the first batch is checked.
        name: String, name of the data in errors.
        check: Function.
        draws: Boolean, whether to draw a batch from a dataset.
    """
    if hasattr(data, "shape") or isinstance(data, dict):
        return check(data, name)
    if draws:
        batch: Any = None
        if isinstance(data, keras.utils.PyDataset):
            batch = data[0]
        elif hasattr(data, "element_spec") and hasattr(data, "take"):
            batch = next(iter(data.take(1)), None)
        inputs, *_ = keras.utils.unpack_x_y_sample_weight(batch)
        if inputs is not None:
            check(inputs, f"{name}, the first batch,")
    return data
