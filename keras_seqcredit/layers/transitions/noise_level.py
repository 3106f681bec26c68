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
