"""The auxiliary loss by hand, and where its gradient goes."""

import keras
import numpy as np
import pytest

from keras_seqcredit.layers import FutureStateLoss
from tests.gradients import FASTEST
from tests.gradients import value_and_gradients

BATCH, TIME, UNITS, STEPS, WEIGHT = 2, 6, 3, 2, 0.7
MASK = np.array([[1, 1, 1, 1, 1, 0], [0, 1, 1, 0, 1, 1]], bool)


def make_layer(**arguments):
    layer = FutureStateLoss(steps=STEPS, weight=WEIGHT, **arguments)
    layer.build((BATCH, None, UNITS))
    random = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    return layer


def make_states(time=TIME):
    random = np.random.default_rng(1)
    return random.normal(size=(BATCH, time, UNITS)).astype("float32")


def by_hand(layer, states, mask):
    kernel, bias = layer.get_weights()
    costs = []
    for row, valid in zip(states, mask, strict=True):
        for t in range(len(row) - STEPS):
            if valid[t] and valid[t + STEPS]:
                error = row[t] @ kernel + bias - row[t + STEPS]
                costs.append(np.sum(error**2))
    return WEIGHT * np.mean(costs)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_value(mask):
    layer, states = make_layer(), make_states()
    np.testing.assert_array_equal(layer(states, mask=mask), states)
    (loss,) = layer.losses
    everything = np.ones((BATCH, TIME), bool) if mask is None else mask
    expected = by_hand(layer, states, everything)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_gradient_leaves_the_past_alone(mask):
    layer, states = make_layer(), make_states()
    kernel, bias = layer.get_weights()

    def loss(arrays):
        with keras.StatelessScope(collect_losses=True) as scope:
            layer(arrays[0], mask=mask)
        return scope.losses[0]

    _, (gradient,) = value_and_gradients(loss, [states], FASTEST)
    valid = np.ones((BATCH, TIME), bool) if mask is None else mask
    pairs = valid[:, :-STEPS] & valid[:, STEPS:]
    error = states[:, STEPS:] - (states[:, :-STEPS] @ kernel + bias)
    expected = np.zeros_like(states)
    expected[:, STEPS:] = 2 * WEIGHT * error * pairs[..., None] / pairs.sum()
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    assert (gradient[:, :STEPS] == 0).all()
    assert np.abs(gradient[:, STEPS:]).max() > 0.1


@pytest.mark.parametrize("time", [1, STEPS])
def test_sequence_without_a_future(time):
    layer = make_layer()
    layer(make_states(time))
    assert float(layer.losses[0]) == 0


def test_shortest_sequence_with_a_future():
    layer, states = make_layer(), make_states(STEPS + 1)
    layer(states)
    expected = by_hand(layer, states, np.ones((BATCH, STEPS + 1), bool))
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-5)


def test_padding_may_hold_nan():
    layer, states = make_layer(), make_states()
    expected = by_hand(layer, states, MASK)
    states[~MASK] = np.nan
    layer(states, mask=MASK)
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-5)


def test_half_precision_does_not_overflow():
    layer = make_layer(dtype="mixed_float16")
    layer(1000 * make_states())
    loss = float(layer.losses[0])
    assert np.isfinite(loss)
    assert loss > 7e4


def test_keeps_the_mask():
    inputs = keras.Input((None, UNITS))
    masked = keras.layers.Masking()(inputs)
    outputs = make_layer()(masked)
    assert keras.layers.GlobalAveragePooling1D().supports_masking
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(outputs))
    states = make_states() * MASK[..., None]
    expected = states.sum(axis=1) / MASK.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model(states), expected, rtol=1e-5)


def test_loss_joins_the_training():
    layer = FutureStateLoss(steps=1, weight=1.0)
    inputs = keras.Input((None, UNITS))
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.Adam(0.1), None, run_eagerly=True)
    states = np.cumsum(np.ones((BATCH, TIME, UNITS), "float32"), axis=1) / TIME
    model.fit(states, epochs=40, verbose=0)
    model(states)
    assert float(layer.losses[0]) < 0.02
