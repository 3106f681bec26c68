"""A config holds everything, and makes the same object again."""

import copy
import inspect
import json

import keras
import numpy as np

from tests.laws.running import build
from tests.laws.running import call
from tests.laws.running import silenced
from tests.laws.table import every_row
from tests.laws.table import make_inputs


def as_json(config):
    """What a file holds of it, where shapes are lists."""
    return json.loads(json.dumps(config))


@every_row
def test_round_trip(row):
    layer = row.create()
    config = layer.get_config()
    before = copy.deepcopy(config)
    same = type(layer).from_config(config)
    assert config == before
    assert same.get_config() == config


@every_row
def test_serialize(row):
    layer = build(row)
    config = as_json(keras.layers.serialize(layer))
    same = silenced(keras.layers.deserialize(config))
    assert type(same) is type(layer)
    assert as_json(same.get_config()) == as_json(layer.get_config())
    inputs = make_inputs()
    assert same.built
    same.set_weights(layer.get_weights())
    outputs, expected = call(same, inputs), call(layer, inputs)
    for a, b in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@every_row
def test_every_argument_is_in_the_config(row):
    layer = row.create()
    arguments = inspect.signature(type(layer).__init__).parameters
    names = {
        name
        for name, argument in arguments.items()
        if argument.kind is not inspect.Parameter.VAR_KEYWORD
    }
    assert len(names) > 1
    assert names - {"self"} <= set(layer.get_config())
