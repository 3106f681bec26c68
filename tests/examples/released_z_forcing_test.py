"""The computation that a benchmark compares with is the same one."""

import keras
import numpy as np
import pytest

from examples.benchmarks.released_z_forcing import ReleasedZForcing
from keras_seqcredit.layers import GaussianHead
from keras_seqcredit.layers import StochasticRNN
from keras_seqcredit.models import ZForcing

BATCH, TIME, FEATURES, UNITS, LATENT, WEIGHT = 3, 4, 5, 6, 2, 0.3


def parts(model):
    rnn = model.stochastic_rnn
    yield rnn._backward
    yield from (rnn._prior, rnn._posterior, rnn._auxiliary)
    yield from (rnn._projection, rnn._cell, model.head)


def parts_of_release(model):
    cell = model.recurrence.cell
    yield model.backward
    yield from (cell.prior, cell.posterior, cell.auxiliary)
    yield from (cell.projection, cell.cell, cell.emission)


def test_a_training_step_is_the_same():
    random = np.random.default_rng(0)
    frames = random.normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    noise = random.normal(size=(BATCH, TIME, LATENT)).astype("float32")
    model = ZForcing(
        StochasticRNN(UNITS, LATENT),
        GaussianHead(FEATURES),
        auxiliary_weight=WEIGHT,
    )
    model.stochastic_rnn.latents.noise = lambda shape, seed: noise
    released = ReleasedZForcing(UNITS, LATENT, FEATURES, WEIGHT)
    released.noise = lambda shape: noise
    model(frames)
    released(frames)
    pairs = list(zip(parts(model), parts_of_release(released), strict=True))
    for ours, theirs in pairs:
        weights = [0.5 * random.normal(size=w.shape) for w in ours.weights]
        ours.set_weights(weights)
        theirs.set_weights(weights)
    before = [w for ours, _ in pairs for w in ours.get_weights()]
    losses = []
    for one in (model, released):
        one.compile(keras.optimizers.SGD(0.1))
        losses.append(np.ravel(one.train_on_batch(frames))[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    after = [w for ours, _ in pairs for w in ours.get_weights()]
    expected = [w for _, theirs in pairs for w in theirs.get_weights()]
    for a, b, first in zip(after, expected, before, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        assert (a != first).any()
