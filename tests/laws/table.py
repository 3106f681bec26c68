"""Every public layer and model, in the configurations that laws are tested on.

A new object joins by a row here; the laws need no change.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import pytest

from keras_seqcredit import layers

BATCH, TIME, FEATURES = 3, 5, 2


class Row(NamedTuple):
    """One object that obeys the laws.

    Attributes:
        name: what the test is called.
        create: `create(dtype=None)`, a new layer or model. It is called on
            `(batch, time, FEATURES)`, any batch and time.
        masked: whether it takes a `mask (batch, time)`.
        hands_on_its_input: whether its output is its input.
        noisy: whether it draws random numbers in training.
        exported: whether the law of export is tried on it, which takes long.
    """

    name: str
    create: Callable[..., keras.Layer]
    masked: bool = True
    hands_on_its_input: bool = False
    noisy: bool = False
    exported: bool = False


# Keras cannot draw its default, an orthogonal matrix, in bfloat16.
_GLOROT = {"recurrent_initializer": "glorot_uniform"}


def _lstm(**arguments):
    arguments = {"k_top": 2, "k_trunc": 2, **_GLOROT, **arguments}
    return lambda dtype=None: layers.SABLSTM(3, dtype=dtype, **arguments)


ROWS = [
    Row("lstm", _lstm()),
    Row("lstm_sequences", _lstm(return_sequences=True, k_trunc=None)),
    Row("lstm_without_attention", _lstm(k_top=0, return_sequences=True)),
    Row("lstm_concat", _lstm(attention="concat", k_att=2)),
    Row("lstm_dot", _lstm(attention="dot", attention_units=4)),
    Row(
        "lstm_ring",
        _lstm(
            memory_content="provisional",
            memory_size=3,
            k_att=2,
            return_sequences=True,
            zero_output_for_mask=True,
        ),
        exported=True,
    ),
    Row(
        "lstm_everything",
        _lstm(
            return_sequences=True,
            return_state=True,
            return_summary=True,
            return_attention=True,
            return_memory=True,
            attention_regularizer="l2",
        ),
        exported=True,
    ),
    Row(
        "lstm_dropout",
        _lstm(dropout=0.3, recurrent_dropout=0.3),
        noisy=True,
    ),
    Row(
        "gru",
        lambda dtype=None: layers.SABGRU(
            3, k_top=2, k_trunc=3, go_backwards=True, dtype=dtype, **_GLOROT
        ),
    ),
    Row(
        "simple_rnn",
        lambda dtype=None: layers.SparseAttentiveRNN(
            keras.layers.SimpleRNNCell(4, dtype=dtype, **_GLOROT),
            k_top=3,
            return_sequences=True,
            dtype=dtype,
        ),
    ),
    Row(
        "future_state_loss",
        lambda dtype=None: layers.FutureStateLoss(
            steps=2, weight=0.3, dtype=dtype
        ),
        hands_on_its_input=True,
    ),
]

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def make_inputs(batch=BATCH, time=TIME, seed=0):
    """Float32 `(batch, time, FEATURES)`."""
    random = np.random.default_rng(seed)
    return random.normal(size=(batch, time, FEATURES)).astype("float32")
