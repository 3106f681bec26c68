"""Keras' own cells in two parts, a linear one and gates.

The way back through a recurrence repeats each step. Of a cell whose matrix
products are kept, it repeats only what is elementwise.
"""

from collections.abc import Callable

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.types import Tensor


class GatedCell:
    """Stands for a `CellFunction`, where `is_gated(cell, training)`.

    Attributes:
        operands: pair of tuples of tensors: what `linear` is given, of inputs
            and of the state a kernel and, if there is one, a bias; and nothing.
    """

    def __init__(self, cell):
        self._cell = cell
        self._gates = _GATES[type(cell)]

    @property
    def operands(self) -> tuple:
        cell = self._cell

        def read(variable):
            return ops.cast(backend.read(variable), cell.compute_dtype)

        of_inputs = [read(cell.kernel)]
        of_states = [read(cell.recurrent_kernel)]
        bias = getattr(cell, "bias", None)
        if bias is not None:
            rows = ops.reshape(read(bias), (-1, 1, bias.shape[-1]))
            of_inputs.append(rows[0])
            if isinstance(cell, keras.layers.GRUCell):
                of_states.append(rows[1])
        return (tuple(of_inputs), tuple(of_states)), ()

    def constants(self, step_inputs: Tensor) -> tuple:
        del step_inputs
        return ()

    def linear(self, weights, constants, inputs, states) -> tuple:
        """Gates of inputs and state, added up where nothing else joins them."""
        del constants
        inputs, added = map(_affine, weights, (inputs, states[0]))
        if not isinstance(self._cell, keras.layers.GRUCell):
            return (inputs + added,)
        # The candidate's shares are apart: the reset gate is between them.
        both = [2 * self._cell.units]
        inputs, new = ops.split(inputs, both, axis=-1)
        added, of_new = ops.split(added, both, axis=-1)
        return inputs + added, new, of_new

    def __call__(self, weights, constants, gates, states) -> list:
        del weights, constants
        return self._gates(self._cell, states, *gates)


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


def _affine(weights, x):
    kernel, *bias = weights
    return sum(bias, ops.matmul(x, kernel))


def _lstm(cell, states, gates):
    i, f, g, o = ops.split(gates, 4, axis=-1)
    gate = cell.recurrent_activation
    c = gate(f) * states[1] + gate(i) * cell.activation(g)
    return [gate(o) * cell.activation(c), c]


def _gru(cell, states, gates, new, of_new):
    z, r = ops.split(cell.recurrent_activation(gates), 2, axis=-1)
    new = cell.activation(new + r * of_new)
    return [z * states[0] + (1 - z) * new]


def _simple(cell, states, gates):
    del states
    return [cell.activation(gates)]


_GATES: dict[type, Callable[..., list]] = {
    keras.layers.LSTMCell: _lstm,
    keras.layers.GRUCell: _gru,
    keras.layers.SimpleRNNCell: _simple,
}
