"""Variational Walkback by the letter: one point and one step at a time.

Nothing here is shared with the package. The network is a hidden layer of tanh
and a linear one, its weights a list; one weight more has a row for each step,
which is added to the hidden layer.
"""

import math

from keras import ops

ALPHA, MIN_SCALE, MAX_SCALE = 0.5, 0.01, 1.0


def network(weights, s, t):
    """What the network puts out for a state before step `t`."""
    kernel, bias, output_kernel, output_bias, *rows = weights
    hidden = ops.matmul(s[None], kernel) + bias
    if rows:
        hidden = hidden + rows[0][t]
    return (ops.matmul(ops.tanh(hidden), output_kernel) + output_bias)[0]


def log_normal(x, mean, scale):
    z = (x - mean) / scale
    terms = -0.5 * z * z - ops.log(scale) - 0.5 * math.log(2 * math.pi)
    return ops.sum(terms)


class Gaussian:
    """With a learned scale, or a given one."""

    def __init__(self, scale=None):
        self.scale = scale

    def parameters(self, weights, s, t):
        """Mean and standard deviation of the next state at temperature 1."""
        outputs = network(weights, s, t)
        features = s.shape[0]
        mean = ALPHA * s + (1 - ALPHA) * outputs[:features]
        if self.scale is not None:
            return mean, self.scale * ops.ones_like(mean)
        u = 1 / (1 + ops.exp(-outputs[features:]))
        return mean, MIN_SCALE ** (1 - u) * MAX_SCALE**u

    def draw(self, parameters, noise, temperature):
        mean, scale = parameters
        return mean + scale * temperature**0.5 * noise

    def log_prob(self, parameters, s, temperature):
        mean, scale = parameters
        return log_normal(s, mean, scale * temperature**0.5)

    def log_prior(self, s, mean, deviation):
        return log_normal(s, mean, deviation)


class Bernoulli:
    def parameters(self, weights, s, t):
        return network(weights, s, t)

    def draw(self, parameters, noise, temperature):
        p = 1 / (1 + ops.exp(-parameters / temperature))
        return ops.cast(noise < p, "float32")

    def log_prob(self, parameters, s, temperature):
        p = 1 / (1 + ops.exp(-parameters / temperature))
        return self.log_prior(s, p, None)

    def log_prior(self, s, mean, deviation):
        return ops.sum(s * ops.log(mean) + (1 - s) * ops.log(1 - mean))


def step(family, weights, s, noise, temperature, t):
    """The state after, and its log-density."""
    parameters = family.parameters(weights, s, t)
    after = ops.stop_gradient(family.draw(parameters, noise, temperature))
    return after, family.log_prob(parameters, after, temperature)


def back(family, weights, before, after, temperature, t):
    """Log-density of the state before, under the operator at that after."""
    parameters = family.parameters(weights, after, t)
    return family.log_prob(parameters, before, temperature)


def walk(family, weights, x, noise, temperatures, first=0):
    """Walks from each point.

    Args:
        x: `(B, F)`; noise: `(T, B, F)`; temperatures: list of `T` numbers;
            first: the number of the first of these steps.

    Returns:
        States, a list of `T + 1` lists of `B` tensors; log-densities of the
        steps and of the ways back, lists of `T` lists.
    """
    states, forward, reverse = [list(x)], [], []
    for t, temperature in enumerate(temperatures):
        after, there, here = [], [], []
        for b, s in enumerate(states[-1]):
            given = temperature, first + t
            s_after, log_prob = step(family, weights, s, noise[t][b], *given)
            after.append(s_after)
            there.append(log_prob)
            here.append(back(family, weights, s, s_after, *given))
        states.append(after)
        forward.append(there)
        reverse.append(here)
    return states, forward, reverse


def mean(values):
    return sum(values) / len(values)


def loss(reverse):
    """Sum over steps, mean over points."""
    return sum(-mean(step) for step in reverse)


def acceptance(family, weights, x, noise, temperature, t, prior):
    """Of a step from each point, `prior` being p*'s mean and deviation."""
    found = []
    for s, one in zip(x, noise, strict=True):
        after, there = step(family, weights, s, one, temperature, t)
        ratio = back(family, weights, s, after, temperature, t) - there
        ratio = ratio + family.log_prior(after, *prior)
        ratio = ratio - family.log_prior(s, *prior)
        found.append(ops.exp(ops.minimum(ratio, 0.0)))
    return mean(found)
