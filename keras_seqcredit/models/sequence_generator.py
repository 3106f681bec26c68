"""What models of sequences share: their inputs."""

from typing import Any

import numpy as np
from keras import ops

from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_steps
from keras_seqcredit.checks import fits
from keras_seqcredit.models.generative_model import GenerativeModel
from keras_seqcredit.models.given_key import GivenKey
from keras_seqcredit.models.readable_sequences import readable_sequences
from keras_seqcredit.ops.sequence import previous_valid


class SequenceGenerator(GenerativeModel):
    """A mixin of models that are fitted on sequences.

    Their input is an array `(batch, time, features)`, integers `(batch, time)`
    for a model with an embedding, or a dictionary of such `"sequences"` with,
    optionally, `"conditions"` `(batch, features)` or `(batch, time, features)`
    and a boolean `"mask"` `(batch, time)`.
    """

    # What the model has.
    name: str
    embedding: Any
    condition_size: int
    condition_network: Any = None

    def _checked(self, data, name="x"):
        return readable_sequences(data, name, self.embedding)

    def _unpack(self, inputs, mask=None):
        """Sequences, conditions and the mask, the last two or None."""
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
        check_steps(self.name, sequences.shape)
        if isinstance(mask, dict):
            mask = mask.get("sequences")
        if mask is None and self.embedding is not None:
            mask = self.embedding.compute_mask(sequences, None)
        if mask is not None:
            mask = ops.cast(mask, "bool")
        return sequences, conditions, mask

    def _check_conditions(self, shape, length) -> None:
        """Whether conditions, or None, are as those of training.

        Args:
            shape: theirs, where None stands for any size; None without any.
            length: integer, steps for which they are to be.
        """
        found, size = shape, self.condition_size
        if shape is not None and self.condition_network is not None:
            found = self.condition_network.compute_output_shape(shape)
        if found is None and not size:
            return
        if not size:
            expected = "no conditions, as the model was trained without"
        else:
            after = ""
            if self.condition_network is not None:
                after = " after its `condition_network`"
            expected = (
                f"conditions of {size} features{after}, (batch, features) or "
                f"for each of {length} steps (batch, steps, features)"
            )
            if found is not None and (
                fits(found, (None, size)) or fits(found, (None, length, size))
            ):
                return
        raise ValueError(f"Expected {expected}. Received: shape={shape}")

    def _in_batches(self, name, function, x, batch_size, generator=None):
        """Applies a compiled function to batches of arrays.

        With a generator it is given a key, too, which is drawn for each batch.
        """
        check_integer("batch_size", batch_size)
        self._check_built()
        x = self._checked(x)
        arrays = x if isinstance(x, dict) else {"sequences": x}
        arrays = {key: np.asarray(value) for key, value in arrays.items()}
        run = self._compiled((name,), function)
        starts = range(0, len(arrays["sequences"]), batch_size)
        keys: Any = [()] * len(starts)
        if generator is not None:
            drawn = GivenKey.draw(generator, len(starts), self.seed_generator)
            keys = [(key,) for key in drawn]
        found = [
            ops.convert_to_numpy(
                run(
                    {
                        name: ops.convert_to_tensor(value[i : i + batch_size])
                        for name, value in arrays.items()
                    },
                    *key,
                )
            )
            for i, key in zip(starts, keys, strict=True)
        ]
        return np.concatenate(found)


def past_of(frames, mask=None):
    """Each step's valid predecessor; zeros before the first."""
    first = ops.zeros_like(frames[:, :1])
    if mask is not None:
        frames = previous_valid(frames, mask)
    return ops.concatenate([first, frames[:, :-1]], axis=1)


def joined(frames, conditions):
    """Frames `(batch, time, ...)` with the conditions that every step sees."""
    if conditions is None:
        return frames
    conditions = ops.cast(conditions, frames.dtype)
    if len(conditions.shape) == 2:
        conditions = ops.repeat(
            conditions[:, None], ops.shape(frames)[1], axis=1
        )
    return ops.concatenate([frames, conditions], axis=-1)


def each_step(conditions, length):
    """Conditions as `(length, batch, features)`."""
    if len(conditions.shape) == 2:
        return ops.repeat(conditions[None], length, axis=0)
    return ops.transpose(conditions, (1, 0, 2))
