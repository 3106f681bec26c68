"""A recurrent layer with perturbations added to its hidden states.

The derivative of a loss with respect to the perturbation of a state is the
total derivative with respect to that state, through the output, the next step,
and each later step that reads it from a memory. So one wrapper serves every
cell and every layer around it.
"""

from typing import Any

import keras
from keras import ops

from keras_seqcredit.layers.recurrent.sparse_attentive_rnn import (
    SparseAttentiveRNN,
)
from keras_seqcredit.layers.recurrent.with_cell import with_cell
from keras_seqcredit.recurrence.keras_cell import state_sizes

# Entries of a layer's configuration that a perturbed layer sets itself.
_OWN = ("cell", "name", "stateful", "trainable", "unroll")


def is_recurrent(layer: Any) -> bool:
    """Whether the states of the layer can be perturbed."""
    return (
        isinstance(layer, (SparseAttentiveRNN, keras.layers.RNN))
        and not isinstance(layer.cell, keras.layers.StackedRNNCells)
        # Keras' convolutional cells have states of other shapes.
        and all(isinstance(size, int) for size in state_sizes(layer.cell))
    )


class PerturbedRNN(keras.layers.Layer):
    """Runs a built recurrent layer, with its weights, and adds to its states.

    Attributes:
        added: The perturbation, `(batch, time, units)`, or None. Steps are in
            the order of the input, also for a layer that goes backwards.
        size: `(batch, time)` of the input of the last call.
        mask: Its mask, or None.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__(name=f"{layer.name}_perturbed", dtype="float32")
        cell = _PerturbedCell(layer.cell)
        is_sparse = isinstance(layer, SparseAttentiveRNN)
        base = SparseAttentiveRNN if is_sparse else keras.layers.RNN
        # Not the subclass's, which has the arguments of its cell.
        settings = {
            name: value
            for name, value in base.get_config(layer).items()
            if name not in _OWN
        }
        if is_sparse:
            # Compiled like the model that contains it.
            settings["jit_compile"] = False
            self._rnn: Any = with_cell(layer, cell, **settings)
        else:
            self._rnn = keras.layers.RNN(cell, **settings)
        self.units = state_sizes(layer.cell)[0]
        self.added: Any = None
        self.size: Any = None
        self.mask: Any = None
        self.built = True

    def call(
        self,
        sequences,
        initial_state=None,
        mask=None,
        training=False,
        sequences_mask=None,
    ):
        mask = sequences_mask if mask is None else mask
        self.size, self.mask = ops.shape(sequences)[:2], mask
        added = self.added
        if added is None:
            added = ops.zeros((*self.size, self.units), sequences.dtype)
        joined = ops.concatenate(
            [sequences, ops.cast(added, sequences.dtype)], axis=-1
        )
        return self._rnn(
            joined, initial_state=initial_state, mask=mask, training=training
        )

    def compute_output_spec(self, sequences, *args, **kwargs):
        shape = (*sequences.shape[:2], sequences.shape[2] + self.units)
        joined = keras.KerasTensor(shape, sequences.dtype)
        kwargs.pop("sequences_mask", None)
        return self._rnn.compute_output_spec(joined, *args, **kwargs)

    def compute_mask(self, sequences, mask=None):
        return self._rnn.compute_mask(sequences, mask)


class _PerturbedCell(keras.layers.Layer):
    """A cell whose last inputs are added to its hidden state."""

    def __init__(self, cell: Any) -> None:
        super().__init__(
            name="perturbed_cell", dtype=getattr(cell, "dtype_policy", None)
        )
        self.cell = cell
        self.state_size = cell.state_size
        self.output_size = getattr(cell, "output_size", state_sizes(cell)[0])
        self.built = True

    def call(self, inputs, states, training=False):
        units = state_sizes(self.cell)[0]
        inputs, added = inputs[..., :-units], inputs[..., -units:]
        output, states = self.cell(inputs, states, training=False)
        first, *others = keras.tree.flatten(states)
        return output + added, [first + added, *others]

    def get_initial_state(self, batch_size=None):
        get = getattr(self.cell, "get_initial_state", None)
        if get is None:
            return [
                ops.zeros((batch_size, size), self.compute_dtype)
                for size in state_sizes(self.cell)
            ]
        return get(batch_size=batch_size)
