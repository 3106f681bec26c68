"""What a generator reads of its own values while it trains."""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_seqcredit import schedules
from keras_seqcredit.types import Tensor


class OwnValues(NamedTuple):
    """Where, and how much, a step of training reads what was drawn before it.

    Attributes:
        sampling_probability: Schedule, see `AutoregressiveRNN`.
        own_share: Schedule, see there.
        rollout_steps: Integer or None, see there.
    """

    sampling_probability: Any
    own_share: Any
    rollout_steps: int | None

    @property
    def are_read(self) -> bool:
        """Whether there are such steps; else it is teacher forcing."""
        never = schedules.is_zero(self.sampling_probability)
        never = never and schedules.is_zero(self.own_share)
        return not never or self.rollout_steps is not None

    def draw(self, batch: Any, time: Any, updates: Tensor, seed: Any) -> Tensor:
        """Where steps read the sample of the step before, `(time, batch)`.

        Args:
            batch: Integer.
            time: Integer.
            updates: Integer scalar, updates made.
            seed: Seed generator.

        Returns:
            Booleans; or floats, the share of the sample in what they read.
        """
        whole: Any = None
        if not schedules.is_zero(self.sampling_probability):
            coins = keras.random.uniform((time, batch), seed=seed)
            whole = coins < self.sampling_probability(updates)
        if self.rollout_steps is not None:
            windows = self._windows(batch, time, seed)
            whole = windows if whole is None else whole | windows
        if schedules.is_zero(self.own_share):
            return whole
        share = ops.clip(self.own_share(updates), 0.0, 1.0)
        share = share * ops.ones((time, batch))
        return share if whole is None else ops.where(whole, 1.0, share)

    def _windows(self, batch, time, seed):
        """As many steps of data, then as many of samples, and so on."""
        length: Any = self.rollout_steps
        period = 2 * length
        first = keras.random.randint((batch,), 0, period, "int32", seed=seed)
        steps = ops.arange(time, dtype="int32")[:, None] + first
        return steps % period >= length
