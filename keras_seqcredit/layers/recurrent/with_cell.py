"""A copy of a layer around another cell."""

from typing import Any

from keras_seqcredit.layers.recurrent.sparse_attentive_rnn import (
    SparseAttentiveRNN,
)


def with_cell(
    layer: SparseAttentiveRNN, cell: Any, **settings: Any
) -> SparseAttentiveRNN:
    """`SparseAttentiveRNN(cell, **settings)` with the score of `layer`."""
    other = SparseAttentiveRNN(cell, **settings)
    other._score = layer._score
    return other
