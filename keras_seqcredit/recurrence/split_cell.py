"""Keras' own cells in two parts, a linear one and the rest.

The backward pass of a recurrence repeats each step. For a cell whose matrix
products are kept, it repeats only elementwise operations.
"""

from collections.abc import Callable

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.recurrence.keras_cell import KerasCell
from keras_seqcredit.recurrence.step import SplitStep
from keras_seqcredit.recurrence.step import Step


class SplitCell(SplitStep):
    """Replaces a `KerasCell` if `can_split(cell, training)`.

    The linear part has a kernel, and a bias if there is one, for the inputs and
    for the state; the rest has no weights.
    """

    def __init__(self, cell):
        self._cell = cell
        self._pointwise = _POINTWISE[type(cell)]

    @property
    def weights(self) -> tuple:
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

    def linear(self, weights, constants, inputs, states) -> tuple:
        """Gates of inputs and state, summed if nothing comes between them."""
        del constants
        inputs, added = map(_affine, weights, (inputs, states[0]))
        if not isinstance(self._cell, keras.layers.GRUCell):
            return (inputs + added,)
        # The candidate's parts stay separate: the reset gate is between them.
        both = [2 * self._cell.units]
        inputs, new = ops.split(inputs, both, axis=-1)
        added, of_new = ops.split(added, both, axis=-1)
        return inputs + added, new, of_new

    def __call__(self, weights, constants, gates, states) -> list:
        del weights, constants
        return self._pointwise(self._cell, states, *gates)


def can_split(cell, training: bool) -> bool:
    """Whether the cell is one of Keras' own without active dropout."""
    if type(cell) not in _POINTWISE:
        return False
    drops = training and (cell.dropout or cell.recurrent_dropout)
    return (
        not drops
        and getattr(cell, "implementation", 2) == 2
        and getattr(cell, "reset_after", True)
    )


def step_of(cell, training: bool) -> Step:
    """The step of a cell, in two parts where possible."""
    if can_split(cell, training):
        return SplitCell(cell)
    return KerasCell(cell, training)


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


_POINTWISE: dict[type, Callable[..., list]] = {
    keras.layers.LSTMCell: _lstm,
    keras.layers.GRUCell: _gru,
    keras.layers.SimpleRNNCell: _simple,
}
