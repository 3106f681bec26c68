"""Graphs of TensorFlow are freed with what was traced in them."""

import gc
import weakref

import keras
import numpy as np
import pytest

from keras_seqcredit import backend
from keras_seqcredit import layers

if keras.backend.backend() != "tensorflow":
    pytest.skip("Graphs are TensorFlow's.", allow_module_level=True)

import tensorflow as tf
from tensorflow.python.framework import ops


@tf.custom_gradient
def sevenfold(x):
    """Its gradient is no one's but its own."""
    return x, lambda upstream: 7.0 * upstream


def trace():
    """A traced function, and its graph, weakly."""
    graphs = []

    @tf.function(autograph=False)
    def function(x):
        graphs.append(weakref.ref(x.graph))
        return sevenfold(x)

    function.get_concrete_function(tf.TensorSpec(()))
    return function, graphs[0]


def test_a_graph_is_freed():
    function, graph = trace()
    del function
    gc.collect()
    # This is what TensorFlow does: if it no longer does, the release can go.
    assert graph() is not None
    known = set(ops.gradient_registry.list())
    backend.release_gradients()
    gc.collect()
    assert graph() is None
    # Nor does the registry grow.
    backend.release_gradients()
    assert set(ops.gradient_registry.list()) < known


def test_a_graph_that_is_used_keeps_its_gradient():
    function, graph = trace()
    backend.release_gradients()
    backend.release_gradients()
    gc.collect()
    assert graph() is not None

    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x)

    for compiled in (False, True):
        found = tf.function(slope, autograph=False, jit_compile=compiled)
        assert float(found(tf.constant(2.0))) == 7.0
    assert float(slope(tf.constant(2.0))) == 7.0
    with tf.Graph().as_default() as outer:
        x = tf.identity(2.0)
        y = sevenfold(x)
        backend.release_gradients()
        (found,) = tf.gradients(y, x)
        with tf.compat.v1.Session(graph=outer) as session:
            assert session.run(found) == 7.0


def make_attentive():
    return layers.SABLSTM(3, k_trunc=2)


def make_stochastic():
    return layers.StochasticRNN(3, 2)


@pytest.mark.parametrize(
    ("make_layer", "jit_compile"),
    [(make_attentive, True), (make_stochastic, False)],
)
def test_a_trained_layer_is_freed_with_its_weights(make_layer, jit_compile):
    x = np.ones((2, 4, 3), "float32")

    def train():
        layer = make_layer()
        model = keras.Sequential([keras.Input((4, 3)), layer])
        model.compile("adam", "mse", jit_compile=jit_compile)
        model.fit(x, np.ones(np.shape(model(x))), verbose=0)
        return [weakref.ref(one) for one in (layer, model, *layer.variables)]

    before = train()
    # What Keras' optimizer traced goes when a layer of ours is traced.
    last = train()
    gc.collect()
    assert [one().name for one in before if one() is not None] == []
    assert last[0]() is None
    backend.release_gradients()
    gc.collect()
    assert [one().name for one in last if one() is not None] == []
