"""Distinct random integers."""

import numpy as np


def distinct_integers(
    rng: np.random.Generator, num_samples: int, below: int, count: int
) -> np.ndarray:
    """Draws some of the integers from 0 to `below - 1`, in random order.

    Args:
        rng: A generator of random numbers.
        num_samples: Integer, the number of independent draws.
        below: Integer, the number of integers to draw from.
        count: Integer of at most `below`, the number of integers drawn.

    Returns:
        An integer array of shape `(num_samples, count)`.
    """
    integers = np.tile(np.arange(below), (num_samples, 1))
    return rng.permuted(integers, axis=1, out=integers)[:, :count]
