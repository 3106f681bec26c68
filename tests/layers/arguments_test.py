"""Whatever is wrong is said before the first step, with what was expected."""

import random

import keras
import numpy as np
import pytest

from keras_seqcredit.layers import SABGRU
from keras_seqcredit.layers import SABLSTM
from keras_seqcredit.layers import FutureStateLoss
from keras_seqcredit.layers import SparseAttentiveRNN
from keras_seqcredit.layers.recurrent.drop_in_arguments import (
    check_keras_arguments,
)

BATCH, TIME, FEATURES, UNITS = 2, 4, 2, 3


def inputs():
    return np.ones((BATCH, TIME, FEATURES), "float32")


def states(*shapes):
    return [np.ones(shape, "float32") for shape in shapes]


def assert_says(error, *parts):
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize("kind", [SABLSTM, SABGRU])
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("k_top", -1, "a non-negative integer or None"),
        ("k_top", 2.0, "a non-negative integer or None"),
        ("k_top", True, "a non-negative integer or None"),
        ("k_att", 0, "a positive integer"),
        ("k_att", 1.5, "a positive integer"),
        ("k_att", None, "a positive integer"),
        ("k_trunc", 0, "a positive integer or None"),
        ("k_trunc", -2, "a positive integer or None"),
        ("k_trunc", "4", "a positive integer or None"),
        ("memory_size", 0, "a positive integer or None"),
        ("memory_size", 8.0, "a positive integer or None"),
        ("attention_units", 0, "a positive integer or None"),
        ("attention", "multiplicative", "one of ('additive', 'dot', 'concat')"),
        ("memory_content", "cell", "one of ('state', 'provisional')"),
        ("read_into", "input", "one of ('state', 'mean', 'output')"),
        ("read_into", None, "one of ('state', 'mean', 'output')"),
        ("jit_compile", "always", "one of ('auto', True, False)"),
    ],
)
def test_wrong_argument(kind, name, value, expected):
    with pytest.raises(ValueError, match="Expected") as error:
        kind(UNITS, **{name: value})
    assert_says(
        error, f"Expected `{name}` to be {expected}", f"{name}={value!r}"
    )


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            {"k_top": 5, "memory_size": 4},
            ["`k_top <= memory_size`", "k_top=5, memory_size=4"],
        ),
        (
            {"stateful": True},
            ["Expected `memory_size`", "memory_size=None"],
        ),
        ({"unroll": True}, ["Expected `unroll=False`", "unroll=True"]),
        (
            {"k_top": 0, "return_attention": True},
            ["return_attention=True", "k_top=0"],
        ),
        (
            {"k_top": None, "return_attention": True},
            ["return_attention=False", "return_attention=True, k_top=None"],
        ),
        (
            {"k_top": 0, "return_memory": True},
            ["return_memory=True", "k_top=0"],
        ),
    ],
    ids=lambda x: "-".join(x) if isinstance(x, dict) else "",
)
def test_arguments_that_do_not_fit(arguments, parts):
    with pytest.raises(ValueError, match="Received") as error:
        SABLSTM(UNITS, **arguments)
    assert_says(error, *parts)


def test_numpy_integers_are_integers():
    layer = SABLSTM(UNITS, k_top=np.int64(2), k_trunc=np.int32(3))
    assert layer(inputs()).shape == (BATCH, UNITS)


class NoState(keras.layers.Layer):
    state_size = ()

    def call(self, inputs, states):
        return inputs, []


class OtherOutput(keras.layers.Layer):
    state_size = 3
    output_size = 5

    def call(self, inputs, states):
        return keras.ops.pad(states[0], [(0, 0), (0, 2)]), states


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        (NoState, ["at least one state", "state_size=()"]),
        (OtherOutput, ["output is its first state", "output_size=5"]),
    ],
)
def test_wrong_cell(cell, parts):
    with pytest.raises(ValueError, match="Expected a cell") as error:
        SparseAttentiveRNN(cell())
    assert_says(error, *parts)


def test_what_is_no_cell():
    with pytest.raises(ValueError, match="cell"):
        SparseAttentiveRNN(keras.layers.Dense(3))


@pytest.mark.parametrize("kind", [SABLSTM, FutureStateLoss])
@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 3, 2)])
def test_wrong_rank(kind, shape):
    layer = kind(3)
    for x in (np.ones(shape, "float32"), keras.Input(shape[1:])):
        with pytest.raises(ValueError, match="expected ndim=3") as error:
            layer(x)
        assert_says(error, f"found ndim={len(shape)}")


def symbolic(array):
    return keras.KerasTensor(array.shape, dtype=str(array.dtype))


@pytest.mark.parametrize(
    "shape", [(BATCH, TIME + 1), (BATCH + 1, TIME), (BATCH, TIME, 1), (TIME,)]
)
@pytest.mark.parametrize("make", [np.asarray, symbolic])
def test_wrong_mask(shape, make):
    layer = SABLSTM(UNITS, k_top=2)
    with pytest.raises(ValueError, match="mask") as error:
        layer(make(inputs()), mask=make(np.ones(shape, bool)))
    assert_says(error, f"(batch, time)={(BATCH, TIME)}", f"mask.shape={shape}")


H = (BATCH, UNITS)


@pytest.mark.parametrize(
    ("shapes", "parts"),
    [
        ([H], ["Expected 2 states", "Received: 1 tensors", str([H])]),
        ([H] * 3, ["Expected 2 states", "Received: 3 tensors"]),
        ([H, (BATCH, 7)], [f"{BATCH, UNITS}", f"Received: shape {BATCH, 7}"]),
        (
            [(BATCH, 1, UNITS), H],
            [f"{BATCH, UNITS}", f"shape {BATCH, 1, UNITS}"],
        ),
        (
            [H, H, (BATCH, 3, 8), (BATCH, 3)],
            [f"memory of shape ({BATCH}, None, {UNITS})", f"{BATCH, 3, 8}"],
        ),
        (
            [H, H, (BATCH, 3, UNITS), (BATCH, 4)],
            [f"memory_mask of shape {BATCH, 3}", f"shape {BATCH, 4}"],
        ),
        (
            [H, H, (BATCH, 9, UNITS), (BATCH, 9)],
            ["at most memory_size=6", f"memory.shape={BATCH, 9, UNITS}"],
        ),
        (
            [(BATCH + 1, UNITS)] * 2,
            [f"{BATCH, UNITS}", f"Received: shape {BATCH + 1, UNITS}"],
        ),
    ],
    ids=[
        "too_few",
        "too_many",
        "units",
        "rank",
        "memory_units",
        "memory_mask",
        "memory_size",
        "batch",
    ],
)
@pytest.mark.parametrize("make", [np.asarray, symbolic])
def test_wrong_initial_state(shapes, parts, make):
    layer = SABLSTM(UNITS, k_top=2, memory_size=6)
    state = [make(x) for x in states(*shapes)]
    with pytest.raises(ValueError, match="initial_state") as error:
        layer(make(inputs()), initial_state=state)
    assert_says(error, *parts)


def test_wrong_state_of_a_step():
    layer = SABLSTM(UNITS, k_top=2, memory_size=6)
    with pytest.raises(ValueError, match="Expected 2 states"):
        layer.step(inputs()[:, 0], states(H))


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"steps": 0}, ["positive integer", "steps=0"]),
        ({"steps": 1.5}, ["positive integer", "steps=1.5"]),
        ({"steps": True}, ["positive integer", "steps=True"]),
        ({"weight": -1.0}, ["non-negative number", "weight=-1.0"]),
        ({"weight": float("nan")}, ["non-negative number", "weight=nan"]),
    ],
)
def test_future_state_loss(arguments, parts):
    with pytest.raises(ValueError, match="Expected") as error:
        FutureStateLoss(**arguments)
    assert_says(error, *parts)


def test_unknown_argument():
    with pytest.raises((TypeError, ValueError), match="k_topp"):
        SABLSTM(UNITS, k_topp=3)


@pytest.mark.parametrize("kind", [SABLSTM, SABGRU])
@pytest.mark.parametrize(
    "arguments",
    [
        {"use_cudnn": "auto"},
        {"use_cudnn": False},
        {"implementation": 1},
        {"implementation": 2},
        {"weights": None},
        {"time_major": False},
    ],
    ids=str,
)
def test_arguments_of_keras_without_effect(kind, arguments):
    layer = kind(UNITS, k_top=2, **arguments)
    assert layer.get_config().keys() == kind(UNITS).get_config().keys()
    assert layer(inputs()).shape == (BATCH, UNITS)


@pytest.mark.parametrize("kind", [SABLSTM, SABGRU])
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"use_cudnn": True}, ["'auto' or False", "use_cudnn=True"]),
        ({"use_cudnn": None}, ["('auto', False)", "use_cudnn=None"]),
        ({"implementation": 3}, ["(1, 2)", "implementation=3"]),
        ({"weights": [1.0]}, ["`layer.set_weights(weights)`", "a list of 1"]),
        ({"time_major": True}, ["transpose", "time_major=True"]),
    ],
    ids=str,
)
def test_arguments_of_keras_that_cannot_be(kind, arguments, parts):
    with pytest.raises(ValueError, match="Expected") as error:
        kind(UNITS, **arguments)
    assert_says(error, "Received", *parts)


def test_a_check_takes_no_random_numbers():
    """A layer that is read from its configuration starts as one that is not."""
    config = SABLSTM(UNITS).get_config()
    keras.utils.set_random_seed(0)
    before = random.getstate()
    check_keras_arguments(config)
    assert random.getstate() == before
