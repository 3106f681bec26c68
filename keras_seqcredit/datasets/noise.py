"""A check that the toy densities share."""

import math
from numbers import Real


def check_noise(noise: float) -> None:
    """Raises a `ValueError` unless `noise` is a number that is not negative."""
    if not (isinstance(noise, Real) and 0 <= noise < math.inf):
        raise ValueError(
            "Expected `noise` to be a non-negative number. "
            f"Received: noise={noise!r}"
        )
