"""Checks that arguments of many objects share.

Each raises a ValueError that says what was expected and what was received.
"""

import math
import numbers
import operator
from collections.abc import Callable
from typing import Any

_KINDS = {0: "a non-negative integer", 1: "a positive integer"}


def check_integer(
    name: str, value: Any, minimum: int = 1, optional: bool = False
) -> Any:
    """Returns an integer of at least `minimum`, or None where allowed."""
    if value is None and optional:
        return None
    try:
        integer = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        integer = None
    if integer is None or integer < minimum:
        kind = _KINDS.get(minimum, f"an integer of at least {minimum}")
        also = " or None" if optional else ""
        raise ValueError(
            f"Expected `{name}` to be {kind}{also}. Received: {name}={value!r}"
        )
    return integer


def check_number(
    name: str,
    value: Any,
    expected: str = "a positive number",
    fits: Callable[[float], bool] = lambda value: value > 0,
) -> Any:
    """Returns a finite real number that fits, as one of Python's own."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (is_real and math.isfinite(value) and fits(value)):
        raise ValueError(
            f"Expected `{name}` to be {expected}. Received: {name}={value!r}"
        )
    # NumPy's are not for JSON.
    return value if type(value) in (int, float) else float(value)


def check_choice(name: str, value: Any, choices: tuple) -> None:
    """One of `choices`."""
    if value not in choices:
        raise ValueError(
            f"Expected `{name}` to be one of {choices}. "
            f"Received: {name}={value!r}"
        )


def check_steps(name: str, shape) -> None:
    """A shape `(batch, time, ...)` of one step or more, if it is known."""
    if len(shape) > 1 and shape[1] == 0:
        raise ValueError(
            f"'{name}' reads sequences of at least one step. Expected inputs "
            f"of shape (batch, time, ...) with time >= 1. Received: shape "
            f"{tuple(shape)}"
        )


def fits(shape, expected) -> bool:
    """Whether two shapes agree; None stands for any size."""
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b
        for a, b in zip(shape, expected, strict=True)
    )
