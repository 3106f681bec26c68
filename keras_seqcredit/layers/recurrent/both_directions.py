"""Two recurrences over a sequence, one forward and one back, in one loop.

A device that is not full with one of them computes both at a time.
"""

from keras import ops

from keras_seqcredit.layers.recurrent.sparse_attentive_rnn import (
    SparseAttentiveRNN,
)
from keras_seqcredit.recurrence.run import sparse_recurrence
from keras_seqcredit.recurrence.split_cell import GatedCell
from keras_seqcredit.recurrence.structures import Constants
from keras_seqcredit.recurrence.structures import Operands
from keras_seqcredit.types import Tensor


def run_both_directions(
    forward: SparseAttentiveRNN,
    backward: SparseAttentiveRNN,
    sequences: Tensor,
    mask: Tensor | None = None,
    constant_rows: int = 0,
) -> Tensor:
    """Hidden states of both at each step, side by side.

    Args:
        forward: a layer that `keeps_steps`.
        backward: another one, with `go_backwards`.
        sequences: `(batch, time, features)`.
        mask: Boolean `(batch, time)` or None.
        constant_rows: see `Settings`.

    Returns:
        `(batch, time, units)`, the units of both.
    """
    layers = forward, backward
    prepared = [x._prepare(sequences, None, mask, False) for x in layers]
    operands, constants, cells = zip(*prepared, strict=True)
    pair = _Pair(*cells)
    outputs = sparse_recurrence(
        forward._settings(pair)._replace(constant_rows=constant_rows),
        Operands(
            (tuple(x.cell[0] for x in operands), ()),
            (),
            [x.inputs for x in operands],
            [x.states[0] for x in operands],
        ),
        Constants(
            mask=() if mask is None else [x.mask for x in constants],
        ),
        forward.jit_compile in (True, "auto"),
    )
    ahead, back = outputs.states
    found = ops.concatenate([ahead, ops.flip(back, axis=0)], axis=-1)
    return ops.transpose(found, (1, 0, 2))


class _Pair:
    """Two `GatedCell`s of one state each, as one."""

    def __init__(self, *cells: GatedCell):
        self._cells = cells

    def linear(self, weights, constants, inputs, states) -> list:
        return [
            cell.linear(w, constants, x, [state])
            for cell, w, x, state in zip(
                self._cells, weights, inputs, states, strict=True
            )
        ]

    def __call__(self, weights, constants, gates, states) -> list:
        return [
            cell(weights, constants, own, [state])[0]
            for cell, own, state in zip(self._cells, gates, states, strict=True)
        ]
