"""`log_likelihood` where the exact one is known: a linear-Gaussian model."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_seqcredit.layers import GaussianHead
from keras_seqcredit.layers import StochasticRNN
from keras_seqcredit.models import ZForcing
from tests.reference.kalman import StateSpace

SIZE, FEATURES, LENGTH = 2, 2, 6
SYSTEM = StateSpace(
    transition=np.array([[0.9, -0.3], [0.2, 0.7]]),
    emission=np.array([[1.0, 0.5], [-0.4, 0.8]]),
    latent_variance=np.array([0.5, 0.3]),
    noise_variance=np.array([0.4, 0.2]),
)


def make_sequences(num_samples):
    random = np.random.default_rng(0)
    return SYSTEM.sample(random, num_samples, LENGTH).astype("float32")


def exact(sequences):
    return np.array([SYSTEM.log_likelihood(x) for x in sequences])


def test_the_filter_is_that_of_the_joint_normal_distribution():
    (sequence,) = make_sequences(1)
    size = SIZE * LENGTH
    # Latents of all steps to states of all steps.
    mix = np.zeros((size, size))
    for t in range(LENGTH):
        for s in range(t + 1):
            power = np.linalg.matrix_power(SYSTEM.transition, t - s)
            mix[2 * t : 2 * t + 2, 2 * s : 2 * s + 2] = power
    mix = np.kron(np.eye(LENGTH), SYSTEM.emission) @ mix
    covariance = mix @ np.diag(np.tile(SYSTEM.latent_variance, LENGTH)) @ mix.T
    covariance += np.diag(np.tile(SYSTEM.noise_variance, LENGTH))
    expected = stats.multivariate_normal.logpdf(
        sequence.ravel(), np.zeros(size), covariance
    )
    assert SYSTEM.log_likelihood(sequence) == pytest.approx(expected, rel=1e-9)


class LinearCell(keras.layers.Layer):
    """`h' = transition h + z`, whatever `x` is; a Keras RNN cell."""

    state_size = [SIZE]
    output_size = SIZE

    def call(self, inputs, states):
        transition = ops.cast(SYSTEM.transition.T, self.compute_dtype)
        hidden = ops.matmul(states[0], transition) + inputs[:, -SIZE:]
        return hidden, [hidden]

    def get_initial_state(self, batch_size=None):
        return [ops.zeros((batch_size, SIZE))]


def make_system():
    """`SYSTEM` as a `ZForcing`, with a posterior that is only roughly right."""
    rnn = StochasticRNN(
        SIZE,
        SIZE,
        cell=LinearCell(),
        posterior="target",
        prior_network=keras.layers.Dense(2 * SIZE),
        posterior_network=keras.layers.Dense(2 * SIZE),
        seed=1,
    )
    model = ZForcing(rnn, GaussianHead(FEATURES), seed=2)
    model.build((None, LENGTH, FEATURES))
    none = np.zeros((SIZE, SIZE))
    # It trusts the step less than it should, and is too sure of itself.
    look = 0.6 * np.linalg.inv(SYSTEM.emission).T
    expect = -look.T @ SYSTEM.emission @ SYSTEM.transition
    log_variance = np.log(SYSTEM.latent_variance)
    for layer, kernel, bias in [
        (rnn._projection, np.eye(SIZE), np.zeros(SIZE)),
        (
            rnn._prior,
            np.zeros((SIZE, 2 * SIZE)),
            np.concatenate([np.zeros(SIZE), log_variance]),
        ),
        (
            rnn._posterior,
            np.block([[expect.T, none], [look, none]]),
            np.concatenate([np.zeros(SIZE), log_variance + np.log(0.6)]),
        ),
        (
            model.head.projection,
            np.concatenate([SYSTEM.emission.T, none], axis=1),
            np.concatenate([np.zeros(2), np.log(SYSTEM.noise_variance)]),
        ),
    ]:
        layer.set_weights([kernel, bias])
    return model


def test_the_bound_rises_to_the_exact_value_with_samples():
    model, sequences = make_system(), make_sequences(200)
    expected = exact(sequences)
    gaps = []
    for num_samples in (1, 8, 64, 512):
        value, error = model.log_likelihood(
            sequences, num_samples, batch_size=200, return_error=True
        )
        gaps.append((expected - value).mean())
    assert sorted(gaps, reverse=True) == gaps
    assert gaps[0] > 0.5
    assert abs(gaps[-1]) < 0.04
    # Each sequence is as near as its own Monte-Carlo error says.
    scores = (value - expected) / error
    assert np.abs(scores).max() < 5
    assert 0.7 < scores.std() < 1.4


def test_the_bound_of_a_trained_model_stays_below():
    sequences, held_out = np.split(make_sequences(1024), 2)
    model = ZForcing(
        StochasticRNN(16, SIZE, seed=1), GaussianHead(FEATURES), seed=2
    )
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=True)
    model.build(sequences.shape)
    expected = exact(held_out)

    def gap(num_samples=32):
        value = model.log_likelihood(held_out, num_samples, batch_size=512)
        return expected - value

    before = gap()
    model.fit(sequences, batch_size=64, epochs=30, verbose=0)
    after = gap()
    # What is above in single sequences is below on average: a model can only
    # give to some what it takes from others.
    error = after.std() / np.sqrt(len(after))
    assert after.mean() > -3 * error
    # And it has learned most of what there is.
    assert after.mean() < 0.2 * before.mean()
    assert gap(num_samples=1).mean() > after.mean()
