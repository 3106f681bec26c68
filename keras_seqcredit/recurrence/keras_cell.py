"""A Keras RNN cell as a pure function of its weights."""

import inspect

import keras
from keras import ops
from keras import tree

from keras_seqcredit import backend
from keras_seqcredit.backend import keras_private
from keras_seqcredit.recurrence.step import Step
from keras_seqcredit.types import Tensor


class KerasCell(Step):
    """Calls a built cell with given weights and flat states.

    The hidden state comes first: the states of a `StackedRNNCells` are
    reordered so that its last cell comes first.

    Weights are the trainable ones. Constants are the others, and the masks of
    Keras' own dropout, drawn once for all steps.
    """

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
    def weights(self) -> tuple:
        return tuple(backend.read(v) for v in self._trainable)

    def constants(self, step_inputs: Tensor) -> tuple:
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

    Its draws for Keras' own dropout are discarded.
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
        for layer in keras_private.flat_layers(cell):
            # Also for inner cells, which keep what they drew.
            if keras_private.has_dropout_masks(layer):
                keras_private.reset_dropout_masks(layer)
    return flat_states(cell, states)


def state_sizes(cell) -> list[int]:
    """Sizes of the flat states of a cell, the hidden state first."""
    return flat_states(cell, cell.state_size)


def first_states(cell, batch_size, dtype) -> list:
    """Flat states before the first step."""
    get = getattr(cell, "get_initial_state", None)
    if get is None:
        states = [ops.zeros((batch_size, size)) for size in state_sizes(cell)]
    else:
        states = flat_states(cell, get(batch_size=batch_size))
    return [ops.cast(state, dtype) for state in states]


def flat_states(cell, states) -> list:
    """Flat list of states, the hidden state first."""
    flat = tree.flatten(states)
    last = len(flat) - _hidden_index(cell)
    return flat[-last:] + flat[:-last]


def pack_states(cell, flat: list):
    """Packs states from `flat_states` into the structure of the cell."""
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


# Keras' cells cache a dropout mask, drawn once per sequence. Here, it is drawn
# outside the loop and set for a step.


def _dropping(cell) -> list:
    cells = cell.cells if _is_stack(cell) else [cell]
    return [c for c in cells if keras_private.has_dropout_masks(c)]


def _dropout_masks(cell, step_inputs, training) -> tuple:
    if not training:
        return ()
    batch = ops.shape(step_inputs)[0]
    masks = []
    for one in cell.cells if _is_stack(cell) else [cell]:
        units = state_sizes(one)[0]
        state = ops.zeros((batch, units), step_inputs.dtype)
        if keras_private.has_dropout_masks(one):
            drawn = keras_private.draw_dropout_masks(one, step_inputs, state)
            masks.append(tuple(_plain(mask) for mask in drawn))
        step_inputs = state
    return tuple(masks)


def _plain(mask):
    # A cell has one mask per gate, or a single one, or none.
    if mask is None:
        return ()
    return tuple(mask) if isinstance(mask, (list, tuple)) else mask


def _set_dropout_masks(cell, masks: tuple) -> None:
    cells = _dropping(cell)
    for one, drawn in zip(cells, masks or [((), ())] * len(cells), strict=True):
        mask, recurrent_mask = (
            None if isinstance(m, tuple) and not m else m for m in drawn
        )
        keras_private.set_dropout_masks(one, mask, recurrent_mask)
