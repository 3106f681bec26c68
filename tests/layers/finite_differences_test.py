"""All gradients against finite differences, in float64."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import SparseAttentiveRNN
from tests.gradients import BACKEND
from tests.gradients import FASTEST
from tests.gradients import double_precision
from tests.gradients import value_and_gradients
from tests.gradients import with_weights

BATCH, TIME, FEATURES, UNITS = 2, 6, 2, 3
STEP = 1e-6
MASK = np.array([[1, 1, 1, 1, 1, 0], [1, 1, 0, 1, 1, 1]], bool)


def smooth(x):
    # Keras takes a tanh in float32 on JAX, whatever the dtype.
    return x / (1 + ops.square(x))


def make_layer(attention):
    cell = keras.layers.GRUCell(
        UNITS,
        activation=smooth,
        recurrent_activation=lambda x: 0.5 + 0.5 * smooth(x),
        dtype="float64",
    )
    layer = SparseAttentiveRNN(
        cell,
        k_top=2,
        k_att=2,
        attention=attention,
        memory_content="provisional",
        return_sequences=True,
        return_summary=True,
        dtype="float64",
    )
    layer.build((BATCH, TIME, FEATURES))
    return layer


# The dot score alone has no tanh.
SCORES = ["dot"] if BACKEND == "jax" else ["additive", "dot", "concat"]


@pytest.mark.parametrize("attention", SCORES)
def test_every_single_entry(attention):
    with double_precision():
        layer = make_layer(attention)
        random = np.random.default_rng(3)
        arrays = [
            random.normal(size=(BATCH, TIME, FEATURES)),
            random.normal(size=(BATCH, UNITS)),
            *(random.normal(size=v.shape) for v in layer.trainable_variables),
        ]

        def loss(arrays):
            inputs, state, *weights = arrays
            outputs = with_weights(
                layer,
                weights,
                lambda: layer(inputs, initial_state=[state], mask=MASK),
            )
            # Not a sine: Keras takes that in float32 on JAX, too.
            return ops.sum(outputs * outputs)

        _, gradients = value_and_gradients(loss, arrays, FASTEST)
        run = compiled(loss)
        checked = 0
        for array, gradient in zip(arrays, gradients, strict=True):
            assert gradient.dtype == "float64"
            flat, found = array.reshape(-1), gradient.reshape(-1)
            for i in random.choice(len(flat), min(4, len(flat)), False):
                before, values = flat[i], []
                for shift in (STEP, -STEP):
                    flat[i] = before + shift
                    values.append(float(run(arrays)))
                flat[i] = before
                slope = (values[0] - values[1]) / (2 * STEP)
                assert found[i] == pytest.approx(slope, rel=1e-6, abs=1e-7)
                checked += abs(slope) > 1e-3
        assert checked > 15


def compiled(function):
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(
        lambda arrays: function([tf.convert_to_tensor(a) for a in arrays]),
        reduce_retracing=True,
    )


class DeepCell(keras.layers.Layer):
    """A cell of one's own, with layers inside."""

    state_size = UNITS

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(UNITS)
        self.last = keras.layers.Dense(UNITS)

    def build(self, inputs_shape):
        self.dense.build((None, inputs_shape[-1] + UNITS))
        self.last.build((None, UNITS))

    def call(self, inputs, states):
        joined = ops.concatenate([inputs, states[0]], axis=-1)
        state = ops.tanh(self.last(ops.tanh(self.dense(joined))))
        return state, [state]


@pytest.mark.parametrize("k_top", [0, 2])
def test_a_cell_of_ones_own(k_top):
    """With larger steps another slot is read, and the slope is another one."""
    layer = SparseAttentiveRNN(DeepCell(), k_top=k_top)
    layer.build((BATCH, TIME, FEATURES))
    random = np.random.default_rng(0)
    arrays = [
        random.normal(size=(BATCH, TIME, FEATURES)).astype("float32"),
        *(
            0.7 * random.normal(size=v.shape).astype("float32")
            for v in layer.trainable_variables
        ),
    ]

    def loss(arrays):
        inputs, *weights = arrays
        outputs = with_weights(
            layer, weights, lambda: layer(inputs, training=True)
        )
        return ops.sum(ops.sin(outputs))

    _, gradients = value_and_gradients(loss, arrays, FASTEST)
    run = compiled(loss)
    for i, gradient in enumerate(gradients):
        direction = gradient / np.linalg.norm(gradient)
        values = []
        for shift in (1e-3, -1e-3):
            moved = list(arrays)
            moved[i] = arrays[i] + np.float32(shift) * direction
            values.append(float(run(moved)))
        slope = (values[0] - values[1]) / 2e-3
        expected = np.linalg.norm(gradient)
        assert slope == pytest.approx(expected, rel=0.02, abs=2e-3)
