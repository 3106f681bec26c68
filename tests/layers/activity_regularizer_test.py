"""An activity regularizer counts the output, whatever else is returned."""

import itertools

import keras
import numpy as np
import pytest

from keras_seqcredit.layers import SABGRU
from keras_seqcredit.layers import SABLSTM
from keras_seqcredit.layers import BernoulliHead
from keras_seqcredit.layers import SparseAttentiveRNN
from keras_seqcredit.layers import StochasticRNN
from keras_seqcredit.models import AutoregressiveRNN
from keras_seqcredit.models import ProfessorForcing
from keras_seqcredit.models.sequences import Sequences
from tests.laws.running import QUICKLY

BATCH, TIME, FEATURES, UNITS = 3, 5, 2, 4
L2 = keras.regularizers.L2(0.5)


def make_inputs():
    random = np.random.default_rng(0)
    return random.normal(size=(BATCH, TIME, FEATURES)).astype("float32")


def flags(*names):
    """Every set of the names, as arguments."""
    for count in range(len(names) + 1):
        for chosen in itertools.combinations(names, count):
            yield dict.fromkeys(chosen, True)


def assert_counts_the_output(layer):
    outputs = layer(make_inputs())
    first = outputs[0] if isinstance(outputs, tuple) else outputs
    expected = 0.5 * np.sum(np.square(first)) / BATCH
    assert len(layer.losses) == 1
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "arguments",
    flags(
        "return_sequences", "return_state", "return_memory", "return_attention"
    ),
    ids="-".join,
)
def test_sab(arguments):
    assert_counts_the_output(
        SABLSTM(UNITS, k_top=2, activity_regularizer=L2, **arguments)
    )


@pytest.mark.parametrize(
    "arguments",
    flags("return_sequences", "return_state"),
    ids="-".join,
)
def test_stochastic(arguments):
    # The costs are returned, so that the regularizer's is the only loss.
    layer = StochasticRNN(
        UNITS, 2, activity_regularizer=L2, return_losses=True, **arguments
    )
    assert_counts_the_output(layer)


def test_stochastic_adds_it_to_its_costs():
    layer = StochasticRNN(UNITS, 2, activity_regularizer=L2, kl_weight=0.0)
    output = layer(make_inputs())
    expected = 0.5 * np.sum(np.square(output)) / BATCH
    assert float(sum(layer.losses)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "other"),
    [(SABLSTM, keras.layers.LSTM), (SABGRU, keras.layers.GRU)],
)
def test_as_in_keras(kind, other):
    arguments = {"activity_regularizer": L2, "return_sequences": True}
    theirs = other(UNITS, use_cudnn=False, **arguments)
    theirs(make_inputs())
    ours = kind(UNITS, k_top=0, return_state=True, **arguments)
    ours.build((BATCH, TIME, FEATURES))
    ours.set_weights(theirs.get_weights())
    ours(make_inputs())
    (found,), (expected,) = ours.losses, theirs.losses
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        SABLSTM(UNITS, k_top=2, activity_regularizer=L2, return_memory=True),
        SparseAttentiveRNN(
            keras.layers.GRUCell(UNITS), activity_regularizer="l2"
        ),
        StochasticRNN(UNITS, 2, activity_regularizer=L2),
    ],
    ids=["SABLSTM", "SparseAttentiveRNN", "StochasticRNN"],
)
def test_configuration(layer):
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    assert again.output_regularizer.get_config() == (
        layer.output_regularizer.get_config()
    )


@pytest.mark.parametrize(
    "core",
    [
        lambda: keras.layers.GRU(UNITS, activity_regularizer=L2),
        lambda: SABGRU(
            UNITS, k_top=1, activity_regularizer=L2, return_attention=True
        ),
    ],
    ids=["GRU", "SABGRU"],
)
@pytest.mark.parametrize("forcing", [False, True], ids=["", "professor"])
def test_core_of_a_generator(core, forcing):
    generator = AutoregressiveRNN(core(), BernoulliHead(FEATURES), seed=0)
    model = generator
    if forcing:
        model = ProfessorForcing(
            generator, matching="mse", adversarial_weight=0.0
        )
    model.compile(keras.optimizers.SGD(0.0), **QUICKLY)
    x = (make_inputs() > 0).astype("float32")
    for logs in (
        {
            name: found[0]
            for name, found in model.fit(x, verbose=0).history.items()
        },
        model.evaluate(x, verbose=0, return_dict=True),
    ):
        hidden = generator.net.run(Sequences(x)).hidden
        expected = 0.5 * np.sum(np.square(hidden)) / BATCH
        added = logs["loss"] - logs["nll"]
        if forcing:  # Free states, which are drawn, count too.
            assert added > 0.3 * expected
        else:
            assert added == pytest.approx(expected, rel=1e-4)
