"""Gradients of a free run without running it again.

A free run takes steps one by one and stores the linear part of each. From
these, `replay` computes the value and the gradient of a run on its samples,
without repeating any step.
"""

from typing import Any

from keras_seqcredit.layers.recurrent.inputs import read_call
from keras_seqcredit.layers.recurrent.sparse_attentive_rnn import (
    SparseAttentiveRNN,
)
from keras_seqcredit.recurrence import run
from keras_seqcredit.recurrence.split_cell import SplitCell
from keras_seqcredit.recurrence.split_cell import can_split
from keras_seqcredit.recurrence.stream import State
from keras_seqcredit.recurrence.stream import stream
from keras_seqcredit.recurrence.structures import Outputs
from keras_seqcredit.sequence_ops import infinite_to_nan
from keras_seqcredit.types import Tensor


def can_replay(layer: SparseAttentiveRNN, training: bool) -> bool:
    """Whether `step_for_replay` and `replay` support the layer."""
    return (
        layer.k_top == 0
        and not layer.return_summary
        and layer.output_regularizer is None
        and can_split(layer.cell, training)
    )


def step_for_replay(
    layer: SparseAttentiveRNN, inputs: Tensor, state: list
) -> tuple[Tensor, list, Any]:
    """Takes a `layer.step` and returns what `replay` needs.

    Returns:
        The output, the state, and the gates, a structure of `(batch, ...)`.
    """
    cell = SplitCell(layer.cell)
    *states, time = state
    recurrence = layer._recurrence(
        cell, (), infinite_to_nan(inputs), State(states, time=time), ()
    )
    taken, state, gates = stream(recurrence)
    return taken.output, state, gates


def replay(
    layer: SparseAttentiveRNN,
    sequences: Tensor,
    mask: Tensor | None,
    states: list,
    gates: Any,
) -> Tensor:
    """Replays `layer` on steps that have been taken, with the gradient.

    Args:
        layer: a layer without `go_backwards`, with `return_sequences`.
        sequences: `(batch, time, features)`, the inputs.
        mask: Boolean `(batch, time)` or None.
        states: from `step_for_replay`, `(time, batch, units)` each; padded
            steps hold the previous states.
        gates: from `step_for_replay`, `(time, batch, ...)`.

    Returns:
        `(batch, time, units)`.
    """
    call = read_call(layer, sequences, mask)
    recurrence = layer._of_call(call)
    outputs = run.replay(recurrence, Outputs(states[:-1]), gates)
    return layer._output(recurrence, outputs, call.mask)


def check_steps_have_gradient(layer: SparseAttentiveRNN) -> None:
    """Raises an error if a loop of `step` cannot be differentiated.

    A loop would keep a copy of the memory for each step, and `step` supports
    neither truncated gradients nor dropout.
    """
    cell = layer.cell
    cells = cell.cells if hasattr(cell, "cells") else [cell]
    dropout = max(
        getattr(one, name, 0) or 0
        for one in cells
        for name in ("dropout", "recurrent_dropout")
    )
    if layer.k_top != 0 or layer.k_trunc is not None or dropout:
        kind = layer if layer.k_top != 0 else cell
        raise ValueError(
            "A run with gradients through samples takes one step after the "
            "other. Expected a core that neither attends to its past nor cuts "
            "its gradient nor has dropout, such as `keras.layers.GRUCell`. "
            f"Received: {type(kind).__name__} with k_top={layer.k_top}, "
            f"k_trunc={layer.k_trunc}, dropout={dropout}"
        )


def as_returned(
    layer: SparseAttentiveRNN, states: Tensor, mask: Tensor | None
) -> Tensor:
    """Hidden states `(batch, time, units)` of steps, as a call returns them."""
    return layer._finished(states, mask)
