"""Checks that arguments of many objects share.

Each raises a ValueError that says what was expected and what was received.
"""

import operator
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


def check_choice(name: str, value: Any, choices: tuple) -> None:
    """One of `choices`."""
    if value not in choices:
        raise ValueError(
            f"Expected `{name}` to be one of {choices}. "
            f"Received: {name}={value!r}"
        )


def fits(shape, expected) -> bool:
    """Whether two shapes agree; None stands for any size."""
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b
        for a, b in zip(shape, expected, strict=True)
    )
