"""Trained layers that are passed in are used with their weights."""

import keras
import numpy as np
import pytest

from keras_seqcredit.layers import SABGRU
from keras_seqcredit.layers import BernoulliHead
from keras_seqcredit.layers import SparseAttentiveRNN
from keras_seqcredit.layers import StochasticRNN
from keras_seqcredit.models import AutoregressiveRNN
from keras_seqcredit.models.sequences import Sequences

BATCH, TIME, FEATURES, UNITS = 3, 5, 2, 4


def make_inputs(features=FEATURES):
    random = np.random.default_rng(0)
    return random.normal(size=(BATCH, TIME, features)).astype("float32")


def trained(layer, features=FEATURES):
    """The layer, fitted for a step."""
    model = keras.Sequential([layer, keras.layers.GlobalMaxPooling1D()])
    model.compile("adam", "mse")
    model.fit(make_inputs(features), np.ones((BATCH, UNITS)), verbose=0)
    return layer


CORES = {
    "gru": lambda: keras.layers.GRU(UNITS, return_sequences=True),
    "lstm": lambda: keras.layers.LSTM(UNITS, return_sequences=True),
    "list": lambda: keras.layers.RNN(
        [keras.layers.GRUCell(3), keras.layers.LSTMCell(UNITS)],
        return_sequences=True,
    ),
    "attentive": lambda: SABGRU(UNITS, k_top=2, return_sequences=True),
    "frozen": lambda: keras.layers.GRU(
        UNITS, return_sequences=True, trainable=False
    ),
    "cell": lambda: SparseAttentiveRNN(
        keras.layers.SimpleRNNCell(UNITS), k_top=1, return_sequences=True
    ),
}


def assert_same_weights(a, b):
    assert len(a.get_weights()) == len(b.get_weights()) > 0
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def past(inputs):
    return np.pad(inputs, [(0, 0), (1, 0), (0, 0)])[:, :-1]


@pytest.mark.parametrize("name", CORES)
def test_core(name):
    core = trained(CORES[name]())
    generator = AutoregressiveRNN(core, BernoulliHead(FEATURES))
    inputs = make_inputs()
    generator(inputs)
    hidden, _ = generator.net.run(Sequences(inputs))
    assert_same_weights(generator.core, core)
    np.testing.assert_allclose(hidden, core(past(inputs)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("many", [False, True], ids=["cell", "cells"])
def test_cells(many):
    layer = trained(CORES["list" if many else "gru"]())
    cells = layer.cell.cells if many else layer.cell
    generator = AutoregressiveRNN(cells, BernoulliHead(FEATURES))
    generator(make_inputs())
    assert_same_weights(generator.core, layer)


def test_a_copy_is_trained_alone():
    core = trained(CORES["gru"]())
    before = core.get_weights()
    generator = AutoregressiveRNN(core, BernoulliHead(FEATURES), seed=0)
    generator.compile("adam")
    generator.fit((make_inputs() > 0).astype("float32"), verbose=0)
    for a, b in zip(before, core.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(before, generator.core.get_weights(), strict=True):
        assert np.abs(a - b).max() > 1e-5


def test_a_saved_generator_has_the_weights_of_its_file(tmp_path):
    core = trained(CORES["gru"]())
    generator = AutoregressiveRNN(core, BernoulliHead(FEATURES), seed=0)
    generator.compile("adam")
    generator.fit((make_inputs() > 0).astype("float32"), verbose=0)
    generator.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_weights(loaded, generator)


@pytest.mark.parametrize("name", ["gru", "lstm", "attentive"])
def test_backward(name):
    backward = trained(CORES[name]())
    layer = StochasticRNN(UNITS, 2, backward=backward)
    layer(make_inputs())
    assert_same_weights(layer._backward, backward)
    found = layer.infer(make_inputs(), targets=make_inputs()).evidence
    expected = backward(make_inputs()[:, ::-1])[:, ::-1]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda layer: AutoregressiveRNN(layer, BernoulliHead(FEATURES)),
        lambda layer: StochasticRNN(UNITS, 2, backward=layer),
    ],
    ids=["core", "backward"],
)
def test_trained_on_other_inputs(make):
    layer = trained(CORES["gru"](), FEATURES + 1)
    with pytest.raises(ValueError, match="built for other inputs") as error:
        make(layer)(make_inputs())
    error.match(r"Expected weights of shapes \[\(2, 12\), \(4, 12\)")
    error.match(r"Received: \[\(3, 12\), \(4, 12\)")
    # As it says.
    make(type(layer).from_config(layer.get_config()))(make_inputs())
