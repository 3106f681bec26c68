"""Small models of every system, and data for them."""

import keras
import numpy as np

from keras_seqcredit import layers
from keras_seqcredit import models
from keras_seqcredit import schedules

ROWS, TIME = 6, 5


def bits(rows=ROWS, time=TIME):
    random = np.random.default_rng(0)
    return (random.random((rows, time, 1)) > 0.5).astype("float32")


def generator(head=None, core=None, **kwargs):
    model = models.AutoregressiveRNN(
        core or keras.layers.GRUCell(4),
        head or layers.BernoulliHead(1),
        seed=0,
        **kwargs,
    )
    model.compile("adam")
    return model


def professor():
    model = models.ProfessorForcing(
        generator(sampling_probability=0.0),
        layers.BehaviorDiscriminator(4),
        adversarial_weight=schedules.LinearSchedule(0.0, 1.0, 4),
    )
    model.compile(keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.02))
    return model


def z_forcing(**kwargs):
    model = models.ZForcing(
        layers.StochasticRNN(4, latent_dim=2, seed=0),
        layers.GaussianHead(1),
        kl_weight=schedules.LinearSchedule(0.2, 1.0, 8),
        **kwargs,
    )
    model.compile("adam")
    return model


def walkback(shape=2):
    model = models.VariationalWalkback(
        layers.GaussianTransition(models.transition_mlp(shape, units=(4,))),
        num_steps=3,
        seed=0,
    )
    model.compile("adam")
    return model


def reader(layer=None, time=TIME):
    """A classifier with one recurrent layer."""
    model = keras.Sequential(
        [
            keras.Input((time, 1)),
            layer or layers.SABLSTM(4, k_top=2, name="sab"),
            keras.layers.Dense(2),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model
