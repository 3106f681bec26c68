"""The common base of sequence models: their inputs and input checks."""

from typing import Any

import numpy as np
from keras import ops

from keras_seqcredit.checks import check_array
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import fits
from keras_seqcredit.models.generative_model import GenerativeModel
from keras_seqcredit.models.readable_sequences import readable_sequences
from keras_seqcredit.seeds import FixedSeed


class SequenceGenerator(GenerativeModel):
    """Abstract base of models that are fitted on sequences.

    Their input is an array `(batch, time, features)`, integers `(batch, time)`
    for a model with an embedding, or a dictionary of such `"sequences"` with,
    optionally, `"conditions"` `(batch, features)` or `(batch, time, features)`
    and a boolean `"mask"` `(batch, time)`.

    Attributes:
        head: The `DistributionHead` of a step.
        embedding: The layer that turns steps into vectors, or None.
        condition_network: The layer that turns conditions into vectors, or
            None.
        condition_size: Integer, size of these vectors; 0 without conditions.
    """

    head: Any
    embedding: Any
    condition_network: Any = None
    condition_size: int = 0

    def _checked(self, data, name="x"):
        return readable_sequences(data, name, self.embedding)

    def _check_conditions(self, shape, length) -> None:
        """Checks that conditions, or None, are as in training.

        Args:
            shape: their shape, where None is any size; None without conditions.
            length: integer, number of steps that they must cover.
        """
        prepared, size = shape, self.condition_size
        if shape is not None and self.condition_network is not None:
            prepared = self.condition_network.compute_output_shape(shape)
        if prepared is None and not size:
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
            if prepared is not None and (
                fits(prepared, (None, size))
                or fits(prepared, (None, length, size))
            ):
                return
        raise ValueError(f"Expected {expected}. Received: shape={shape}")

    def _check_axes(self, sequences) -> None:
        names = "(batch, time, features)"
        if self.embedding is not None:
            names += " or (batch, time)"
        shape = np.shape(sequences)
        if 0 in shape or len(shape) not in (
            3,
            3 - (self.embedding is not None),
        ):
            raise ValueError(
                f"Expected sequences of shape {names}, at least one. Received: "
                f"shape {shape}"
            )

    def _in_batches(self, name, function, x, batch_size, generator=None):
        """Applies a compiled function to batches of arrays.

        With a generator, the function also gets a key, drawn for each batch.
        """
        check_integer("batch_size", batch_size)
        self._check_built()
        x = self._checked(x)
        arrays = x if isinstance(x, dict) else {"sequences": x}
        arrays = {key: check_array(key, value) for key, value in arrays.items()}
        self._check_axes(arrays.get("sequences"))
        run = self._compiled((name,), function)
        starts = range(0, len(arrays["sequences"]), batch_size)
        keys: Any = [()] * len(starts)
        if generator is not None:
            drawn = FixedSeed.draw(generator, len(starts), self.seed_generator)
            keys = [(key,) for key in drawn]
        parts = [
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
        return np.concatenate(parts)
