"""Conversion between gray levels from 0 to 255 and real states."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqcredit.seeds import FixedSeed
from keras_seqcredit.types import Tensor

_LEVELS = 256


def is_grey_level(x: Any) -> Any:
    """Where numbers, of any library, are integers from 0 to 255."""
    return (x >= 0) & (x < _LEVELS) & (x % 1 == 0)


def states_of(levels: Tensor, key: Any) -> Tensor:
    """Converts to states from 0 to 1; NaN where the input is no gray level.

    Args:
        levels: Tensor of float dtype.
        key: Key of the noise that dequantizes levels, or None for the middle of
            each interval.
    """
    # `fit` checks the first batch of a dataset; this checks the others.
    levels = ops.where(is_grey_level(levels), levels, math.nan)
    noise: Any = 0.5
    if key is not None:
        noise = keras.random.uniform(
            ops.shape(levels), seed=FixedSeed(key), dtype=levels.dtype
        )
    return (levels + noise) / _LEVELS


def levels_of(states: np.ndarray) -> np.ndarray:
    """Converts states to uint8 images."""
    levels = np.clip(np.floor(_LEVELS * states), 0, _LEVELS - 1)
    return levels.astype("uint8")


def log_volume(num_features: int) -> float:
    """Converts densities of states to probabilities of images, in nats."""
    return -math.log(_LEVELS) * num_features
