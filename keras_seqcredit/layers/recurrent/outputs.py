"""The base class of recurrent layers and their common outputs."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit.layers.recurrent.carried_states import CarriedStates
from keras_seqcredit.recurrence.keras_cell import state_sizes
from keras_seqcredit.types import Shape
from keras_seqcredit.types import Tensor


class RecurrentLayer(CarriedStates):
    """Base class of layers that return an output, then requested extras.

    A subclass describes its outputs in `_specs`. It has the arguments
    `return_sequences` and `zero_output_for_mask`.

    An activity regularizer applies to the output only. Keras would apply it to
    each tensor that a layer returns, but states, slots and costs are not
    activities: returning them must not change the loss. So Keras gets no
    regularizer, and `call` adds the loss.

    Attributes:
        output_regularizer: the argument `activity_regularizer`.
    """

    output_regularizer: Any = None

    def _take_activity_regularizer(self) -> None:
        """Must be called once by `__init__`, after the layer's own."""
        self.output_regularizer = self.activity_regularizer
        self.activity_regularizer: Any = None

    def _specs(self, sequences_shape) -> list[tuple]:
        """Shapes and dtypes of all returned tensors, the output first."""
        raise NotImplementedError

    def _finished(self, output: Tensor, mask: Any) -> Tensor:
        """Prepares an output to be returned and regularizes its activity.

        Args:
            output: `(batch, time, features)`, or `(batch, features)` of the
                last step.
            mask: Boolean `(batch, time)`, in the order of the output, or None.
        """
        if self.zero_output_for_mask and mask is not None:
            mask = mask if self.return_sequences else mask[:, -1]
            output = ops.where(mask[..., None], output, ops.zeros_like(output))
        output = ops.cast(output, self.compute_dtype)
        if self.output_regularizer is not None:
            loss = self.output_regularizer(output)
            # A mean over the batch, as in Keras.
            batch_size = ops.cast(ops.shape(output)[0], loss.dtype)
            self.add_loss(ops.divide_no_nan(loss, batch_size))
        return output

    def compute_mask(self, sequences, mask=None):
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        mask = mask if self.return_sequences else None
        outputs = len(self._specs((None, None)))
        return mask if outputs == 1 else [mask] + [None] * (outputs - 1)

    def get_config(self):
        config = super().get_config()
        if self.output_regularizer is None:
            return config
        return {
            **config,
            "activity_regularizer": keras.regularizers.serialize(
                self.output_regularizer
            ),
        }


def one_or_tuple(results: list) -> Any:
    """The single result of a layer, or a tuple of its results."""
    return results[0] if len(results) == 1 else tuple(results)


def empty(specs: list[tuple]) -> Any:
    """The results for an empty batch, on which Keras cells may fail."""
    return one_or_tuple([ops.zeros(shape, dtype) for shape, dtype in specs])


def symbolic(specs: list[tuple]) -> Any:
    """The results as Keras tensors."""
    return one_or_tuple(
        [keras.KerasTensor(shape, dtype=dtype) for shape, dtype in specs]
    )


def shapes(specs: list[tuple]) -> Any:
    """Shapes of the results."""
    return one_or_tuple([shape for shape, _ in specs])


def attentive_specs(
    layer: Any, sequences_shape: Shape, initial_state_shape: list | None = None
) -> list:
    """Shapes and dtypes of the outputs of a `SparseAttentiveRNN`."""
    sizes = state_sizes(layer.cell)
    batch, time = sequences_shape[:2]
    dtype = layer.compute_dtype
    width = sizes[0] * (2 if layer.return_summary else 1)
    steps = (time,) if layer.return_sequences else ()
    specs: list = [((batch, *steps, width), dtype)]
    if layer.return_state:
        specs += [((batch, size), dtype) for size in sizes]
    if layer.return_memory:
        slots, num_states = layer.memory_size, len(sizes)
        if slots is None and time is not None:
            first = 1
            if initial_state_shape and initial_state_shape[num_states:]:
                first = initial_state_shape[num_states][1]
            slots = None if first is None else first + time // layer.k_att
        specs += [
            ((batch, slots, sizes[0]), dtype),
            ((batch, slots), "bool"),
        ]
    if layer.return_attention:
        shape = (batch, time, layer.k_top)
        specs += [(shape, "int32"), (shape, "float32")]
    return specs
