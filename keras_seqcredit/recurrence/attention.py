"""Sparse attention over a memory of past states.

Shapes: `B` batch, `S` slots, `U` units of a state, `A` units of the attention.

A score measures how well a state matches each slot. It is an object with

- `weight_shapes(units, attention_units)`: the names and shapes of its weights;
- `prepare(weights)`: what can be computed once, before a loop over time;
- `cache(prepared, memory)`: what can be computed once per slot, or `()`;
- `scores(prepared, state, memory, cached)`: `(B, U), (B, S, U) -> (B, S)`;
- `cache_is_costly`: whether the gradient keeps the cache or recomputes it;
- `start`: scale of the initial weights relative to Glorot uniform;
- `segment_slots`: number of slots from which shorter scans are worthwhile.

References:
    - Ke et al., "Sparse Attentive Backtracking", NeurIPS 2018,
      arXiv:1809.03702, section 3.
"""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.types import Tensor

# The score of an empty slot. Finite, so that infinity never meets zero.
_EMPTY = -3e38
_EMPTY_HALF = -6e4


class AdditiveScore:
    """`v . tanh(W_m m + W_q h + b)`: the paper's MLP over the pair."""

    # The cache is a matrix product: too costly to repeat for selected rows.
    cache_is_costly = True
    # States are small at the start. In the linear range of tanh, the query adds
    # the same to the score of each slot, so all queries read the same.
    start = 6.0
    segment_slots = 32

    @staticmethod
    def weight_shapes(units: int, attention_units: int) -> dict:
        return {
            "memory_kernel": (units, attention_units),
            "query_kernel": (units, attention_units),
            "attention_bias": (attention_units,),
            "attention_vector": (attention_units,),
        }

    @staticmethod
    def prepare(weights):
        return tuple(weights)

    @staticmethod
    def cache(prepared, memory):
        return ops.matmul(memory, prepared[0])

    @staticmethod
    def scores(prepared, state, memory, cached):
        _, query_kernel, bias, vector = prepared
        query = ops.matmul(state, query_kernel) + bias
        hidden = ops.tanh(cached + query[:, None])
        return ops.matmul(hidden, vector[:, None])[..., 0]


class DotScore:
    """`(W_q h) . (W_m m) / sqrt(A)`.

    If `A < U`, a slot has a key, `W_m m`, and a step reads the keys of all
    slots and the states of the selected ones: with `A = U / 8`, that is an
    eighth of the memory. Otherwise, `W_q W_m^T` is one bilinear form, and slots
    need no keys.
    """

    cache_is_costly = False
    start = 1.0
    segment_slots = 32

    @staticmethod
    def weight_shapes(units: int, attention_units: int) -> dict:
        return {
            "memory_kernel": (units, attention_units),
            "query_kernel": (units, attention_units),
        }

    @staticmethod
    def prepare(weights):
        memory_kernel, query_kernel = weights
        units, attention_units = memory_kernel.shape
        scale = attention_units**-0.5
        if attention_units < units:
            return query_kernel * scale, memory_kernel
        return (ops.matmul(query_kernel, ops.transpose(memory_kernel)) * scale,)

    @staticmethod
    def cache(prepared, memory):
        return ops.matmul(memory, prepared[1]) if len(prepared) > 1 else ()

    @staticmethod
    def scores(prepared, state, memory, cached):
        query = ops.matmul(state, prepared[0])
        keys = cached if len(prepared) > 1 else memory
        return ops.matmul(keys, query[..., None])[..., 0]


class ConcatScore:
    """`w . tanh([h; m])`: the score of the authors' released code.

    The contribution of `h` is the same for all slots and cancels with the
    threshold, so every state ranks and weighs the slots alike. A slot's
    contribution never changes, so it is one number per slot.
    """

    cache_is_costly = False
    start = 1.0
    # Only the search for the best slots grows with their number.
    segment_slots = 128

    @staticmethod
    def weight_shapes(units: int, attention_units: int) -> dict:
        return {"attention_vector": (2 * units,)}

    @staticmethod
    def prepare(weights):
        (vector,) = weights
        units = vector.shape[0] // 2
        return vector[:units, None], vector[units:, None]

    @staticmethod
    def cache(prepared, memory):
        return ops.matmul(ops.tanh(memory), prepared[1])

    @staticmethod
    def scores(prepared, state, memory, cached):
        query = ops.matmul(ops.tanh(state), prepared[0])
        return query + cached[..., 0]


SCORES = {"additive": AdditiveScore, "dot": DotScore, "concat": ConcatScore}


def sparse_weights(scores: Tensor) -> Tensor:
    """Weights of the `k_top + 1` best slots; the worst is the threshold.

    The threshold is subtracted, and the rest is divided by its sum. Empty slots
    get no weight, and while there are any, the threshold is 0. If all scores
    are equal to the threshold, all weights are 0.

    Nothing is added to the sum. A small constant would make the sum of the
    weights, and with it the summary, depend on how close the scores are: with
    1e-7, rows that differ by 1e-6 had gradients of 1e5. Divided by the sum
    alone, such rows are read as one, whatever their weights.

    Args:
        scores: `(..., k_top + 1)`, the score of an empty slot being that of
            `mask_scores`.

    Returns:
        Weights of the same shape, in float32 or better. At most `k_top` of them
        are positive.
    """
    # A minimum, not the last column: slicing the result of top_k makes XLA sort
    # all slots instead.
    threshold = ops.min(scores, axis=-1, keepdims=True)
    threshold = ops.where(
        is_empty(threshold), ops.zeros_like(threshold), threshold
    )
    scores, threshold = _at_least_float32(scores), _at_least_float32(threshold)
    weights = ops.relu(scores - threshold)
    total = ops.sum(weights, axis=-1, keepdims=True)
    return weights / ops.where(total > 0, total, ops.ones_like(total))


def dense_weights(scores: Tensor) -> Tensor:
    """A softmax over all non-empty slots.

    Args:
        scores: `(..., S)`, the score of an empty slot being that of
            `mask_scores`.

    Returns:
        Weights of the same shape, in float32 or better.
    """
    weights = ops.softmax(_at_least_float32(scores), axis=-1)
    return ops.where(is_empty(scores), ops.zeros_like(weights), weights)


def mask_scores(scores: Tensor, occupied: Tensor) -> Tensor:
    """Gives empty slots a score below all others."""
    return ops.where(
        occupied, scores, ops.full_like(scores, _empty_score(scores))
    )


def is_empty(scores: Tensor) -> Tensor:
    """Where `mask_scores` found a slot empty."""
    return scores <= ops.full_like(scores, 0.99 * _empty_score(scores))


class Read(NamedTuple):
    """The result of reading from a memory.

    Attributes:
        summary: `(B, U)`, the weighted sum of the slots read.
        weights: `(B, k_top + 1)`, the threshold's weight last, or `()`.
        slots: int32 `(B, k_top + 1)`, -1 where a slot is empty, or `()`.
    """

    summary: Any
    weights: Any = ()
    slots: Any = ()


def attend(score, prepared, k_top, state, memory, cached, occupied) -> Read:
    """Reads the `k_top` best slots of a memory, or all of them if None.

    Args:
        score: one of `SCORES`.
        prepared: its prepared weights.
        k_top: number of slots to read, or None.
        state: `(B, U)`, the state to compare the slots with.
        memory: `(B, S, U)` with `S > k_top`.
        cached: `score.cache(prepared, memory)`.
        occupied: bool `(B, S)`, False for slots to leave out.

    Returns:
        `Read`. If all are read, the weights and slots are `()`.
    """
    if k_top is None:
        read = read_rows(
            score, prepared, dense_weights, state, memory, cached, occupied
        )
        return Read(read.summary)
    scores = score.scores(prepared, state, memory, cached)
    best, slots = ops.top_k(mask_scores(scores, occupied), k_top + 1)
    weights = sparse_weights(best)
    summary = summarize(weights, take_slots(memory, slots))
    # The position of NaN in a sort depends on the backend; keep it here.
    summary = summary + 0 * state
    slots = ops.where(is_empty(best), -1, ops.cast(slots, "int32"))
    return Read(summary, weights, slots)


def read_rows(score, prepared, weigh, state, rows, cached, occupied) -> Read:
    """Reads rows that are already chosen.

    Args:
        score: one of `SCORES`.
        prepared: its prepared weights.
        weigh: `sparse_weights` of the `k_top + 1` best, or `dense_weights`.
        state: `(B, U)`.
        rows: `(B, K, U)`.
        cached: `score.cache(prepared, rows)`.
        occupied: bool `(B, K)`.

    Returns:
        `Read`, without slots.
    """
    scores = score.scores(prepared, state, rows, cached)
    weights = weigh(mask_scores(scores, occupied))
    return Read(summarize(weights, rows), weights)


def summarize(weights: Tensor, rows: Tensor) -> Tensor:
    """`sum_i w_i m_i` for weights `(B, K)` and rows `(B, K, U)`."""
    weights = ops.cast(weights, rows.dtype)
    return ops.sum(weights[..., None] * rows, axis=1)


def take_slots(memory: Tensor, slots: Tensor) -> Tensor:
    """Rows `(B, K, U)` of a memory `(B, S, U)` at slots `(B, K)`."""
    batch, size, units = ops.shape(memory)
    first = ops.arange(batch, dtype="int32")[:, None] * size
    table = ops.reshape(memory, (-1, units))
    return backend.take_rows(table, ops.cast(slots, "int32") + first)


def _empty_score(scores: Tensor) -> float:
    half = keras.backend.standardize_dtype(scores.dtype) == "float16"
    return _EMPTY_HALF if half else _EMPTY


def _at_least_float32(x: Tensor) -> Tensor:
    dtype = keras.backend.standardize_dtype(x.dtype)
    return x if dtype == "float64" else ops.cast(x, "float32")
