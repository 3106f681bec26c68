"""Dropout in training only, one mask a sequence, and its exact gradient."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import SABGRU
from keras_seqcredit.layers import SABLSTM
from keras_seqcredit.layers import StochasticRNN
from tests.gradients import FASTEST
from tests.gradients import compiled
from tests.gradients import value_and_gradients
from tests.gradients import with_weights

BATCH, TIME, FEATURES, UNITS = 2, 5, 4, 6


def make_layer(kind=SABLSTM, **arguments):
    layer = kind(UNITS, k_top=2, return_sequences=True, seed=7, **arguments)
    layer.build((BATCH, None, FEATURES))
    random = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        variable.assign(0.7 * random.normal(size=variable.shape))
    return layer


def make_inputs():
    random = np.random.default_rng(1)
    return random.normal(size=(BATCH, TIME, FEATURES)).astype("float32")


def run(layer, **arguments):
    return ops.convert_to_numpy(layer(make_inputs(), **arguments))


@pytest.mark.parametrize("kind", [SABLSTM, SABGRU])
@pytest.mark.parametrize("name", ["dropout", "recurrent_dropout"])
def test_only_in_training(kind, name):
    layer, plain = make_layer(kind, **{name: 0.5}), make_layer(kind)
    # Rounding differs: with recurrent dropout Keras' LSTM cell computes its
    # gates one by one.
    np.testing.assert_allclose(run(layer), run(plain), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(run(layer, training=False), run(layer))
    first, second = run(layer, training=True), run(layer, training=True)
    assert np.abs(first - run(plain)).max() > 1e-2
    assert np.abs(first - second).max() > 1e-2
    same = make_layer(kind, **{name: 0.5})
    np.testing.assert_array_equal(run(same, training=True), first)


@pytest.mark.parametrize("name", ["dropout", "recurrent_dropout"])
def test_one_mask_a_sequence(name):
    """Keras' cell, called step by step, is the same: it caches its masks."""
    # No attention, so that the cell alone is the whole layer.
    layer = SABLSTM(
        UNITS, k_top=0, return_sequences=True, seed=7, **{name: 0.5}
    )
    layer.build((BATCH, None, FEATURES))
    seed = ops.convert_to_numpy(layer.cell.seed_generator.state.value)
    found = run(layer, training=True)
    cell = layer.cell
    cell.seed_generator.state.assign(seed)
    states, expected = cell.get_initial_state(batch_size=BATCH), []
    for t in range(TIME):
        output, states = cell(make_inputs()[:, t], states, training=True)
        expected.append(ops.convert_to_numpy(output))
    np.testing.assert_allclose(
        found, np.stack(expected, axis=1), rtol=1e-5, atol=1e-6
    )


def test_input_mask_drops_a_feature_for_the_whole_sequence():
    layer = make_layer(dropout=0.5)
    inputs = make_inputs()
    seed = ops.convert_to_numpy(layer.cell.seed_generator.state.value)

    def loss(arrays):
        layer.cell.seed_generator.state.assign(seed)
        return ops.sum(ops.sin(layer(arrays[0], training=True)))

    _, (gradient,) = value_and_gradients(loss, [inputs], FASTEST)
    dropped = gradient == 0
    assert dropped.any()
    assert not dropped.all()
    np.testing.assert_array_equal(dropped, np.repeat(dropped[:, :1], TIME, 1))


@pytest.mark.parametrize("kind", [SABLSTM, SABGRU])
def test_gradient_equals_finite_differences(kind):
    layer = make_layer(kind, dropout=0.3, recurrent_dropout=0.3)
    seed = ops.convert_to_numpy(layer.cell.seed_generator.state.value)

    def loss(arrays):
        inputs, *weights = arrays
        layer.cell.seed_generator.state.assign(seed)
        outputs = with_weights(
            layer, weights, lambda: layer(inputs, training=True)
        )
        return ops.sum(ops.sin(outputs))

    arrays = [make_inputs(), *(np.array(v) for v in layer.trainable_variables)]
    _, gradients = value_and_gradients(loss, arrays, FASTEST)
    function = compiled(loss)
    # Along the gradient of each tensor, in float32.
    for i, gradient in enumerate(gradients):
        assert np.abs(gradient).max() > 1e-4
        direction = gradient / np.linalg.norm(gradient)

        def shifted(shift, i=i, direction=direction):
            moved = list(arrays)
            moved[i] = arrays[i] + np.float32(shift) * direction
            return float(function([ops.convert_to_tensor(a) for a in moved]))

        slope = (shifted(4e-3) - shifted(-4e-3)) / 8e-3
        expected = np.linalg.norm(gradient)
        assert slope == pytest.approx(expected, rel=0.02, abs=2e-3)


CELLS = {"lstm": keras.layers.LSTMCell, "gru": keras.layers.GRUCell}


@pytest.mark.parametrize("cell", CELLS)
def test_of_a_stochastic_layer(cell):
    """As a cell of one's own that drops as much; no mask is drawn in a loop."""
    rates = {"dropout": 0.5, "recurrent_dropout": 0.3}
    layer, own, plain = (
        StochasticRNN(UNITS, 2, seed=7, return_sequences=True, **arguments)
        for arguments in (
            {"cell": cell, **rates},
            {"cell": CELLS[cell](UNITS, seed=7, **rates)},
            {"cell": cell},
        )
    )
    for other in (layer, own, plain):
        other.build((BATCH, None, FEATURES))
        other.set_weights(layer.get_weights())
    np.testing.assert_array_equal(
        run(layer, training=True), run(own, training=True)
    )
    again = StochasticRNN.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again._cell.dropout == 0.5
    assert np.abs(run(layer, training=True) - run(plain, training=True)).max()
    means = {"sample": "mean"}
    # Rounding differs: with recurrent dropout Keras' LSTM cell computes its
    # gates one by one.
    np.testing.assert_allclose(
        run(layer, **means), run(plain, **means), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", ["dropout", "recurrent_dropout"])
@pytest.mark.parametrize(
    ("arguments", "value", "message"),
    [
        ({}, 1.0, r"a number in \[0, 1\)"),
        ({}, None, r"a number in \[0, 1\)"),
        ({"cell": keras.layers.GRUCell(UNITS)}, 0.5, "your own cell"),
        ({"latent_to_cell": "layer_norm"}, 0.5, "latent_to_cell='input'"),
    ],
)
def test_a_stochastic_layer_that_cannot_drop(name, arguments, value, message):
    with pytest.raises(ValueError, match=message) as error:
        StochasticRNN(UNITS, 2, **{name: value, **arguments})
    error.match("Expected .*Received: ")
