"""Keras' own cells in two parts, a linear one and gates.

The way back through a recurrence repeats each step. Of a cell whose matrix
products are kept, it repeats only what is elementwise.
"""

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.types import Tensor


class GatedCell:
    """Stands for a `CellFunction`, where `is_gated(cell, training)`.

    Attributes:
        operands: pair of tuples of tensors: the kernels, and the biases that
            the gates add.
    """

    def __init__(self, cell):
        self._cell = cell
        self._gates = _GATES[type(cell)]

    @property
    def operands(self) -> tuple:
        cell = self._cell
        kernels = [cell.kernel, cell.recurrent_kernel]
        bias = getattr(cell, "bias", None)
        biases = [] if bias is None else [bias]
        return tuple(
            tuple(
                ops.cast(backend.read(v), cell.compute_dtype) for v in variables
            )
            for variables in (kernels, biases)
        )

    def constants(self, step_inputs: Tensor) -> tuple:
        del step_inputs
        return ()

    def linear(self, weights, constants, inputs, states) -> Tensor:
        """`(B, G)`; of a GRU those of input and state, side by side."""
        del constants
        of_inputs = ops.matmul(inputs, weights[0])
        of_states = ops.matmul(states[0], weights[1])
        if isinstance(self._cell, keras.layers.GRUCell):
            return ops.concatenate([of_inputs, of_states], axis=-1)
        return of_inputs + of_states

    def __call__(self, weights, constants, gates, states) -> list:
        del constants
        if weights:
            gates = gates + ops.reshape(weights[0], (1, -1))
        return self._gates(self._cell, gates, states)


def is_gated(cell, training: bool) -> bool:
    """Whether the cell is one of Keras' own, and drops nothing."""
    if type(cell) not in _GATES:
        return False
    drops = training and (cell.dropout or cell.recurrent_dropout)
    return (
        not drops
        and getattr(cell, "implementation", 2) == 2
        and getattr(cell, "reset_after", True)
    )


def _lstm(cell, gates, states):
    i, f, g, o = ops.split(gates, 4, axis=-1)
    gate = cell.recurrent_activation
    c = gate(f) * states[1] + gate(i) * cell.activation(g)
    return [gate(o) * cell.activation(c), c]


def _gru(cell, gates, states):
    z, r, new, of_z, of_r, of_new = ops.split(gates, 6, axis=-1)
    z = cell.recurrent_activation(z + of_z)
    r = cell.recurrent_activation(r + of_r)
    new = cell.activation(new + r * of_new)
    return [z * states[0] + (1 - z) * new]


def _simple(cell, gates, states):
    del states
    return [cell.activation(gates)]


_GATES = {
    keras.layers.LSTMCell: _lstm,
    keras.layers.GRUCell: _gru,
    keras.layers.SimpleRNNCell: _simple,
}
