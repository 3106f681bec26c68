"""Z-Forcing as in the authors' release: every network in the time loop.

The backward LSTM runs first. Then a loop over time calls prior, posterior,
auxiliary network, cell and emission at each step, and automatic differentiation
goes back through it. Sizes and the loss are those of
`ZForcing(StochasticRNN(units, latent_dim), GaussianHead(features))`.
"""

import math

import keras
from keras import ops

from keras_seqcredit.layers import ClippedMLP


class ReleasedCell(keras.layers.Layer):
    """A Keras RNN cell: one step and its costs."""

    def __init__(self, units: int, latent_dim: int, features: int) -> None:
        super().__init__()
        self.sizes = (features, features, units, latent_dim)
        self.state_size = [units, units]
        self.output_size = 3
        self.prior = ClippedMLP(2 * latent_dim, units, name="prior")
        self.posterior = ClippedMLP(2 * latent_dim, units, name="posterior")
        self.auxiliary = ClippedMLP(2 * units, units, name="auxiliary")
        self.projection = keras.layers.Dense(units, name="projection")
        self.cell = keras.layers.LSTMCell(units, name="cell")
        self.emission = keras.layers.Dense(2 * features, name="emission")

    def build(self, input_shape):
        features, _, units, latent_dim = self.sizes
        self.prior.build((None, units))
        self.posterior.build((None, 2 * units))
        self.auxiliary.build((None, latent_dim))
        self.projection.build((None, latent_dim))
        self.cell.build((None, features + units))
        self.emission.build((None, units))

    def call(self, inputs, states):
        stops = [sum(self.sizes[:n]) for n in (1, 2, 3)]
        x, y, backward, noise = ops.split(inputs, stops, axis=-1)
        hidden = states[0]
        prior = self.prior(hidden)
        posterior = self.posterior(ops.concatenate([hidden, backward], -1))
        mean, log_variance = ops.split(posterior, 2, axis=-1)
        latent = mean + ops.exp(log_variance / 2) * noise
        predicted, spread = ops.split(self.auxiliary(latent), 2, axis=-1)
        auxiliary = _gaussian_nll(
            ops.tanh(predicted), spread, ops.stop_gradient(backward)
        )
        inputs = ops.concatenate([x, self.projection(latent)], -1)
        hidden, states = self.cell(inputs, states)
        mean, log_variance = ops.split(self.emission(hidden), 2, axis=-1)
        nll = _gaussian_nll(mean, ops.clip(log_variance, -8, 8), y)
        costs = [nll, _kl(posterior, prior), auxiliary]
        return ops.stack(costs, axis=-1), states


class ReleasedZForcing(keras.Model):
    """Trains on `(batch, time, features)`."""

    def __init__(
        self,
        units: int,
        latent_dim: int,
        features: int,
        auxiliary_weight: float,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.weights_of_costs = [1.0, 1.0, auxiliary_weight]
        self.backward = keras.layers.LSTM(
            units, return_sequences=True, go_backwards=True, use_cudnn=False
        )
        cell = ReleasedCell(units, latent_dim, features)
        self.recurrence = keras.layers.RNN(cell, return_sequences=True)
        self.seed_generator = keras.random.SeedGenerator(0)

    def noise(self, shape):
        return keras.random.normal(shape, seed=self.seed_generator)

    def call(self, frames):
        first = ops.zeros_like(frames[:, :1])
        past = ops.concatenate([first, frames[:, :-1]], axis=1)
        backward = ops.flip(self.backward(frames), axis=1)
        noise = self.noise((*ops.shape(frames)[:2], self.latent_dim))
        return self.recurrence(
            ops.concatenate([past, frames, backward, noise], axis=-1)
        )

    def compute_loss(self, x=None, y=None, y_pred=None, *args, **kwargs):
        del x, y, args, kwargs
        costs = y_pred * ops.convert_to_tensor(self.weights_of_costs)
        return ops.mean(ops.sum(costs, axis=(1, 2)))


def _gaussian_nll(mean, log_variance, x):
    error = ops.square(x - mean) * ops.exp(-log_variance)
    return 0.5 * ops.sum(error + log_variance + math.log(2 * math.pi), -1)


def _kl(posterior, prior):
    mean_q, log_q = ops.split(posterior, 2, axis=-1)
    mean_p, log_p = ops.split(prior, 2, axis=-1)
    ratio = (ops.exp(log_q) + ops.square(mean_q - mean_p)) * ops.exp(-log_p)
    return 0.5 * ops.sum(log_p - log_q + ratio - 1, axis=-1)
