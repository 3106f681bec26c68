"""Temperatures of a way back that differs from training."""

from typing import Any

import numpy as np

from keras_seqcredit.checks import check_array
from keras_seqcredit.checks import check_integer
from keras_seqcredit.models.temperature_schedule import TemperatureSchedule


def way_back(
    walk: TemperatureSchedule,
    extra_steps: int = 0,
    temperatures: Any = None,
    steps: Any = None,
    repeats: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the temperatures and numbers of the steps of a way back.

    Args:
        walk: The walk away from the data, which is the default.
        extra_steps: Non-negative integer, number of repetitions of the last
            step.
        temperatures: Non-increasing numbers, or None for the walk's
            temperatures.
        steps: As many integers, steps of the walk, or None for the steps with
            the nearest log-temperature.
        repeats: Positive integer, number of times that each step is taken.

    Raises:
        ValueError: if an argument is invalid.
    """
    check_integer("extra_steps", extra_steps, minimum=0)
    check_integer("repeats", repeats)
    if temperatures is None:
        if steps is not None:
            raise ValueError(
                "Expected `steps` together with `schedule`. Received: "
                f"steps={steps}, schedule=None"
            )
        heat, numbers = walk.back(0)
    else:
        heat = _falling(temperatures)
        numbers = _nearest(walk, heat) if steps is None else steps
        numbers = _of_walk(walk, numbers, len(heat))
    heat, numbers = (np.repeat(x, repeats) for x in (heat, numbers))
    return tuple(  # type: ignore[return-value]
        np.pad(x, (0, extra_steps), mode="edge") for x in (heat, numbers)
    )


def _falling(temperatures: Any) -> np.ndarray:
    heat = check_array("schedule", temperatures, ndim=1).astype("float32")
    if not len(heat) or not (np.isfinite(heat) & (heat > 0)).all():
        raise ValueError(
            "Expected `schedule` to be positive temperatures, one or more. "
            f"Received: schedule={temperatures!r}"
        )
    rises = np.flatnonzero(np.diff(heat) > 0)
    if len(rises):
        i = rises[0]
        raise ValueError(
            "A chain cools down on its way back. Expected `schedule` to be "
            f"temperatures that do not rise. Received: {heat[i]:g} before "
            f"{heat[i + 1]:g}, at {i}"
        )
    return heat


def _nearest(walk: TemperatureSchedule, heat: np.ndarray) -> np.ndarray:
    known, steps = walk.away()
    gaps = np.abs(np.log(heat)[:, None] - np.log(known))
    # The last of equal temperatures, which a walk with `extra_steps` has.
    return steps[::-1][np.argmin(gaps[:, ::-1], axis=1)]


def _of_walk(walk: TemperatureSchedule, steps: Any, length: int) -> np.ndarray:
    numbers = check_array("steps", steps, ndim=1)
    total = walk.total_steps
    fit = numbers.dtype.kind in "iu" and len(numbers) == length
    if not fit or not ((numbers >= 0) & (numbers < total)).all():
        raise ValueError(
            f"Expected `steps` to be {length} integers from 0 to {total - 1}, "
            f"one for each temperature. Received: steps={steps!r}"
        )
    return numbers.astype("int32")
