"""Loops that an accelerator is given several turns of at once are the same."""

import importlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.layers import SABLSTM
from tests.gradients import value_and_gradients

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="TensorFlow's loops have one turn"
)


@pytest.fixture
def on(monkeypatch):
    module = importlib.import_module("keras_seqcredit.backend.jax")

    def choose(device):
        monkeypatch.setattr(module, "runs_on_cpu", lambda: device == "cpu")

    return choose


# As many turns as are given at once or fewer, and some that are left over.
@pytest.mark.parametrize("length", [4, 8, 11])
def test_values_and_gradients(on, length):
    x = np.random.default_rng(0).normal(size=(3, length, 2)).astype("float32")
    layer = SABLSTM(4, k_top=2, k_trunc=3)
    layer.build(x.shape)

    def function(arrays):
        sequences, *weights = arrays
        mapping = list(zip(layer.trainable_variables, weights, strict=True))
        with keras.StatelessScope(mapping):
            return ops.sum(layer(sequences) ** 2)

    arrays = [x, *(w.numpy() for w in layer.trainable_variables)]
    found = {}
    for device in ("cpu", "gpu"):
        on(device)
        found[device] = value_and_gradients(function, arrays, "jit")
    assert found["cpu"][0] == pytest.approx(found["gpu"][0], rel=1e-5)
    for a, b in zip(found["cpu"][1], found["gpu"][1], strict=True):
        assert np.abs(a).max() > 0
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("device, turns", [("cpu", 1), ("gpu", 4)])
def test_an_accelerator_is_given_several_turns_at_once(on, device, turns):
    import jax

    def loop(x):
        return backend.scan(lambda c, x: (c + ops.tanh(x), c), 0.0, x, len(x))

    on(device)
    assert f"unroll={turns}\n" in str(jax.make_jaxpr(loop)(np.ones(8)))
