"""What a network sees of a noisy state, and what its output counts for."""

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from keras_seqcredit.checks import check_number
from keras_seqcredit.checks import check_sequence
from keras_seqcredit.types import Tensor


@dataclasses.dataclass(frozen=True)
class NoiseLevel:
    """Data of a mean and a variance, with noise of another.

    With these scales inputs of the network, and what it is to put out, have
    unit variance at every level (Karras et al. 2022, table 1).

    Attributes:
        noise: Variance of the noise, a number or one for each state with the
            axes of states.
        mean: Of each feature of the data.
        variance: Scalar, of the data.
    """

    noise: Tensor
    mean: Tensor
    variance: Tensor

    def seen(self, states: Tensor) -> Tensor:
        """What the network is to see of states."""
        return (states - self.mean) / ops.sqrt(self.variance + self.noise)

    def mean_of(self, states: Tensor, outputs: Tensor) -> Tensor:
        """The states without their noise, by what the network puts out."""
        total = self.variance + self.noise
        kept = self.variance / total * (states - self.mean)
        return (
            self.mean
            + kept
            + ops.sqrt(self.variance * self.noise / total) * outputs
        )


class NoiseLevels:
    """Of the steps of a walk, by the moments of the data so far.

    Args:
        noises: List of numbers, the variance of the noise of each step.
        mean: Variable, of each feature of the data.
        variance: The same.
    """

    def __init__(self, noises: list[float], mean: Any, variance: Any) -> None:
        self.noises = noises
        # What training moves, as the moments of `p*`.
        self.moments = mean, variance

    def at(self, states: Tensor, steps: Any) -> NoiseLevel:
        """That of each state, at the first step where steps are None."""
        noises = ops.convert_to_tensor(self.noises, states.dtype)
        noise = noises[0]
        if steps is not None:
            axes = (1,) * (len(states.shape) - 1)
            noise = ops.take(noises, ops.cast(steps, "int32"))
            noise = ops.reshape(noise, (-1, *axes))
        mean, variance = (ops.cast(x, states.dtype) for x in self.moments)
        return NoiseLevel(noise, mean, ops.mean(variance))


def check_levels(
    temperatures: Any, num_steps: int | None, scale: Any
) -> tuple[float, ...] | None:
    """Returns the temperatures of steps, or None."""
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
    """Whether an operator's levels, if any, are those of a walk.

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
