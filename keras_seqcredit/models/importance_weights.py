"""Estimates of a likelihood from importance weights."""

import math
from typing import Any

import numpy as np


def log_mean(weights: np.ndarray, return_error: bool) -> Any:
    """Logarithm of the mean weight, and its standard error if asked for.

    Args:
        weights: Float64 `(num_samples, n)`, logarithms of weights.
        return_error: Boolean.

    Returns:
        Float32 `(n,)`, or a pair of those, the second by the delta method;
        NaN of one sample, which says nothing of its error.
    """
    top = weights.max(axis=0)
    ratios = np.exp(weights - top)
    mean = ratios.mean(axis=0)
    value = (top + np.log(mean)).astype("float32")
    if not return_error:
        return value
    if len(weights) == 1:
        return value, np.full_like(value, math.nan)
    deviation = ratios.std(axis=0, ddof=1) / math.sqrt(len(weights))
    return value, (deviation / mean).astype("float32")
