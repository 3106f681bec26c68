"""A network that distinguishes free runs of a generator from runs on data."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_steps
from keras_seqcredit.layers.recurrent.inputs import read_call
from keras_seqcredit.layers.recurrent.sparse_attentive_rnn import (
    SparseAttentiveRNN,
)
from keras_seqcredit.recurrence.run import run
from keras_seqcredit.recurrence.two_directions import in_one_loop
from keras_seqcredit.saving import public
from keras_seqcredit.sequence_ops import time_first
from keras_seqcredit.types import Shape


@public
class BehaviorDiscriminator(keras.layers.Layer):
    """Scores how much a sequence of behaviors looks like one from data.

    One GRU reads the sequence forward and another one backward. ReLU layers
    follow at each step, and the logit is the mean over the valid steps. Rows of
    a batch do not affect each other.

    Args:
        units: Positive integer, units of each GRU. Defaults to `128`.
        hidden_units: Positive integer, units of the ReLU layers, or `None` for
            `units`. Defaults to `None`.
        num_hidden: Positive integer, number of ReLU layers. Defaults to `2`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        behaviors: `(batch, time, features)`.
        mask: Boolean `(batch, time)`. Padding has no effect.
        training: Boolean, unused: there is no dropout.

    Returns:
        Logits `(batch,)`, float32; positive for a run on data.

    Raises:
        ValueError: if an argument is not a positive integer, or if the input is
            not of rank 3 or its size differs from the first call.

    Example:

    ```python
    import numpy as np
    from keras_seqcredit.layers import BehaviorDiscriminator

    logits = BehaviorDiscriminator(16)(np.zeros((4, 10, 6), "float32"))
    assert logits.shape == (4,)
    ```

    References:
        - Lamb et al., "Professor Forcing: A New Algorithm for Training
          Recurrent Networks", NeurIPS 2016, arXiv:1610.09038, section 2.
    """

    # See `constant_rows`.
    _constant_rows = 0

    def __init__(
        self,
        units: int = 128,
        hidden_units: int | None = None,
        num_hidden: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Passed args.
        self.units = check_integer("units", units)
        self.hidden_units = check_integer(
            "hidden_units", hidden_units, optional=True
        )
        self.num_hidden = check_integer("num_hidden", num_hidden)

        # Other args.
        self.supports_masking = True
        self._directions = [
            SparseAttentiveRNN(
                keras.layers.GRUCell(self.units, dtype=self.dtype_policy),
                k_top=0,  # A plain GRU, faster than Keras' own.
                return_sequences=True,
                go_backwards=go_backwards,
                dtype=self.dtype_policy,
                name="backward" if go_backwards else "forward",
            )
            for go_backwards in (False, True)
        ]
        self._hidden = [
            keras.layers.Dense(
                self.hidden_units or self.units,
                activation="relu",
                dtype=self.dtype_policy,
                name=f"hidden_{number}",
            )
            for number in range(self.num_hidden)
        ]
        self._logit = keras.layers.Dense(
            1, dtype=self.dtype_policy, name="logit"
        )

    def build(self, behaviors_shape: Shape) -> None:
        if len(behaviors_shape) != 3 or behaviors_shape[-1] is None:
            raise ValueError(
                "Expected behaviors of shape (batch, time, features). "
                f"Received: shape={tuple(behaviors_shape)}"
            )
        self.input_spec = keras.layers.InputSpec(
            ndim=3, axes={-1: behaviors_shape[-1]}
        )
        for layer in self._directions:
            layer.build(behaviors_shape)
        shape = (*behaviors_shape[:-1], 2 * self.units)
        for layer in [*self._hidden, self._logit]:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, behaviors, mask=None, training=False):
        del training
        check_steps(self.name, behaviors.shape)
        outputs = self._both_directions(behaviors, mask)
        for layer in [*self._hidden, self._logit]:
            outputs = layer(outputs)
        logits = ops.cast(outputs[..., 0], "float32")
        if mask is None:
            return ops.mean(logits, axis=1)
        mask = ops.cast(mask, "bool")
        count = ops.sum(ops.cast(mask, "float32"), axis=1)
        total = ops.sum(ops.where(mask, logits, 0.0), axis=1)
        return total / ops.maximum(count, 1.0)

    def _both_directions(self, behaviors, mask):
        """States of both recurrences at each step, concatenated."""
        recurrence = in_one_loop(
            *(
                layer._of_call(read_call(layer, behaviors, mask))
                for layer in self._directions
            )
        )
        settings = recurrence.settings._replace(
            constant_rows=self._constant_rows
        )
        ahead, back = run(recurrence._replace(settings=settings)).states
        return time_first(
            ops.concatenate([ahead, ops.flip(back, axis=0)], axis=-1)
        )

    def compute_mask(self, behaviors, mask=None):
        return None

    def compute_output_spec(self, behaviors, mask=None, training=False):
        check_steps(self.name, behaviors.shape)
        return keras.KerasTensor((behaviors.shape[0],), "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "hidden_units": self.hidden_units,
            "num_hidden": self.num_hidden,
        }


@contextlib.contextmanager
def constant_rows(layer: BehaviorDiscriminator, number: int) -> Iterator[None]:
    """A scope in which the first rows of a batch are constants.

    In this scope, a call of `layer` gives these rows no gradient, which saves
    computing it.
    """
    layer._constant_rows = number
    try:
        yield
    finally:
        layer._constant_rows = 0
