"""Training on several devices is training on one.

On TensorFlow `MirroredStrategy` on two logical devices, on JAX `DataParallel`
and `ModelParallel` on eight. Replicas of TensorFlow draw other noise than one
device does: there, what is compared is trained on noise that is the same
everywhere.
"""

import contextlib
import functools

import keras
import numpy as np
import pytest

from keras_seqcredit import layers
from keras_seqcredit import metrics
from keras_seqcredit import models
from keras_seqcredit import schedules
from tests import small_systems

TENSORFLOW = keras.backend.backend() == "tensorflow"


@functools.cache
def mirrored_strategy():
    """One for all tests: those of a process share what they have reduced."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@contextlib.contextmanager
def data_parallel():
    if TENSORFLOW:
        with mirrored_strategy().scope():
            yield
        return
    devices = keras.distribution.list_devices("cpu")
    assert len(devices) == 8
    with distribution(keras.distribution.DataParallel(devices=devices)):
        yield


@contextlib.contextmanager
def distribution(found):
    keras.distribution.set_distribution(found)
    try:
        yield
    finally:
        keras.distribution.set_distribution(None)


class MeanHead(layers.GaussianHead):
    """Its samples are its means."""

    def sample(self, parameters, seed=None, temperature=1.0):
        return self.distribution(parameters).mean()


@pytest.fixture
def same_noise(monkeypatch):
    """Arguments of models that have noise of their own."""
    if not TENSORFLOW:
        return {}

    def constant(shape, *args, dtype=None, **kwargs):
        return keras.ops.full(shape, 0.3, dtype or "float32")

    monkeypatch.setattr(keras.random, "normal", constant)
    monkeypatch.setattr(keras.random, "uniform", constant)
    monkeypatch.setattr(
        keras.layers.Dropout, "call", lambda self, x, training=False: x
    )
    return {"head": MeanHead}


def trained(make, **kwargs):
    model = small_systems.compiled(make, **kwargs)
    history = fitted(model, make)
    state = [*model.weights, *model.optimizer.variables]
    return history, {
        f"{i} {v.path}": keras.ops.convert_to_numpy(v)
        for i, v in enumerate(state)
    }


def fitted(model, make, batch_size=16):
    return model.fit(
        *small_systems.data(make),
        batch_size=batch_size,
        epochs=2,
        shuffle=False,
        verbose=0,
    ).history


def assert_same(found, expected):
    for (name, values), others in zip(
        found.items(), expected.values(), strict=True
    ):
        if "free_running_gap" in name:
            continue  # Of neighbours in a batch, which replicas split.
        np.testing.assert_allclose(
            values, others, rtol=2e-4, atol=2e-5, err_msg=name
        )


@pytest.mark.parametrize("name", small_systems.SYSTEMS)
def test_data_parallel_trains_as_one_device(name, same_noise):
    make = small_systems.SYSTEMS[name]
    kwargs = {}
    if name in ("autoregressive", "professor_forcing"):
        kwargs = same_noise
    # Steps of Adam have the sign of gradients that are rounded.
    optimizer = lambda rate, **kwargs: keras.optimizers.SGD(  # noqa: E731
        rate / 10, momentum=0.9, **kwargs
    )
    one = trained(make, optimizer=optimizer, **kwargs)
    with data_parallel():
        several = trained(make, optimizer=optimizer, **kwargs)
    for found, expected in zip(several, one, strict=True):
        assert_same(found, expected)
