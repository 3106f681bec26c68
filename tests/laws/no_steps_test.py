"""Sequences of no steps: an empty answer, or an error that says so."""

import keras
import numpy as np
import pytest

from keras_seqcredit import layers
from keras_seqcredit import models
from tests.laws.table import BATCH
from tests.laws.table import FEATURES
from tests.laws.table import ROWS

EMPTY = np.zeros((BATCH, 0, FEATURES), "float32")


def generator(**arguments):
    return models.AutoregressiveRNN(
        keras.layers.GRUCell(3), layers.GaussianHead(FEATURES), **arguments
    )


RECURRENT = {
    **{
        row.name: row.create
        for row in ROWS
        if row.masked and not row.hands_on_its_input
    },
    "bidirectional": lambda: keras.layers.Bidirectional(layers.SABLSTM(3)),
    "behavior_discriminator": lambda: layers.BehaviorDiscriminator(3),
    "autoregressive": generator,
    "scheduled_sampling": lambda: generator(sampling_probability=0.5),
    "z_forcing": lambda: models.ZForcing(
        layers.StochasticRNN(3, 2), layers.GaussianHead(FEATURES)
    ),
}

# Keras asks them for shapes alone where there are no values yet.
OF_SHAPES = ("bidirectional", "autoregressive", "scheduled_sampling")


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent(name):
    inputs = [EMPTY]
    if name not in OF_SHAPES:
        inputs.append(keras.Input((0, FEATURES)))
    for x in inputs:
        with pytest.raises(ValueError, match="at least one step") as error:
            RECURRENT[name]()(x, training=True)
        error.match(r"Expected .*Received: shape \((3|None), 0, 2\)")


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row.name not in RECURRENT],
    ids=lambda row: row.name,
)
def test_of_single_steps(row):
    outputs = keras.tree.flatten(row.create()(EMPTY))
    assert all(output.shape[:2] == (BATCH, 0) for output in outputs)


def test_fitted():
    model = generator()
    model.compile("adam")
    with pytest.raises(ValueError, match="at least one step"):
        model.fit(EMPTY, verbose=0)
