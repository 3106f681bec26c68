"""Families of latent variables: parameters, samples and divergences.

A family is an object without weights:

- `size`: number of features of a sample; `parameters`: number of parameters;
- `noise(shape, seed)`: `(*shape, size)`, drawn before a loop over time;
- `sample(parameters, noise)`: reparameterized, in the dtype of the parameters;
- `mean(parameters)`: `(..., size)`, the output of an encoder;
- `kl(posterior, prior)`: `(..., latent_dim)`, nats per latent, float32;
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
        """Distance of the means, in standard deviations of the prior."""
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
    """`latent_dim` one-hot variables with straight-through gradients.

    A sample is the argmax of logits plus Gumbel noise; in the backward pass, it
    is the vector of probabilities. A share `unimix` of each distribution is
    uniform, so that no probability vanishes and no divergence explodes.
    """

    def __init__(self, latent_dim: int, num_classes: int, unimix: float = 0.0):
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.unimix = unimix
        self.size = self.parameters = latent_dim * num_classes

    def noise(self, shape, seed) -> Tensor:
        uniform = keras.random.uniform(
            (*shape, self.size), minval=1e-6, maxval=1 - 1e-6, seed=seed
        )
        return -ops.log(-ops.log(uniform))

    def sample(self, parameters, noise) -> Tensor:
        logits = self._logits(parameters)
        chosen = ops.argmax(logits + self._apart(noise), axis=-1)
        hard = ops.one_hot(chosen, self.num_classes, dtype=logits.dtype)
        soft = ops.softmax(logits, axis=-1)
        sample = soft + ops.stop_gradient(hard - soft)
        return ops.reshape(sample, ops.shape(parameters))

    def mean(self, parameters) -> Tensor:
        soft = ops.softmax(self._logits(parameters), axis=-1)
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
        logits = self._logits(ops.cast(parameters, "float32"))
        return tfd().OneHotCategorical(logits=logits)

    def _logits(self, parameters) -> Tensor:
        logits = self._apart(parameters)
        if not self.unimix:
            return logits
        soft = (1 - self.unimix) * ops.softmax(logits, axis=-1)
        return ops.log(soft + self.unimix / self.num_classes)

    def _apart(self, x) -> Tensor:
        shape = (*ops.shape(x)[:-1], self.latent_dim, self.num_classes)
        return ops.reshape(x, shape)


def balanced_kl(latents, posterior, prior, balance: float | None) -> Tensor:
    """The divergence `latents.kl`, with its gradient split.

    Args:
        latents: one of the families.
        posterior: its parameters.
        prior: its parameters.
        balance: share of the gradient that the prior gets; the posterior gets
            the rest. None leaves the gradient unchanged.
    """
    if balance is None:
        return latents.kl(posterior, prior)
    moves_prior = latents.kl(ops.stop_gradient(posterior), prior)
    moves_posterior = latents.kl(posterior, ops.stop_gradient(prior))
    # Written this way, the value is exactly that of the divergence.
    return moves_posterior + balance * (moves_prior - moves_posterior)
