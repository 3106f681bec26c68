"""A small model of every system, ready to be trained."""

import keras
import numpy as np

from keras_seqcredit import layers
from keras_seqcredit import models
from keras_seqcredit import schedules

TIME, FEATURES, CLASSES = 5, 3, 4


def sparse_attentive():
    return keras.Sequential(
        [
            keras.Input((TIME, FEATURES)),
            keras.layers.Masking(),
            layers.SABGRU(8, k_top=2, k_trunc=3),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def sab_lstm():
    return keras.Sequential(
        [
            keras.Input((TIME, FEATURES)),
            layers.SABLSTM(8, k_top=2, k_att=2, k_trunc=3),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def stochastic():
    x = keras.Input((TIME, FEATURES))
    h = layers.StochasticRNN(8, latent_dim=2, kl_weight=_weight())(x)
    outputs = keras.layers.Dense(CLASSES, activation="softmax")(h)
    return keras.Model(x, outputs)


def z_forcing():
    return models.ZForcing(
        layers.StochasticRNN(6, latent_dim=2),
        layers.GaussianHead(FEATURES, activity_regularizer="l2"),
        kl_weight=_weight(),
        auxiliary_weight=0.1,
        free_bits=schedules.FreeBits(0.01),
    )


def autoregressive(head=layers.GaussianHead):
    return models.AutoregressiveRNN(
        keras.layers.GRUCell(6),
        head(FEATURES),
        sampling_probability=schedules.LinearSchedule(0.2, 0.8, 10),
    )


def professor_forcing(head=layers.GaussianHead):
    return models.ProfessorForcing(
        models.AutoregressiveRNN(keras.layers.GRUCell(5), head(FEATURES)),
        layers.BehaviorDiscriminator(8, dtype="float32"),
        adversarial_weight=_weight(),
        discriminator_accuracy_range=(0.48, 0.5),
    )


def walkback(online=False):
    network = models.transition_mlp(FEATURES, units=(8,), num_steps=3)
    return models.VariationalWalkback(
        layers.GaussianTransition(network, num_steps=3),
        num_steps=3,
        online=online,
        momentum=0.5,
    )


def walkback_online():
    return walkback(online=True)


CLASSIFIERS = sparse_attentive, sab_lstm, stochastic

SYSTEMS = {
    make.__name__: make
    for make in (
        sparse_attentive,
        stochastic,
        z_forcing,
        autoregressive,
        professor_forcing,
        walkback,
        walkback_online,
    )
}


def compiled(make, optimizer=keras.optimizers.Adam, **kwargs):
    """The model, with weights that are the same each time."""
    keras.utils.set_random_seed(0)
    model = make(**kwargs)
    rate = 0.05
    if isinstance(model, models.ProfessorForcing):
        # Keras' callbacks log learning rates by name.
        model.compile(optimizer(rate, name="a"), optimizer(rate, name="b"))
    elif make in CLASSIFIERS:
        model.compile(optimizer(rate), "sparse_categorical_crossentropy")
    else:
        model.compile(optimizer(rate))
    return model


def sgd(rate, **kwargs):
    """Not Adam, whose steps have the sign of gradients that are rounded."""
    return keras.optimizers.SGD(rate / 10, momentum=0.9, **kwargs)


def data(make, examples=32):
    """Arrays for `fit`."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(examples, TIME, FEATURES)).astype("float32")
    if make in (walkback, walkback_online):
        return (x[:, 0],)
    if make is sparse_attentive:
        x[::3, 3:] = 0  # Padding.
    if make in CLASSIFIERS:
        return x, rng.integers(0, CLASSES, examples)
    return (x,)


def _weight():
    return schedules.LinearSchedule(0.2, 1.0, 10)
