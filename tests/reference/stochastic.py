"""Z-Forcing by the letter: lists, one example at a time, every net by hand.

Nothing here is shared with the package. Weights come in a dictionary under
their paths; LSTM gates are in Keras' order i, f, g, o.
"""

import math

from keras import ops


def network(weights, name, x):
    """A hidden layer of leaky rectifiers, clipped; outputs clipped."""
    hidden = (
        ops.matmul(x, weights[f"{name}/hidden/kernel"])
        + weights[f"{name}/hidden/bias"]
    )
    hidden = ops.where(hidden > 0, hidden, hidden / 3)
    hidden = ops.clip(hidden, -3.0, 3.0)
    outputs = (
        ops.matmul(hidden, weights[f"{name}/projection/kernel"])
        + weights[f"{name}/projection/bias"]
    )
    return ops.clip(outputs, -8.0, 8.0)


def lstm(weights, name, x, states):
    h, c = states
    gates = (
        ops.matmul(x, weights[f"{name}/kernel"])
        + ops.matmul(h, weights[f"{name}/recurrent_kernel"])
        + weights[f"{name}/bias"]
    )
    i, f, g, o = ops.split(gates, 4, axis=-1)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    return [ops.sigmoid(o) * ops.tanh(c), c]


def gaussian_kl(q, p):
    mean_q, log_q = ops.split(q, 2, axis=-1)
    mean_p, log_p = ops.split(p, 2, axis=-1)
    return 0.5 * (
        log_p
        - log_q
        + (ops.exp(log_q) + ops.square(mean_q - mean_p)) / ops.exp(log_p)
        - 1
    )


def run(
    weights,
    inputs,
    noise,
    states,
    *,
    targets=None,
    mask=None,
    posterior="backward",
    auxiliary="gaussian",
    conditioned=False,
    k_trunc=None,
):
    """Runs every example on its own.

    Args:
        weights: dictionary of path and value.
        inputs: `(B, T, F)`; noise: `(B, T, L)`.
        states: list of the first `h` and `c`, `(B, U)`.
        targets: `(B, T, G)`, or None for the next valid input.

    Returns:
        A dictionary of `hidden (B, T, U)`, `kl (B, T, L)`, `auxiliary (B, T)`,
        `latents (B, T, L)` and `states`, the final ones.
    """
    hidden, kls, costs, latents, finals = [], [], [], [], []
    size, time = inputs.shape[:2]
    for b in range(size):
        valid = [t for t in range(time) if mask is None or bool(mask[b, t])]
        evidence, real = {}, {}
        future = [ops.zeros_like(s[:1]) for s in states]
        for t in reversed(valid):
            x = inputs[b : b + 1, t]
            after = [s for s in valid if s > t]
            if targets is not None:
                y = targets[b : b + 1, t]
            else:
                y = inputs[b : b + 1, after[0]] if after else None
            real[t] = y is not None
            if posterior == "input":
                evidence[t] = x
            elif posterior == "target":
                evidence[t] = ops.zeros_like(x) if y is None else y
            else:
                if y is not None:
                    future = lstm(weights, "backward/lstm_cell", y, future)
                evidence[t] = future[0]
        state = [s[b : b + 1] for s in states]
        zeros = ops.zeros_like(noise[b : b + 1, 0])
        z = zeros
        steps = ([], [], [], [])
        for t in range(time):
            kl, cost = zeros, ops.zeros_like(state[0][:, 0])
            if t in valid:
                before = state
                if k_trunc and t > 0 and t % k_trunc == 0:
                    before = [ops.stop_gradient(s) for s in state]
                q = network(
                    weights,
                    "posterior",
                    ops.concatenate([before[0], evidence[t]], -1),
                )
                mean, log_variance = ops.split(q, 2, axis=-1)
                z = mean + ops.exp(log_variance / 2) * noise[b : b + 1, t]
                kl = gaussian_kl(q, network(weights, "prior", before[0]))
                if posterior == "backward" and auxiliary and real[t]:
                    known = [z, before[0]] if conditioned else [z]
                    cost = auxiliary_cost(
                        weights,
                        auxiliary,
                        ops.concatenate(known, -1),
                        ops.stop_gradient(evidence[t]),
                    )
                projected = (
                    ops.matmul(z, weights["projection/kernel"])
                    + weights["projection/bias"]
                )
                x = ops.concatenate([inputs[b : b + 1, t], projected], -1)
                state = lstm(weights, "cell", x, before)
            found = (state[0], kl, cost, z)
            for values, value in zip(steps, found, strict=True):
                values.append(value)
        for values, one in zip(
            (hidden, kls, costs, latents), steps, strict=True
        ):
            values.append(ops.stack(one, 1))
        finals.append(state)
    return {
        "hidden": ops.concatenate(hidden, 0),
        "kl": ops.concatenate(kls, 0),
        "auxiliary": ops.concatenate(costs, 0),
        "latents": ops.concatenate(latents, 0),
        "states": [ops.concatenate(s, 0) for s in zip(*finals, strict=True)],
    }


def auxiliary_cost(weights, kind, z, state):
    """`-log r(state | z)`, or the squared error, `(1,)`."""
    parameters = network(weights, "auxiliary/network", z)
    if kind == "l2":
        return ops.sum(ops.square(state - ops.tanh(parameters)), axis=-1)
    mean, log_variance = ops.split(parameters, 2, axis=-1)
    error = ops.square(state - ops.tanh(mean)) / ops.exp(log_variance)
    return 0.5 * ops.sum(error + log_variance + math.log(2 * math.pi), axis=-1)
