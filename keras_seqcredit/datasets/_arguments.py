"""Checks of arguments that the data sets share."""

import operator
from typing import Any


def check_integer(name: str, value: Any, minimum: int = 1) -> int:
    """Returns `value` as an `int`; raises if it is not one or too small."""
    try:
        if isinstance(value, bool):
            raise TypeError
        integer = operator.index(value)
    except TypeError:
        integer = None
    if integer is None or integer < minimum:
        expected = {
            0: "a non-negative integer",
            1: "a positive integer",
        }.get(minimum, f"an integer of at least {minimum}")
        raise ValueError(
            f"Expected `{name}` to be {expected}. Received: {name}={value!r}"
        )
    return integer


def check_seed(name: str, value: Any) -> int | None:
    """Returns `value` as a seed of `numpy.random.default_rng`, or `None`."""
    return None if value is None else check_integer(name, value, minimum=0)
