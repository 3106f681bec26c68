"""Fresh discriminators, and what they say of a generator by position."""

import random

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit import layers
from keras_seqcredit.models import AutoregressiveRNN
from keras_seqcredit.models import ProfessorForcing
from keras_seqcredit.utils import drift_by_position
from keras_seqcredit.utils import fresh_accuracy

QUICKLY = {"units": 4, "updates": 40, "batch_size": 16}


def noise(rows=64, time=4, features=2):
    return np.random.default_rng(0).normal(size=(2, rows, time, features))


def test_what_is_alike_is_not_told_apart():
    a, b = noise(256)
    assert abs(fresh_accuracy(a, b, **QUICKLY) - 0.5) < 0.15
    # Alike at each step, not in order.
    longer = {**QUICKLY, "updates": 200}
    assert fresh_accuracy(a, np.cumsum(b, axis=1), **longer) > 0.6
    assert fresh_accuracy(a, b + 3, **QUICKLY) > 0.95
    classes = (a[..., 0] > 0).astype(int)
    assert fresh_accuracy(classes, classes * 0 + 1, **QUICKLY) > 0.9


def test_padding_is_not_seen():
    a, b = noise()
    mask = np.arange(4) < np.array([4, 2] * 32)[:, None]
    found = []
    for padding in (0.0, np.nan):
        x, y = (np.where(mask[..., None], part, padding) for part in (a, b))
        found.append(fresh_accuracy(x, y, mask, **QUICKLY))
    assert found[0] == found[1]


def test_the_seed_is_its_own():
    a, b = noise()
    np.random.seed(0)
    random.seed(0)
    states = random.getstate(), np.random.get_state()[1].tolist()
    first = fresh_accuracy(a, b + 0.3, seed=3, **QUICKLY)
    assert states == (random.getstate(), np.random.get_state()[1].tolist())
    keras.utils.set_random_seed(5)
    assert first == fresh_accuracy(a, b + 0.3, seed=3, **QUICKLY)


def test_drift_grows_with_the_position():
    # A free run that walks away from data that stay.
    cell = keras.layers.SimpleRNNCell(
        1, activation="linear", recurrent_initializer="zeros"
    )
    model = AutoregressiveRNN(cell, layers.GaussianHead(1), seed=1)
    x = np.random.default_rng(0).normal(size=(64, 22, 1)).astype("float32")
    model(x)
    model.core.cell.kernel.assign([[1.0]])
    model.head.projection.kernel.assign([[1.0, 0.0]])
    model.head.projection.bias.assign([0.3, -2.0])
    before = ops.convert_to_numpy(model.seed_generator.state.value)
    settings = {"length": 2, "prompt_steps": 2, **QUICKLY, "updates": 100}
    found = drift_by_position(model, x, **settings)
    assert list(found) == [1, 4, 10]
    assert found[10]["samples"] > 0.9 > found[1]["samples"]
    assert found[10]["behaviors"] > 0.9
    assert found[10]["gap"] > found[1]["gap"]
    np.testing.assert_array_equal(
        before, ops.convert_to_numpy(model.seed_generator.state.value)
    )
    forcing = ProfessorForcing(model, matching="mse")
    again = drift_by_position(
        forcing, {"sequences": x, "mask": np.ones((64, 22), bool)}, **settings
    )
    assert again[10]["samples"] == found[10]["samples"]


def test_bad_arguments():
    a, b = noise(8)
    for arguments, message in [
        ({"data": a[:, :2], "free": b}, "of one shape"),
        ({"data": a[:3], "free": b[:3]}, "4 rows at least"),
        ({"data": a[..., 0], "free": b[..., 0]}, "to be integers, classes"),
        ({"mask": np.ones((2, 4), bool)}, "`mask` to have the shape"),
        ({"holdout": 1.0}, "a number between 0 and 1"),
        ({"updates": 0}, "`updates` to be a positive integer"),
    ]:
        with pytest.raises(ValueError, match=message):
            fresh_accuracy(**{"data": a, "free": b, **arguments})
    model = AutoregressiveRNN(keras.layers.GRUCell(2), layers.GaussianHead(2))
    with pytest.raises(ValueError, match="to be a built"):
        drift_by_position(model, a, 2)
    model(a)
    with pytest.raises(ValueError, match="of 20 steps or more"):
        drift_by_position(model, a, 2)
    with pytest.raises(ValueError, match="`positions` to be a positive"):
        drift_by_position(model, a, 2, (0,))
