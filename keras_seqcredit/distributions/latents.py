"""Families of latent variables: parameters, samples and divergences.

A family is an object without weights:

- `size`: features of a sample; `parameters`: how many numbers describe one;
- `noise(shape, seed)`: `(*shape, size)`, drawn before a loop over time;
- `sample(parameters, noise)`: reparameterized, in the dtype of the parameters;
- `mean(parameters)`: `(..., size)`, what an encoder shows;
- `kl(posterior, prior)`: `(..., latent_dim)`, nats a latent variable, float32;
- `log_prob(parameters, sample)`: `(...,)`, nats, float32.
"""

import keras
from keras import ops

from keras_seqcredit.distributions import tfd
from keras_seqcredit.types import Tensor


class GaussianLatent:
    """Diagonal Gaussians: parameters are means, then log-variances."""

    def __init__(self, latent_dim: int):
        self.size = latent_dim
        self.parameters = 2 * latent_dim

    def noise(self, shape, seed) -> Tensor:
        return keras.random.normal((*shape, self.size), seed=seed)

    def sample(self, parameters, noise) -> Tensor:
        mean, log_variance = ops.split(parameters, 2, axis=-1)
        return mean + ops.exp(0.5 * log_variance) * noise

    def mean(self, parameters) -> Tensor:
        return parameters[..., : self.size]

    def kl(self, posterior, prior) -> Tensor:
        return tfd().kl_divergence(_normal(posterior), _normal(prior))

    def shift(self, posterior, prior) -> Tensor:
        """How far the means are apart, in the prior's standard deviations."""
        posterior, prior = _normal(posterior), _normal(prior)
        return (posterior.loc - prior.loc) / prior.scale

    def log_prob(self, parameters, sample) -> Tensor:
        sample = ops.cast(sample, "float32")
        return ops.sum(_normal(parameters).log_prob(sample), axis=-1)


def _normal(parameters):
    parameters = ops.cast(parameters, "float32")
    mean, log_variance = ops.split(parameters, 2, axis=-1)
    return tfd().Normal(mean, ops.exp(0.5 * log_variance))


class CategoricalLatent:
    """`latent_dim` one-hot variables; the gradient goes straight through.

    A sample is the arg max of logits and Gumbel noise; backward it is the
    vector of probabilities.
    """

    def __init__(self, latent_dim: int, num_classes: int):
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.size = self.parameters = latent_dim * num_classes

    def noise(self, shape, seed) -> Tensor:
        uniform = keras.random.uniform(
            (*shape, self.size), minval=1e-6, maxval=1 - 1e-6, seed=seed
        )
        return -ops.log(-ops.log(uniform))

    def sample(self, parameters, noise) -> Tensor:
        logits = self._apart(parameters)
        chosen = ops.argmax(logits + self._apart(noise), axis=-1)
        hard = ops.one_hot(chosen, self.num_classes, dtype=logits.dtype)
        soft = ops.softmax(logits, axis=-1)
        sample = soft + ops.stop_gradient(hard - soft)
        return ops.reshape(sample, ops.shape(parameters))

    def mean(self, parameters) -> Tensor:
        soft = ops.softmax(self._apart(parameters), axis=-1)
        return ops.reshape(soft, ops.shape(parameters))

    def kl(self, posterior, prior) -> Tensor:
        return tfd().kl_divergence(
            self._one_hot(posterior), self._one_hot(prior)
        )

    def log_prob(self, parameters, sample) -> Tensor:
        sample = self._apart(ops.cast(sample, "float32"))
        log_prob = self._one_hot(parameters).log_prob(sample)
        return ops.sum(log_prob, axis=-1)

    def _one_hot(self, parameters):
        logits = self._apart(ops.cast(parameters, "float32"))
        return tfd().OneHotCategorical(logits=logits)

    def _apart(self, x) -> Tensor:
        shape = (*ops.shape(x)[:-1], self.latent_dim, self.num_classes)
        return ops.reshape(x, shape)
