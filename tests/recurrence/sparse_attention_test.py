"""Sparse weights, scores and reads by hand."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.recurrence.attention import SCORES
from keras_seqcredit.recurrence.attention import attend
from keras_seqcredit.recurrence.attention import is_empty
from keras_seqcredit.recurrence.attention import mask_scores
from keras_seqcredit.recurrence.attention import sparse_weights
from tests.gradients import FASTEST
from tests.gradients import value_and_gradients


def weights_of(scores, occupied=None, dtype="float32"):
    scores = ops.convert_to_tensor(np.asarray(scores, "float32"))
    scores = ops.cast(scores, dtype)
    if occupied is not None:
        scores = mask_scores(scores, ops.convert_to_tensor(occupied))
    return ops.convert_to_numpy(sparse_weights(scores))


def test_threshold_is_the_least_of_the_best():
    found = weights_of([[5.0, 3.0, 2.0], [-1.0, -2.0, -3.0]])
    np.testing.assert_allclose(
        found, [[0.75, 0.25, 0.0], [2 / 3, 1 / 3, 0.0]], rtol=1e-6
    )


def test_threshold_is_zero_while_a_slot_is_empty():
    found = weights_of(
        [[3.0, 1.0, 9.0], [3.0, -1.0, 9.0], [-2.0, 9.0, 9.0]],
        [[True, True, False], [True, True, False], [True, False, False]],
    )
    np.testing.assert_allclose(
        found, [[0.75, 0.25, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], rtol=1e-6
    )


def test_nothing_to_read():
    assert (weights_of([[1.0, 2.0]], [[False, False]]) == 0).all()


def test_ties():
    # A tie with the threshold gets nothing; a tie above it is shared.
    found = weights_of([[2.0, 2.0, 2.0], [4.0, 4.0, 2.0], [4.0, 2.0, 2.0]])
    np.testing.assert_allclose(
        found, [[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], rtol=1e-6
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_precision(dtype):
    found = weights_of(
        [[5.0, 3.0, 2.0], [3.0, 1.0, 0.0]],
        [[True, True, True], [True, True, False]],
        dtype,
    )
    expected = "float64" if dtype == "float64" else "float32"
    if keras.backend.backend() == "tensorflow":
        assert found.dtype == expected
    np.testing.assert_allclose(
        found, [[0.75, 0.25, 0.0], [0.75, 0.25, 0.0]], rtol=1e-5
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_large_scores_are_not_empty(dtype):
    scores = ops.cast(ops.convert_to_tensor([[-5e4, 5e4]]), dtype)
    found = is_empty(mask_scores(scores, ops.convert_to_tensor([[True] * 2])))
    assert not ops.convert_to_numpy(found).any()
    found = is_empty(mask_scores(scores, ops.convert_to_tensor([[False] * 2])))
    assert ops.convert_to_numpy(found).all()


UNITS, ATTENTION_UNITS = 4, 3


def score_by_hand(name, weights, state, memory):
    if name == "additive":
        memory_kernel, query_kernel, bias, vector = weights
        hidden = np.tanh(memory @ memory_kernel + state @ query_kernel + bias)
        return hidden @ vector
    if name == "dot":
        memory_kernel, query_kernel = weights
        keys, query = memory @ memory_kernel, state @ query_kernel
        return keys @ query / np.sqrt(ATTENTION_UNITS)
    (vector,) = weights
    pairs = np.concatenate([np.tile(state, (len(memory), 1)), memory], axis=1)
    return np.tanh(pairs) @ vector


@pytest.mark.parametrize("name", SCORES)
def test_attend(name):
    score, k_top = SCORES[name], 2
    random = np.random.default_rng(0)
    weights = [
        random.normal(size=shape).astype("float32")
        for shape in score.weight_shapes(UNITS, ATTENTION_UNITS).values()
    ]
    state = random.normal(size=(3, UNITS)).astype("float32")
    memory = random.normal(size=(3, 6, UNITS)).astype("float32")
    occupied = np.ones((3, 6), bool)
    occupied[1, ::2] = False
    occupied[2] = False

    prepared = score.prepare([ops.convert_to_tensor(w) for w in weights])
    tensor = ops.convert_to_tensor(memory)
    found = attend(
        score,
        prepared,
        k_top,
        ops.convert_to_tensor(state),
        tensor,
        score.cache(prepared, tensor),
        ops.convert_to_tensor(occupied),
    )
    summary, found_weights, slots = (ops.convert_to_numpy(x) for x in found)
    for row in range(2):
        scores = score_by_hand(name, weights, state[row], memory[row])
        scores[~occupied[row]] = -np.inf
        best = np.argsort(-scores)[: k_top + 1]
        expected = scores[best] - scores[best[-1]]
        expected = expected / expected.sum()
        np.testing.assert_array_equal(slots[row], best)
        np.testing.assert_allclose(found_weights[row], expected, atol=1e-5)
        np.testing.assert_allclose(
            summary[row], expected @ memory[row, best], atol=1e-5
        )
    assert (slots[2] == -1).all()
    assert (summary[2] == 0).all()


@pytest.mark.parametrize("name", ["additive", "dot"])
@pytest.mark.parametrize("apart", [0.0, 1e-8, 1e-7, 3e-7, 1e-6, 1e-5, 1e-3])
def test_memories_that_are_nearly_equal(name, apart):
    """What is read of them is their mean; no gradient is larger than others."""
    score, k_top, units = SCORES[name], 3, 8
    random = np.random.default_rng(0)
    weights = [
        random.normal(size=shape).astype("float32")
        for shape in score.weight_shapes(units, units).values()
    ]
    row = random.normal(size=(1, 1, units))
    memory = row + apart * random.normal(size=(1, 9, units))
    state = random.normal(size=(1, units))
    occupied = ops.ones((1, 9), "bool")
    probe = random.normal(size=(1, units)).astype("float32")

    def value(arrays):
        memory, state, *weights = arrays
        prepared = score.prepare(weights)
        cached = score.cache(prepared, memory)
        summary, found, _ = attend(
            score, prepared, k_top, state, memory, cached, occupied
        )
        return ops.sum(summary * probe)

    arrays = [np.asarray(x, "float32") for x in (memory, state, *weights)]
    found, gradients = value_and_gradients(value, arrays, FASTEST)
    if apart >= 1e-6:
        assert found == pytest.approx((row[0] * probe).sum(), abs=50 * apart)
    for gradient in gradients:
        assert np.abs(gradient).max() < 100
