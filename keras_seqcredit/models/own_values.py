"""How a generator reads its own values in training."""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_seqcredit import schedules
from keras_seqcredit.types import Tensor


class OwnValues(NamedTuple):
    """Where, and how much, training steps read the previous sample.

    Attributes:
        sampling_probability: Schedule; see `AutoregressiveRNN`.
        own_share: Schedule; see there.
        rollout_steps: Integer or None; see there.
    """

    sampling_probability: Any
    own_share: Any
    rollout_steps: int | None

    @property
    def are_read(self) -> bool:
        """Whether there are such steps; otherwise it is teacher forcing."""
        never = schedules.is_zero(self.sampling_probability)
        never = never and schedules.is_zero(self.own_share)
        return not never or self.rollout_steps is not None

    def draw(self, batch: Any, time: Any, updates: Tensor, seed: Any) -> Tensor:
        """Draws where steps read the previous sample, `(time, batch)`.

        Args:
            batch: Integer.
            time: Integer.
            updates: Integer scalar, number of updates so far.
            seed: Seed generator.

        Returns:
            Booleans, or floats for the share of the sample in the input.
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
        """Alternates equal numbers of steps on data and on samples."""
        length: Any = self.rollout_steps
        period = 2 * length
        first = keras.random.randint((batch,), 0, period, "int32", seed=seed)
        steps = ops.arange(time, dtype="int32")[:, None] + first
        return steps % period >= length
