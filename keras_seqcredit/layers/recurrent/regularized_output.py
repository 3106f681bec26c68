"""Activity regularizers of layers that return more than their output."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit.types import Tensor


class RegularizedOutput:
    """A mixin of layers: an activity regularizer counts their output only.

    Keras adds what a regularizer gives for each tensor that a layer returns.
    States, slots and costs are no activities: whether they are returned must
    not change the loss. So Keras is given no regularizer, and `call` adds it.

    Attributes:
        output_regularizer: the argument `activity_regularizer`.
    """

    output_regularizer: Any = None

    def _take_activity_regularizer(self) -> None:
        """To be called once by `__init__`, after that of the layer."""
        self.output_regularizer = self.activity_regularizer
        self.activity_regularizer: Any = None

    def _regularize(self, output: Tensor) -> None:
        """Adds the cost of an output, a mean over the batch as in Keras."""
        if self.output_regularizer is None:
            return
        loss = self.output_regularizer(output)
        batch_size = ops.cast(ops.shape(output)[0], loss.dtype)
        self.add_loss(ops.divide_no_nan(loss, batch_size))  # type: ignore[attr-defined]

    def get_config(self):
        config = super().get_config()  # type: ignore[misc]
        if self.output_regularizer is None:
            return config
        return {
            **config,
            "activity_regularizer": keras.regularizers.serialize(
                self.output_regularizer
            ),
        }
