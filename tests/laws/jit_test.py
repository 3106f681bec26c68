"""A training step gives the same under XLA, without it, and op by op."""

import numpy as np
import pytest

from tests.gradients import BACKEND
from tests.laws.running import fit_once
from tests.laws.running import model_with_head
from tests.laws.table import ROWS

# XLA on TensorFlow draws other random numbers from the same seed.
QUIET = {row.name: row for row in ROWS if not row.noisy}


def trained(row, without_xla=False, **arguments):
    """Loss and weights of a new model after one step, and those before it."""
    model = model_with_head(row)
    if without_xla:
        model.layers[1].jit_compile = False
    random = np.random.default_rng(0)
    before = [random.normal(size=w.shape) for w in model.trainable_weights]
    for variable, value in zip(model.trainable_weights, before, strict=True):
        variable.assign(value)
    loss = fit_once(model, **arguments)
    assert model.jit_compile is arguments["jit_compile"]
    after = [np.asarray(w) for w in model.trainable_weights]
    return [np.asarray(loss), *after], [np.asarray(np.inf), *before]


def assert_same(found, expected, before):
    for a, b, first in zip(found, expected, before, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        assert (a != first.astype("float32")).any()


@pytest.mark.parametrize("row", QUIET.values(), ids=QUIET)
def test_compiled_equals_eager(row):
    expected, before = trained(row, jit_compile=False, run_eagerly=True)
    found, _ = trained(row, jit_compile=True)
    assert_same(found, expected, before)


# The other way of Keras, and its default on TensorFlow without a GPU.
@pytest.mark.parametrize("name", ["lstm_ring", "lstm_everything"])
def test_graph_equals_eager(name):
    expected, before = trained(QUIET[name], jit_compile=False, run_eagerly=True)
    found, _ = trained(QUIET[name], jit_compile=False)
    assert_same(found, expected, before)


# Its memory is written in another way.
@pytest.mark.skipif(BACKEND == "jax", reason="JAX ignores the argument")
@pytest.mark.parametrize("name", ["lstm_ring", "lstm_everything"])
def test_a_layer_without_xla_equals_one_with_it(name):
    eagerly = {"jit_compile": False, "run_eagerly": True}
    expected, before = trained(QUIET[name], **eagerly)
    found, _ = trained(QUIET[name], without_xla=True, **eagerly)
    assert_same(found, expected, before)
