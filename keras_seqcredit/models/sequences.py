"""A batch of sequences with their conditions and mask, as one value."""

from typing import Any
from typing import NamedTuple

from keras import ops

from keras_seqcredit.checks import check_steps
from keras_seqcredit.sequence_ops import previous_valid
from keras_seqcredit.types import Tensor


class Sequences(NamedTuple):
    """A batch of sequences.

    Attributes:
        values: `(batch, time, features)`, or integers `(batch, time)`.
        conditions: Vectors that steps see, `(batch, features)` or
            `(batch, time, features)`, or None. Defaults to `None`.
        mask: Boolean `(batch, time)`, False at padding, or None. Defaults to
            `None`.
    """

    values: Tensor
    conditions: Any = None
    mask: Any = None

    def embedded(
        self,
        embedding: Any,
        dtype: Any,
        dropped: Any = None,
        mixed_with: Any = None,
    ) -> tuple[Tensor, Tensor]:
        """Returns steps as vectors, and inputs of a network that predicts them.

        Args:
            embedding: The layer that turns steps into vectors, or None for
                steps that are vectors.
            dtype: String, dtype of vectors without an embedding.
            dropped: Boolean `(batch, time)`, the steps that must not see their
                predecessor, or None. Defaults to `None`.
            mixed_with: Frames to mix with the others, and their share
                `(batch, time)` (see `mixed`); or None. Defaults to `None`.

        Returns:
            Frames `(batch, time, features)`; and for each step, the frame of
            its valid predecessor with the conditions of the step. The frame is
            zero before the first step and where it is dropped.
        """
        if embedding is None:
            frames = ops.cast(self.values, dtype)
        else:
            frames = embedding(self.values)
        if mixed_with is not None:
            others, share = mixed_with
            frames = mixed(share, frames, others)
        past = frames
        if self.mask is not None:
            past = previous_valid(frames, self.mask)
        first = ops.zeros_like(past[:, :1])
        past = ops.concatenate([first, past[:, :-1]], axis=1)
        if dropped is not None:
            past = ops.where(dropped[..., None], ops.zeros_like(past), past)
        if self.conditions is None:
            return frames, past
        conditions = ops.cast(self.conditions, past.dtype)
        if len(conditions.shape) == 2:
            conditions = ops.repeat(
                conditions[:, None], ops.shape(past)[1], axis=1
            )
        return frames, ops.concatenate([past, conditions], axis=-1)

    def cut(self, steps: int | None) -> "Sequences":
        """Returns the first steps, or all of them for None."""
        if steps is None:
            return self
        values, conditions, mask = self
        if conditions is not None and len(conditions.shape) == 3:
            conditions = conditions[:, :steps]
        if mask is not None:
            mask = mask[:, :steps]
        return Sequences(values[:, :steps], conditions, mask)

    def followed_by(self, values: Tensor) -> "Sequences":
        """Doubles the batch with other values for the same conditions."""
        conditions, mask = (
            None if x is None else ops.concatenate([x, x])
            for x in (self.conditions, self.mask)
        )
        values = ops.concatenate([self.values, values])
        return Sequences(values, conditions, mask)


def read_sequences(
    inputs: Any, mask: Any, model_name: str, embedding: Any
) -> Sequences:
    """Returns inputs of a model as `Sequences`, with unchanged conditions.

    Args:
        inputs: Array or tensor of sequences, or a dictionary of `"sequences"`
            and, optionally, `"conditions"` and `"mask"`.
        mask: Boolean `(batch, time)`, a dictionary of such, or None. A mask in
            the dictionary of inputs takes precedence.
        model_name: String, for messages.
        embedding: The layer that turns steps into vectors and may compute a
            mask, or None.

    Raises:
        ValueError: if a dictionary has other entries, or there are no steps.
    """
    sequences, conditions = inputs, None
    if isinstance(inputs, dict):
        unknown = set(inputs) - {"sequences", "conditions", "mask"}
        if unknown or "sequences" not in inputs:
            raise ValueError(
                "Expected a dictionary with 'sequences' and, optionally, "
                f"'conditions' and 'mask'. Received: {sorted(inputs)}"
            )
        sequences = inputs["sequences"]
        conditions = inputs.get("conditions")
        mask = inputs.get("mask", mask)
    check_steps(model_name, sequences.shape)
    if isinstance(mask, dict):
        mask = mask.get("sequences")
    if mask is None and embedding is not None:
        mask = embedding.compute_mask(sequences, None)
    if mask is not None:
        mask = ops.cast(mask, "bool")
    return Sequences(sequences, conditions, mask)


def of_each_step(conditions: Tensor, length: Any) -> Tensor:
    """Returns conditions as `(length, batch, features)`."""
    if len(conditions.shape) == 2:
        return ops.repeat(conditions[None], length, axis=0)
    return ops.transpose(conditions, (1, 0, 2))


def mixed(share: Tensor, own: Tensor, data: Tensor) -> Tensor:
    """Mixes frames `(..., features)` with a share `(...)` of own frames."""
    share = ops.cast(share, own.dtype)[..., None]
    # Exact where the share is 0 or 1: the other frames may hold anything.
    both = share * own + (1 - share) * data
    return ops.where(share == 1, own, ops.where(share == 0, data, both))
