"""Every public layer and model, in the configurations that laws are tested on.

A new object joins by a row here; the laws need no change.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import pytest

from keras_seqcredit import layers
from keras_seqcredit import models

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
        sees_the_future: whether a step may depend on later ones.
        is_head: whether it returns parameters of a density, in float32.
        returns_losses: whether costs are returned, not added to the model's.
        exported: whether the law of export is tried on it; it takes long, so
            not on all variations of a layer.
    """

    name: str
    create: Callable[..., keras.Layer]
    masked: bool = True
    hands_on_its_input: bool = False
    noisy: bool = False
    sees_the_future: bool = False
    returns_losses: bool = False
    is_head: bool = False
    exported: bool = True


# Keras cannot draw its default, an orthogonal matrix, in bfloat16.
_GLOROT = {"recurrent_initializer": "glorot_uniform"}


def _lstm(**arguments):
    arguments = {"k_top": 2, "k_trunc": 2, **_GLOROT, **arguments}
    return lambda dtype=None: layers.SABLSTM(3, dtype=dtype, **arguments)


def _stochastic(make_cell=keras.layers.LSTMCell, **arguments):
    arguments = {"seed": 1, **arguments}

    def create(dtype=None):
        given = dict(arguments)
        if make_cell:
            given["cell"] = make_cell(4, dtype=dtype, **_GLOROT)
        if given.get("posterior") != "target":
            given["auxiliary_weight"] = 1.0
            given["backward"] = keras.layers.GRU(
                3, use_cudnn=False, dtype=dtype, **_GLOROT
            )
        return layers.StochasticRNN(4, latent_dim=3, dtype=dtype, **given)

    return create


def _head(head, *arguments, **kwargs):
    return lambda dtype=None: head(*arguments, dtype=dtype, **kwargs)


def _transition(transition, outputs, **arguments):
    def create(dtype=None):
        network = keras.Sequential(
            [
                keras.layers.Dense(4, activation="tanh", dtype=dtype),
                keras.layers.Dense(outputs, dtype=dtype),
            ]
        )
        return transition(network, dtype=dtype, **arguments)

    return create


ROWS = [
    Row("lstm", _lstm(), exported=False),
    Row(
        "lstm_sequences",
        _lstm(return_sequences=True, k_trunc=None),
        exported=False,
    ),
    Row(
        "lstm_without_attention",
        _lstm(k_top=0, return_sequences=True),
    ),
    Row("lstm_concat", _lstm(attention="concat", k_att=2), exported=False),
    Row(
        "lstm_dot",
        _lstm(attention="dot", attention_units=4),
        exported=False,
    ),
    Row(
        "lstm_ring",
        _lstm(
            memory_content="provisional",
            memory_size=3,
            k_att=2,
            return_sequences=True,
            zero_output_for_mask=True,
        ),
        exported=False,
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
    ),
    Row(
        "lstm_dropout",
        _lstm(dropout=0.3, recurrent_dropout=0.3),
        noisy=True,
        exported=False,
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
    Row(
        "stochastic",
        _stochastic(return_sequences=True, k_trunc=3),
        noisy=True,
    ),
    Row(
        "stochastic_everything",
        _stochastic(
            keras.layers.GRUCell,
            posterior="target",
            latent="categorical",
            num_classes=3,
            unimix=0.01,
            kl_balance=0.8,
            return_sequences=True,
            return_state=True,
            return_losses=True,
            zero_output_for_mask=True,
            sample_from="posterior",
        ),
        noisy=True,
        sees_the_future=True,
        returns_losses=True,
        exported=False,
    ),
    Row(
        "stochastic_layer_norm",
        _stochastic(
            make_cell=None,
            auxiliary="l2",
            condition_auxiliary_on_state=True,
            posterior="backward_and_target",
            latent_to_cell="layer_norm",
            go_backwards=True,
            sample_from="posterior",
        ),
        noisy=True,
        sees_the_future=True,
        exported=False,
    ),
    Row(
        "clipped_mlp",
        lambda dtype=None: layers.ClippedMLP(3, hidden_units=4, dtype=dtype),
        masked=False,
    ),
    Row(
        "gaussian_transition",
        _transition(layers.GaussianTransition, 2 * FEATURES, alpha=0.3),
        masked=False,
        is_head=True,
    ),
    Row(
        "bernoulli_transition",
        _transition(
            layers.BernoulliTransition,
            FEATURES,
            alpha=0.2,
            residual=0.1,
            max_logit=3.0,
        ),
        masked=False,
        is_head=True,
    ),
    Row(
        "gaussian_head",
        _head(layers.GaussianHead, 2, hidden_units=4),
        masked=False,
        is_head=True,
    ),
    Row(
        "gaussian_mixture_head",
        _head(layers.GaussianMixtureHead, 2, num_components=3, symlog=True),
        masked=False,
        is_head=True,
    ),
    Row(
        "pen_stroke_head",
        _head(layers.PenStrokeHead, num_components=2),
        masked=False,
        is_head=True,
    ),
    Row(
        "bernoulli_head",
        _head(layers.BernoulliHead, 3),
        masked=False,
        is_head=True,
    ),
    Row(
        "lstm_dense",
        _lstm(
            k_top=None,
            k_trunc=None,
            read_into="mean",
        ),
        exported=False,
    ),
    Row(
        "lstm_into_output",
        _lstm(
            attention="dot",
            read_into="output",
            return_sequences=True,
            return_state=True,
        ),
    ),
    Row(
        "categorical_head",
        _head(layers.CategoricalHead, 3),
        masked=False,
        is_head=True,
    ),
    Row(
        "discretized_logistic_mixture_head",
        _head(layers.DiscretizedLogisticMixtureHead, 1, num_components=2),
        masked=False,
        is_head=True,
    ),
]

# Parts of the rows: base classes, a cell, layers of two inputs, one whose
# output has no features, one whose features know nothing of each other. And
# models: their laws are in tests of their own.
INSIDE = {
    layers.AuxiliaryStateLoss,
    layers.BehaviorDiscriminator,
    layers.ConditionedLSTMCell,
    layers.DistributionHead,
    layers.StepNormalization,
    layers.Symlog,
    layers.Transition,
    models.AutoregressiveRNN,
    models.ProfessorForcing,
    models.VariationalWalkback,
    models.ZForcing,
}

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def make_inputs(batch=BATCH, time=TIME, seed=0):
    """Float32 `(batch, time, FEATURES)`."""
    random = np.random.default_rng(seed)
    return random.normal(size=(batch, time, FEATURES)).astype("float32")
