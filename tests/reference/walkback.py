"""Variational Walkback by the letter: one point and one step at a time.

Nothing here is shared with the package. The operator is a hidden layer of tanh
and a linear one, Gaussian with a learned scale; its weights are a list.
"""

import math

from keras import ops

ALPHA, MIN_SCALE, MAX_SCALE = 0.5, 0.01, 1.0


def operator(weights, s):
    """Mean and standard deviation of the next state at temperature 1."""
    kernel, bias, output_kernel, output_bias = weights
    hidden = ops.tanh(ops.matmul(s[None], kernel) + bias)
    outputs = (ops.matmul(hidden, output_kernel) + output_bias)[0]
    features = s.shape[0]
    mean = ALPHA * s + (1 - ALPHA) * outputs[:features]
    u = 1 / (1 + ops.exp(-outputs[features:]))
    return mean, MIN_SCALE ** (1 - u) * MAX_SCALE**u


def log_normal(x, mean, scale):
    z = (x - mean) / scale
    terms = -0.5 * z * z - ops.log(scale) - 0.5 * math.log(2 * math.pi)
    return ops.sum(terms)


def step(weights, s, noise, temperature):
    """The state after, and its log-density."""
    mean, scale = operator(weights, s)
    scale = scale * temperature**0.5
    after = ops.stop_gradient(mean + scale * noise)
    return after, log_normal(after, mean, scale)


def back(weights, before, after, temperature):
    """Log-density of the state before, under the operator at that after."""
    mean, scale = operator(weights, after)
    return log_normal(before, mean, scale * temperature**0.5)


def walk(weights, x, noise, temperatures):
    """Walks from each point.

    Args:
        x: `(B, F)`; noise: `(T, B, F)`; temperatures: list of `T` numbers.

    Returns:
        States, a list of `T + 1` lists of `B` tensors; log-densities of the
        steps and of the ways back, lists of `T` lists.
    """
    states, forward, reverse = [list(x)], [], []
    for t, temperature in enumerate(temperatures):
        after, there, here = [], [], []
        for b, s in enumerate(states[-1]):
            s_after, log_prob = step(weights, s, noise[t][b], temperature)
            after.append(s_after)
            there.append(log_prob)
            here.append(back(weights, s, s_after, temperature))
        states.append(after)
        forward.append(there)
        reverse.append(here)
    return states, forward, reverse


def mean(values):
    return sum(values) / len(values)


def loss(reverse):
    """Sum over steps, mean over points."""
    return sum(-mean(step) for step in reverse)


def acceptance(weights, x, noise, temperature, prior):
    """Of a step from each point, `prior` being p*'s mean and deviation."""
    found = []
    for s, one in zip(x, noise, strict=True):
        after, there = step(weights, s, one, temperature)
        ratio = back(weights, s, after, temperature) - there
        ratio = ratio + log_normal(after, *prior) - log_normal(s, *prior)
        found.append(ops.exp(ops.minimum(ratio, 0.0)))
    return mean(found)
