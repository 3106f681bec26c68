"""Weights that change while a model trains, and free bits.

A schedule is a pure function of the number of updates. A layer or model that
uses one counts the updates in a non-trainable variable, so that the count is
saved and training resumes where it stopped.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.checks import LARGEST
from keras_seqcredit.checks import check_choice
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_non_negative
from keras_seqcredit.checks import check_number
from keras_seqcredit.saving import public
from keras_seqcredit.types import Tensor

__all__ = [
    "ConstantSchedule",
    "CyclicalSchedule",
    "FreeBits",
    "KerasSchedule",
    "LinearSchedule",
    "Schedule",
    "get",
]


class Schedule:
    """A weight as a function of the number of training updates.

    A subclass implements `__call__` with `keras.ops`, so that it compiles, and
    `get_config`. Register it with
    `keras.saving.register_keras_serializable` to save models that use it.

    Call arguments:
        step: Integer scalar, number of updates so far; a tensor or a number.

    Returns:
        Float32 scalar tensor.

    Example:

    ```python
    import keras
    from keras import ops

    from keras_seqcredit import schedules


    @keras.saving.register_keras_serializable("my_package")
    class ExponentialSchedule(schedules.Schedule):
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, step):
            return ops.exp(-self.rate * ops.cast(step, "float32"))

        def get_config(self):
            return {"rate": self.rate}


    class WeightedPenalty(keras.layers.Layer):
        def __init__(self, weight, **kwargs):
            super().__init__(**kwargs)
            self.weight = schedules.get(weight)
            self.updates = self.add_weight(
                shape=(), dtype="int32", trainable=False, name="updates"
            )

        def call(self, inputs, training=False):
            weight = self.weight(self.updates.value)
            self.add_loss(weight * ops.mean(ops.square(inputs)))
            if training:
                self.updates.assign_add(1)
            return inputs


    layer = WeightedPenalty(ExponentialSchedule(0.1))
    ```
    """

    def __call__(self, step: Any) -> Tensor:
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `__call__`."
        )

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `get_config`."
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)

    def __repr__(self) -> str:
        config = self.get_config()
        arguments = ", ".join(f"{key}={config[key]!r}" for key in config)
        return f"{type(self).__name__}({arguments})"


@public
class ConstantSchedule(Schedule):
    """A constant weight.

    Args:
        value: Finite float, the weight.

    Raises:
        ValueError: if `value` is not a finite number.

    Example:

    ```python
    from keras_seqcredit.schedules import ConstantSchedule

    schedule = ConstantSchedule(0.5)
    assert float(schedule(10)) == 0.5
    ```
    """

    def __init__(self, value: float) -> None:
        self.value = _finite("value", value)

    def __call__(self, step: Any) -> Tensor:
        del step
        return ops.convert_to_tensor(self.value, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


@public
class LinearSchedule(Schedule):
    """Linear ramp from `start` to `end`, constant afterwards.

    Z-Forcing raises the weight of its KL term from 0.2 to 1 by 5e-5 per update:
    `LinearSchedule(0.2, 1.0, steps=16000)`.

    Args:
        start: Finite float, the weight before the first update.
        end: Finite float, the weight after `steps` updates.
        steps: Positive integer, number of updates from `start` to `end`.

    Raises:
        ValueError: if an argument is invalid.

    Example:

    ```python
    from keras_seqcredit.schedules import LinearSchedule

    schedule = LinearSchedule(0.0, 1.0, steps=100)
    assert float(schedule(25)) == 0.25
    assert float(schedule(1000)) == 1.0
    ```

    References:
        - Goyal et al., "Z-Forcing", NeurIPS 2017, arXiv:1711.05411, and its
          released code.
    """

    def __init__(self, start: float, end: float, steps: int) -> None:
        self.start = _finite("start", start)
        self.end = _finite("end", end)
        self.steps = check_integer("steps", steps)

    def __call__(self, step: Any) -> Tensor:
        fraction = ops.cast(step, "float32") / self.steps
        return _between(self.start, self.end, fraction)

    def get_config(self) -> dict[str, Any]:
        return {"start": self.start, "end": self.end, "steps": self.steps}


@public
class CyclicalSchedule(Schedule):
    """Repeated linear ramps from `start` to `end`, constant afterwards.

    In each of `num_cycles` equal cycles, the weight grows linearly during the
    first `ratio` of the updates and stays at `end` for the rest, so that the
    latent variables learned at a low weight are the starting point of the next
    cycle.

    Args:
        start: Finite float, the weight at the start of each cycle.
        end: Finite float, the weight at the end of each cycle.
        steps: Positive integer, total number of updates of all cycles.
        num_cycles: Positive integer of at most `steps`. Defaults to `4`.
        ratio: Float above 0 and at most 1, the fraction of a cycle in which the
            weight grows. Defaults to `0.5`.

    Raises:
        ValueError: if an argument is invalid.

    Example:

    ```python
    from keras_seqcredit.schedules import CyclicalSchedule

    schedule = CyclicalSchedule(0.0, 1.0, steps=400, num_cycles=4)
    assert [float(schedule(t)) for t in (0, 25, 60, 100)] == [0, 0.5, 1, 0]
    ```

    References:
        - Fu et al., "Cyclical Annealing Schedule: A Simple Approach to
          Mitigating KL Vanishing", NAACL 2019, arXiv:1903.10145, equation 6.
    """

    def __init__(
        self,
        start: float,
        end: float,
        steps: int,
        num_cycles: int = 4,
        ratio: float = 0.5,
    ) -> None:
        self.start = _finite("start", start)
        self.end = _finite("end", end)
        self.steps = check_integer("steps", steps)
        self.num_cycles = check_integer("num_cycles", num_cycles)
        if self.num_cycles > self.steps:
            raise ValueError(
                "Expected `num_cycles` to be at most `steps`. Received: "
                f"num_cycles={num_cycles!r}, steps={steps!r}"
            )
        self.ratio = check_number(
            "ratio", ratio, "above 0 and at most 1", lambda x: 0 < x <= 1
        )

    def __call__(self, step: Any) -> Tensor:
        period = math.ceil(self.steps / self.num_cycles)
        step = ops.cast(step, "int32")
        position = ops.cast(step % period, "float32")
        fraction = position / (self.ratio * period)
        fraction = ops.where(step < self.steps, fraction, 1.0)
        return _between(self.start, self.end, fraction)

    def get_config(self) -> dict[str, Any]:
        return {
            "start": self.start,
            "end": self.end,
            "steps": self.steps,
            "num_cycles": self.num_cycles,
            "ratio": self.ratio,
        }


@public
class KerasSchedule(Schedule):
    """Uses a Keras learning rate schedule as a weight.

    `get` wraps a `keras.optimizers.schedules.LearningRateSchedule` in it, so
    models accept such a schedule directly.

    Args:
        schedule: A `keras.optimizers.schedules.LearningRateSchedule`.

    Raises:
        ValueError: if it is something else.

    Example:

    ```python
    import keras

    from keras_seqcredit import schedules

    rising = keras.optimizers.schedules.PolynomialDecay(
        0.0, decay_steps=100, end_learning_rate=1.0
    )
    schedule = schedules.get(rising)
    assert float(schedule(50)) == 0.5
    ```
    """

    def __init__(self, schedule: Any) -> None:
        if not isinstance(
            schedule, keras.optimizers.schedules.LearningRateSchedule
        ):
            raise ValueError(
                "Expected `schedule` to be a schedule of "
                f"`keras.optimizers.schedules`. Received: schedule={schedule!r}"
            )
        self.schedule = schedule

    def __call__(self, step: Any) -> Tensor:
        return ops.cast(self.schedule(step), "float32")

    def get_config(self) -> dict[str, Any]:
        return {"schedule": keras.saving.serialize_keras_object(self.schedule)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(keras.saving.deserialize_keras_object(config["schedule"]))


@public
class FreeBits:
    """Leaves the KL divergence below a threshold unpenalized.

    The KL of a group of latent variables counts as `max(nats, KL)`: a group may
    hold up to `nats` of information for free, and no gradient pushes it to
    zero.

    The paper compares the threshold with the average over the mini-batch, here
    over all its valid steps. Groups whose average is below the threshold then
    count `nats` at every step, so that the mean of the result over valid steps
    is the sum over groups of `max(nats, average KL)`.

    Args:
        nats: Non-negative float, the free information of a group, in nats.
        per: `"dimension"`, each dimension of the latent variable is a group, or
            `"step"`, all dimensions together are one. Defaults to
            `"dimension"`.
        average: Boolean, whether to compare the average over the mini-batch, as
            in the paper, instead of each step of each example separately.
            Defaults to `True`.

    Call arguments:
        kl: `(..., dimensions)` in nats, for example
            `(batch, time, dimensions)`: the KL of each dimension.
        mask: Boolean `(...)`. Padded steps, whatever they hold, do not count
            and give 0.

    Returns:
        Float32 tensor `(...)`, the KL of each step in nats.

    Raises:
        ValueError: if an argument is invalid.

    Example:

    ```python
    import numpy as np

    from keras_seqcredit.schedules import FreeBits

    kl = np.array([[[0.1, 3.0]], [[0.3, 5.0]]], "float32")
    free = np.array(FreeBits(0.5)(kl))
    assert np.allclose(free, [[3.5], [5.5]])
    ```

    References:
        - Kingma et al., "Improved Variational Inference with Inverse
          Autoregressive Flow", NeurIPS 2016, arXiv:1606.04934, appendix C.8.
    """

    def __init__(
        self, nats: float, per: str = "dimension", average: bool = True
    ) -> None:
        self.nats = float(check_non_negative("nats", nats))
        check_choice("per", per, ("dimension", "step"))
        self.per = per
        self.average = check_flag("average", average)

    def __call__(self, kl: Any, mask: Any = None) -> Tensor:
        kl = ops.cast(kl, "float32")
        if mask is not None:
            mask = ops.cast(mask, "bool")[..., None]
            kl = ops.where(mask, kl, 0.0)
        if self.per == "step":
            kl = ops.sum(kl, axis=-1, keepdims=True)
        level = self._average(kl, mask) if self.average else kl
        # Not `level > nats`, so that NaN propagates.
        kl = ops.where(level <= self.nats, self.nats, kl)
        if mask is not None:
            kl = ops.where(mask, kl, 0.0)
        return ops.sum(kl, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {"nats": self.nats, "per": self.per, "average": self.average}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)

    @staticmethod
    def _average(kl, mask):
        axes = tuple(range(len(kl.shape) - 1))
        if mask is None:
            return backend.replica_mean(ops.mean(kl, axis=axes, keepdims=True))
        count = backend.replica_mean(ops.sum(ops.cast(mask, "float32")))
        total = backend.replica_mean(ops.sum(kl, axis=axes, keepdims=True))
        return total / ops.maximum(count, 1.0)


def get(identifier: Any) -> Schedule:
    """Converts an identifier to a schedule.

    Args:
        identifier: A `Schedule`; a number, the constant weight; a schedule from
            `keras.optimizers.schedules`, whose step is the number of updates;
            or a schedule serialized by `keras.saving.serialize_keras_object`.

    Returns:
        A `Schedule`.

    Raises:
        ValueError: if it is something else.

    Example:

    ```python
    from keras_seqcredit import schedules

    schedule = schedules.get(0.5)
    assert float(schedule(0)) == 0.5
    ```
    """
    schedule = identifier
    if isinstance(identifier, dict):
        schedule = keras.saving.deserialize_keras_object(identifier)
    elif _is_number(identifier):
        schedule = ConstantSchedule(identifier)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        schedule = KerasSchedule(schedule)
    if not isinstance(schedule, Schedule):
        raise ValueError(
            "Expected a weight to be a finite number, a `Schedule`, one of "
            "`keras.optimizers.schedules`, or the serialized form of one. A "
            "function of the number of updates is written as `__call__` of a "
            f"subclass of `Schedule`, which can be saved. Received: "
            f"{identifier!r}"
        )
    return schedule


def get_weight(
    name: str, identifier: Any, largest: float = math.inf
) -> Schedule:
    """Like `get`; a constant must not be negative or above `largest`."""
    schedule = get(identifier)
    if (
        isinstance(schedule, ConstantSchedule)
        and not 0 <= schedule.value <= largest
    ):
        expected = "a non-negative number"
        if math.isfinite(largest):
            expected = f"a number from 0 to {largest}"
        raise ValueError(
            f"Expected `{name}` to be {expected} or a schedule. "
            f"Received: {name}={schedule.value}"
        )
    return schedule


class ScheduledWeights:
    """A mixin for layers and models whose weights are schedules.

    A weight is part of the program that `fit` compiles: assigning another one
    later would silently have no effect.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(self.__dict__.get(name), Schedule):
            raise AttributeError(
                f"`{name}` of {type(self).__name__} is compiled into the "
                "program that trains. Expected a schedule when the object is "
                f"made, such as `{name}=LinearSchedule(0.2, 1.0, steps=1000)` "
                "or a subclass of `Schedule` with another `__call__(step)`, in "
                "place of an assignment. Received: "
                f"{name}={value!r}"
            )
        super().__setattr__(name, value)


def add_counter(layer: keras.layers.Layer) -> keras.Variable:
    """Adds a saved weight to a layer that counts updates for its schedules."""
    return layer.add_weight(
        shape=(),
        dtype="int32",
        initializer="zeros",
        trainable=False,
        name="updates",
    )


def is_zero(schedule: Schedule) -> bool:
    """Whether a weight is 0 at every step, so that its term can be left out."""
    return isinstance(schedule, ConstantSchedule) and schedule.value == 0


def _between(start: float, end: float, fraction: Tensor) -> Tensor:
    fraction = ops.clip(fraction, 0.0, 1.0)
    # Not start + (end - start) * fraction, which may miss `end`.
    return start * (1.0 - fraction) + end * fraction


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, (bool, str)) and (
            abs(float(value)) <= LARGEST
        )
    except (TypeError, ValueError, OverflowError):
        return False


def _finite(name: str, value: Any) -> float:
    return float(check_number(name, value, "a finite number", lambda _: True))
