"""Scaling of a network's inputs and outputs by the noise of a state."""

import dataclasses
import itertools
from typing import Any

import numpy as np
from keras import ops

from keras_seqcredit.checks import check_number
from keras_seqcredit.checks import check_sequence
from keras_seqcredit.types import Tensor


@dataclasses.dataclass(frozen=True)
class NoiseLevel:
    """Data of a given mean and variance, with noise of a given variance.

    With these scales, the inputs and the target outputs of the network have
    unit variance at every level (Karras et al. 2022, table 1).

    Attributes:
        noise: Variance of the noise, a number, or one per state with the axes
            of the states.
        mean: Mean of each feature of the data.
        variance: Scalar, variance of the data.
        alpha: Share of the states that a step keeps as it is.
    """

    noise: Tensor
    mean: Tensor
    variance: Tensor
    alpha: float = 0.0

    def seen(self, states: Tensor) -> Tensor:
        """The states as input of the network."""
        return (states - self.mean) / ops.sqrt(self.variance + self.noise)

    def mean_of(self, states: Tensor, outputs: Tensor) -> Tensor:
        """The states without their noise, from the network's outputs.

        With `alpha`, only that part of the way.
        """
        total = self.variance + self.noise
        kept = self.variance / total * (states - self.mean)
        found = (
            self.mean
            + kept
            + ops.sqrt(self.variance * self.noise / total) * outputs
        )
        if self.alpha:
            found = self.alpha * states + (1 - self.alpha) * found
        return found


class NoiseLevels:
    """The noise levels of the steps of a walk, for the data seen so far.

    Args:
        noises: List of numbers, the variance of the noise of each step.
        mean: Variable, mean of each feature of the data.
        variance: Variable, variance of each feature of the data.
        alpha: Float, share of the states that each step keeps.
    """

    def __init__(
        self, noises: list[float], mean: Any, variance: Any, alpha: float
    ) -> None:
        self.alpha = alpha
        # A step keeps that share of the noise before it, too.
        self.noises = list(
            itertools.accumulate(noises, lambda v, more: alpha**2 * v + more)
        )
        # Training updates them, as it does the moments of `p*`.
        self.moments = mean, variance

    def at(self, states: Tensor, steps: Any) -> NoiseLevel:
        """The level of each state; the first step's if `steps` is None."""
        noises = ops.convert_to_tensor(self.noises, states.dtype)
        noise = noises[0]
        if steps is not None:
            axes = (1,) * (len(states.shape) - 1)
            noise = ops.take(noises, ops.cast(steps, "int32"))
            noise = ops.reshape(noise, (-1, *axes))
        mean, variance = (ops.cast(x, states.dtype) for x in self.moments)
        return NoiseLevel(noise, mean, ops.mean(variance), self.alpha)


def check_levels(
    temperatures: Any, num_steps: int | None, scale: Any
) -> tuple[float, ...] | None:
    """Returns the temperatures of the steps, or None."""
    if temperatures is None:
        return None
    if num_steps is None or scale == "learned":
        raise ValueError(
            "Expected `num_steps` and a number as `scale` together with "
            f"`level_temperatures`. Received: num_steps={num_steps}, "
            f"scale={scale!r}"
        )
    name = "level_temperatures"
    check_sequence(name, temperatures, num_steps, noun="positive numbers")
    return tuple(check_number(name, value) for value in temperatures)


def check_levels_of_walk(levels: Any, temperatures: np.ndarray) -> None:
    """Checks that an operator's levels, if any, match a walk.

    Raises:
        ValueError: if they do not begin with its temperatures.
    """
    if levels is None:
        return
    found = np.float32(levels[: len(temperatures)])
    if not np.allclose(found, temperatures, rtol=1e-4, atol=0):
        raise ValueError(
            "Expected an operator whose `level_temperatures` begin with those "
            f"of the walk, {[float(f'{t:.5g}') for t in temperatures]}. "
            f"Received: level_temperatures={levels}"
        )
