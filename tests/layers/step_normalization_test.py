"""`StepNormalization` is a batch normalization for each step."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import StepNormalization
from tests.gradients import FASTEST
from tests.gradients import value_and_gradients

STEPS = np.array([0, 2, 2, 0, 2, 0, 0])


def make(shape, num_steps=3, seed=0):
    """The layer, and Keras' own layers with the same weights."""
    layer = StepNormalization(num_steps, momentum=0.9, epsilon=1e-2)
    layer.build((None, *shape))
    random = np.random.default_rng(seed)
    layer.gamma.assign(random.normal(size=layer.gamma.shape))
    layer.beta.assign(random.normal(size=layer.beta.shape))
    layer.moving_mean.assign(random.normal(size=layer.gamma.shape))
    layer.moving_variance.assign(random.uniform(1, 2, layer.gamma.shape))
    ones = []
    for step in range(num_steps):
        one = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-2)
        one.build((None, *shape))
        one.set_weights([np.asarray(w)[step] for w in layer.weights])
        ones.append(one)
    return layer, ones


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4,), (3, 2, 4)])
def test_equals_a_batch_normalization_for_each_step(shape, training):
    layer, ones = make(shape)
    x = np.random.default_rng(1).normal(size=(7, *shape)).astype("float32")
    found = ops.convert_to_numpy(layer(x, STEPS, training=training))
    for step in (0, 2):
        expected = ones[step](x[STEPS == step], training=training)
        np.testing.assert_allclose(
            found[STEPS == step], expected, rtol=1e-4, atol=1e-5
        )
    # Moving statistics too; those of a step that is not there stand still.
    for weight, *expected in zip(
        layer.weights, *(one.weights for one in ones), strict=True
    ):
        np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_a_batch_normalization():
    layer, ones = make((4,))
    x = np.random.default_rng(1).normal(size=(4, 4)).astype("float32")

    def loss(normalize):
        def run(arrays):
            with keras.StatelessScope([]):
                return ops.sum(ops.sin(normalize(arrays[0])))

        return value_and_gradients(run, [x], FASTEST)[1][0]

    steps = np.full(4, 2)
    found = loss(lambda x: layer(x, steps, training=True))
    expected = loss(lambda x: ones[2](x, training=True))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_round_trip_and_dtypes():
    layer = StepNormalization(2, momentum=0.5, epsilon=0.1, dtype="bfloat16")
    same = StepNormalization.from_config(layer.get_config())
    assert same.get_config() == layer.get_config()
    found = same(np.ones((3, 2)), np.array([0, 1, 1]), training=True)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    assert same.compute_output_shape((None, 2), (None,)) == (None, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": 0}, "`num_steps` to be a positive integer"),
        ({"num_steps": 2, "momentum": 1.0}, r"in \[0, 1\). Received: moment"),
        ({"num_steps": 2, "epsilon": 0}, "`epsilon` to be a positive number"),
        ({"num_steps": 2, "momentum": "0.9"}, "Received: momentum='0.9'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        StepNormalization(**arguments)
