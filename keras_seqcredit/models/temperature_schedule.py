"""The temperature of a chain at each step."""

import dataclasses
import math
from typing import Any

import numpy as np

AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class TemperatureSchedule:
    """Temperatures of a walk away from the data.

    Attributes:
        num_steps: Integer, number of steps on which the temperature rises, or
            `"auto"` while it is unknown.
        extra_steps: Integer, number of steps before these, at the first
            temperature.
        factor: Float, ratio of the temperatures of successive steps.
        first: Float, the first temperature.
    """

    num_steps: Any
    extra_steps: int
    factor: float
    first: float

    @property
    def total_steps(self) -> int:
        """Steps of the walk, `extra_steps + num_steps`."""
        if self.num_steps == AUTO:
            raise ValueError(
                "The number of steps is not known yet. Expected a call of "
                "`adapt(data)` first. Received: num_steps='auto'"
            )
        return self.extra_steps + self.num_steps

    def away(self) -> tuple[np.ndarray, np.ndarray]:
        """Temperatures and numbers of the steps away from the data."""
        steps = np.arange(self.total_steps, dtype="int32")
        rises = np.maximum(steps - self.extra_steps, 0)
        # Not for integers, whose powers overflow.
        ratios = float(self.factor) ** rises
        return (self.first * ratios).astype("float32"), steps

    def back(self, extra_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Temperatures and numbers of the steps back, then of extra steps."""
        temperatures, steps = self.away()
        at_end = np.full(extra_steps, self.first, "float32")
        temperatures = np.concatenate([temperatures[::-1], at_end])
        return temperatures, np.pad(steps[::-1], (0, extra_steps))

    def check_range(self) -> None:
        """Checks that float32 can represent all temperatures."""
        # Logarithms do not overflow.
        first = math.log10(self.first)
        last = first + (self.num_steps - 1) * math.log10(self.factor)
        if min(first, last) < -37 or max(first, last) > 38:
            raise ValueError(
                "Expected temperatures between 1e-37 and 1e38, the range of "
                f"float32. Received: 1e{first:.3g} to 1e{last:.3g}, for "
                f"initial_temperature={self.first}, "
                f"temperature_factor={self.factor}, "
                f"num_steps={self.num_steps}"
            )
