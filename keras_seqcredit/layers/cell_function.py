"""A Keras RNN cell as a pure function of its weights."""

import inspect

import keras
from keras import ops
from keras import tree

from keras_seqcredit import backend
from keras_seqcredit.types import Tensor


class CellFunction:
    """Calls a built cell with given weights and flat states.

    Hidden state first: the states of a `StackedRNNCells` are turned so that
    those of its last cell lead.

    Attributes:
        state_sizes: list of ints, in the order of the flat states.
        operands: tuple of tensors, the trainable weights.
        constants: tuple of what else the cell reads: weights that are not
            trained, dropout masks.
        batch_axes: where the batch is in these, see `backend.per_shard`.
    """

    linear = None
    batch_axes = (-1, 0)

    def __init__(self, cell, training: bool = False):
        self._cell = cell
        self._trainable = [v for v in cell.variables if v.trainable]
        self._others = [v for v in cell.variables if not v.trainable]
        self._kwargs = {}
        if "training" in inspect.signature(cell.call).parameters:
            self._kwargs["training"] = training
        self._training = training

    @property
    def operands(self) -> tuple:
        return tuple(backend.read(v) for v in self._trainable)

    def constants(self, step_inputs: Tensor) -> tuple:
        """What else the cell reads; `step_inputs (B, F)` sizes its dropout."""
        others = tuple(backend.read(v) for v in self._others)
        return others, _dropout_masks(self._cell, step_inputs, self._training)

    def __call__(self, weights, constants, inputs, states) -> list:
        others, masks = constants
        mapping = list(zip(self._trainable, weights, strict=True))
        mapping += zip(self._others, others, strict=True)
        with keras.StatelessScope(state_mapping=mapping):
            _set_dropout_masks(self._cell, masks)
            _, states = self._cell(
                inputs, pack_states(self._cell, states), **self._kwargs
            )
            _set_dropout_masks(self._cell, ())
        return flat_states(self._cell, states)


def call_once(cell, inputs: Tensor, states) -> list:
    """The flat states of a cell after a step of training.

    What it draws for Keras' own dropout is forgotten.
    """
    with keras.StatelessScope():
        masks = _dropout_masks(cell, inputs, training=True)
    kwargs = {}
    if "training" in inspect.signature(cell.call).parameters:
        kwargs["training"] = True
    _set_dropout_masks(cell, masks)
    try:
        _, states = cell(inputs, pack_states(cell, list(states)), **kwargs)
    finally:
        for layer in cell._flatten_layers():
            # Also of those inside, which keep what they drew.
            if hasattr(layer, "get_dropout_mask"):
                layer.reset_dropout_mask()
                layer.reset_recurrent_dropout_mask()
    return flat_states(cell, states)


def state_sizes(cell) -> list[int]:
    """Sizes of the flat states of a cell, the hidden state first."""
    return flat_states(cell, cell.state_size)


def flat_states(cell, states) -> list:
    """Flat list of states, the hidden state first."""
    flat = tree.flatten(states)
    last = len(flat) - _hidden_index(cell)
    return flat[-last:] + flat[:-last]


def pack_states(cell, flat: list):
    """The structure that the cell wants of states from `flat_states`."""
    last = len(flat) - _hidden_index(cell)
    flat = flat[last:] + flat[:last]
    if not _is_stack(cell):
        return flat
    return tree.pack_sequence_as(list(cell.state_size), flat)


def _hidden_index(cell) -> int:
    if not _is_stack(cell):
        return 0
    return len(tree.flatten(cell.state_size[:-1]))


def _is_stack(cell) -> bool:
    return isinstance(cell, keras.layers.StackedRNNCells)


# Keras' cells cache a dropout mask, drawn once a sequence, in two attributes
# of `DropoutRNNCell`. Here they are drawn outside the loop and set for a step.


def _dropping(cell) -> list:
    cells = cell.cells if _is_stack(cell) else [cell]
    return [c for c in cells if hasattr(c, "get_dropout_mask")]


def _dropout_masks(cell, step_inputs, training) -> tuple:
    if not training:
        return ()
    batch = ops.shape(step_inputs)[0]
    masks = []
    for one in cell.cells if _is_stack(cell) else [cell]:
        units = state_sizes(one)[0]
        state = ops.zeros((batch, units), step_inputs.dtype)
        if hasattr(one, "get_dropout_mask"):
            drawn = (
                one.get_dropout_mask(step_inputs),
                one.get_recurrent_dropout_mask(state),
            )
            masks.append(tuple(_plain(mask) for mask in drawn))
            one.reset_dropout_mask()
            one.reset_recurrent_dropout_mask()
        step_inputs = state
    return tuple(masks)


def _plain(mask):
    # A cell has one mask a gate, or one in all, or none.
    if mask is None:
        return ()
    return tuple(mask) if isinstance(mask, (list, tuple)) else mask


def _set_dropout_masks(cell, masks: tuple) -> None:
    cells = _dropping(cell)
    for one, drawn in zip(cells, masks or [((), ())] * len(cells), strict=True):
        mask, recurrent_mask = (
            None if isinstance(m, tuple) and not m else m for m in drawn
        )
        one._dropout_mask = mask
        one._recurrent_dropout_mask = recurrent_mask
