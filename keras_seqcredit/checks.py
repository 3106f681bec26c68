"""Checks of arguments that many objects have in common.

Each raises a ValueError that says what was expected and what was received.
"""

import numbers
import operator
import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

LARGEST = float(np.finfo("float32").max)
_INTEGERS = {
    None: "an integer",
    0: "a non-negative integer",
    1: "a positive integer",
}


def check_integer(
    name: str, value: Any, minimum: int | None = 1, optional: bool = False
) -> Any:
    """Returns an integer of at least `minimum`, or None where allowed."""
    if value is None and optional:
        return None
    try:
        integer = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        integer = None
    if integer is None or (minimum is not None and integer < minimum):
        expected = _INTEGERS.get(minimum, f"an integer of at least {minimum}")
        raise _error(name, expected, value, optional)
    return integer


def check_number(
    name: str,
    value: Any,
    expected: str = "a positive number",
    fits: Callable[[float], bool] = lambda value: value > 0,
    optional: bool = False,
    largest: float = LARGEST,
) -> Any:
    """Returns a valid real number as a Python number.

    Beyond `largest`, a float32 is infinite.
    """
    if value is None and optional:
        return None
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    # NumPy compares in its own precision, where `largest` may be infinite.
    number = value.item() if isinstance(value, np.generic) else value
    if not (is_real and abs(number) <= largest and fits(number)):
        raise _error(name, expected, value, optional)
    # JSON does not support all other types.
    return number if type(number) in (int, float) else float(number)


def check_non_negative(name: str, value: Any) -> Any:
    """Returns a finite number of at least 0."""
    return check_number(name, value, "a non-negative number", lambda x: x >= 0)


def check_share(name: str, value: Any) -> Any:
    """Returns a number of at least 0 and below 1."""
    return check_number(name, value, "a number in [0, 1)", lambda x: 0 <= x < 1)


def check_proportion(name: str, value: Any, optional: bool = False) -> Any:
    """Returns a number from 0 to 1, or None where allowed."""
    expected = "a number from 0 to 1"
    return check_number(name, value, expected, lambda x: 0 <= x <= 1, optional)


def check_choice(name: str, value: Any, choices: tuple) -> None:
    """Checks for one of `choices`: strings, booleans, numbers or None."""
    # An array would be compared element by element.
    plain = value is None or isinstance(value, (str, numbers.Number))
    if not plain or value not in choices:
        raise ValueError(
            f"Expected `{name}` to be one of {choices}. "
            f"Received: {name}={value!r}"
        )


def check_flag(name: str, value: Any) -> bool:
    """Returns True or False; also accepts 0 and 1."""
    is_integer = isinstance(value, (numbers.Integral, np.bool_))
    if not is_integer or value not in (0, 1):
        raise _error(name, "True or False", value)
    return bool(value)


def check_seed(value: Any, optional: bool = True) -> int | None:
    """Returns the seed of a random number generator."""
    return check_integer("seed", value, minimum=0, optional=optional)


def check_path(name: str, value: Any, optional: bool = False) -> Any:
    """Returns a path unchanged; it need not exist."""
    if value is None and optional:
        return None
    is_path = isinstance(value, (str, os.PathLike))
    if not is_path or not os.fspath(value):
        raise _error(name, "a path", value, optional)
    return value


def check_layer(name: str, value: Any, optional: bool = False) -> None:
    """Checks for a Keras layer, which includes models."""
    if value is None and optional:
        return
    if not isinstance(value, keras.layers.Layer):
        raise _error(name, "a Keras layer or model", value, optional)


def output_shape(name: str, layer: Any, shape: tuple) -> tuple:
    """Returns a layer's output shape for one input, and builds the layer."""
    try:
        if not layer.built:
            layer.build(shape)
        return tuple(layer.compute_output_shape(shape))
    except Exception as error:
        raise ValueError(
            f"Expected `{name}` to be a layer of one input, of shape {shape}. "
            f"Received: {name}={layer}, where this failed with: {error}"
        ) from error


def check_sequence(
    name: str,
    value: Any,
    length: int | None,
    optional: bool = False,
    noun: str = "entries",
) -> None:
    """Checks for `length` entries, if that is known."""
    if value is None and optional:
        return
    expected = "a sequence"
    if length is not None:
        expected = f"a sequence of {length} {noun}"
    try:
        size = len(value)
    except TypeError:
        raise _error(name, expected, value, optional) from None
    if length is not None and size != length:
        raise ValueError(
            f"Expected `{name}` to be {expected}. Received: {size} {noun}"
        )


def check_strings(name: str, values: Any) -> list[str]:
    """Returns a list of strings."""
    try:
        strings = [] if isinstance(values, str) else list(values)
    except TypeError:
        strings = []
    if not strings or not all(isinstance(value, str) for value in strings):
        raise _error(name, "a list of strings", values)
    return strings


def check_shape(
    name: str,
    value: Any,
    lengths: tuple[int, ...] | None = None,
    expected: str = "a tuple of positive integers",
) -> tuple[int, ...]:
    """Returns a shape of known sizes, with one of the numbers of axes."""
    try:
        shape = tuple(check_integer(name, size) for size in value)
    except (TypeError, ValueError):
        shape = ()
    if not shape or (lengths and len(shape) not in lengths):
        if lengths:
            expected = " or ".join(map(str, lengths)) + " positive integers"
        raise _error(name, expected, value)
    return shape


def check_array(name: str, value: Any, ndim: int | None = None) -> np.ndarray:
    """Returns a NumPy array of numbers with `ndim` axes."""
    try:
        array = np.asarray(value)
    except ValueError:  # Rows of different lengths.
        array = np.asarray(None)
    if array.dtype.kind not in "biuf" or ndim not in (None, array.ndim):
        expected = "an array of numbers"
        if ndim is not None:
            expected += f" with {ndim} axes"
        raise _error(name, expected, value)
    return array


def check_tensor(name: str, x: Any, shape: tuple) -> Any:
    """Returns a tensor of a shape, where None is any size."""
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        x = check_array(name, x)
    if not fits(x.shape, shape):
        raise ValueError(
            f"Expected `{name}` to have the shape {tuple(shape)}, where None "
            f"is any size. Received: shape {tuple(x.shape)}"
        )
    return keras.ops.convert_to_tensor(x)


def check_tensors(name: str, tensors: list) -> None:
    """Checks for tensors or arrays."""
    wrong = [x for x in tensors if not hasattr(x, "shape")]
    if wrong:
        raise ValueError(
            f"Expected `{name}` to be tensors. Received: {wrong[0]!r}"
        )


def check_size(name: str, value: Any) -> Any:
    """Returns a non-negative integer, or a tensor unchanged."""
    if keras.ops.is_tensor(value):
        return value
    return check_integer(name, value, minimum=0)


def check_generator_or_seed(value: Any) -> Any:
    """Returns a seed generator, a seed, or None."""
    if isinstance(value, keras.random.SeedGenerator):
        return value
    expected = "a non-negative integer, a `keras.random.SeedGenerator`"
    try:
        return check_seed(value)
    except ValueError:
        raise _error("seed", expected, value, optional=True) from None


_BY_SUFFIX = {
    "activation": keras.activations.get,
    "initializer": keras.initializers.get,
    "regularizer": keras.regularizers.get,
    "constraint": keras.constraints.get,
}


def check_named(name: str, value: Any, optional: bool = True) -> Any:
    """Returns a Keras object by name: an initializer, an activation, ...

    Args:
        name: name of the argument; its end determines the kind of object.
        value: a Keras object, a function, a name, or a configuration.
        optional: whether None is allowed.
    """
    kind = name.rpartition("_")[2]
    try:
        found = _BY_SUFFIX[kind](value)
        is_known = found is not None or (value is None and optional)
    except (TypeError, ValueError, AttributeError):
        is_known = False
    if not is_known:
        expected = f"what `keras.{kind}s.get` takes"
        raise _error(name, expected, value)
    return found


def _error(
    name: str, expected: str, value: Any, optional: bool = False
) -> ValueError:
    also = " or None" if optional else ""
    return ValueError(
        f"Expected `{name}` to be {expected}{also}. Received: {name}={value!r}"
    )


def check_steps(name: str, shape) -> None:
    """Checks that a shape `(batch, time, ...)` has at least one step."""
    if len(shape) > 1 and shape[1] == 0:
        raise ValueError(
            f"'{name}' reads sequences of at least one step. Expected inputs "
            f"of shape (batch, time, ...) with time >= 1. Received: shape "
            f"{tuple(shape)}"
        )


def fits(shape, expected) -> bool:
    """Whether two shapes match; None is any size."""
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b
        for a, b in zip(shape, expected, strict=True)
    )
