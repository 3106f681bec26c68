"""The gradient of a gradient, also under XLA, where TensorFlow takes it."""

import keras
import numpy as np
import pytest

from keras_seqcredit.layers import SABLSTM

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="uses TensorFlow's tapes"
)


def test_of_a_layer_that_is_not_compiled_by_itself():
    import tensorflow as tf

    layer = SABLSTM(2, k_top=1, jit_compile=False)
    random = np.random.default_rng(0)
    x = tf.constant(random.normal(size=(2, 3, 2)), "float32")
    direction = tf.constant(random.normal(size=(2, 3, 2)), "float32")

    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(tf.tanh(layer(x)))
        return tf.reduce_sum(tape.gradient(y, x) ** 2)

    def of_slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = slope(x)
        return tape.gradient(value, x)

    layer(x)
    step = 1e-2 * direction
    expected = (slope(x + step) - slope(x - step)) / 2
    for jit_compile in (False, True):
        found = tf.function(of_slope, jit_compile=jit_compile)(x)
        along = tf.reduce_sum(found * step)
        np.testing.assert_allclose(along, expected, rtol=2e-2, atol=1e-6)
