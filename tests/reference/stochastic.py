"""Z-Forcing by the letter: lists, one example at a time, every net by hand.

Nothing here is shared with the package. Weights come in a dictionary under
their paths; gates are in Keras' order: i, f, g, o of an LSTM, z, r, h of a GRU.
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
    return from_gates(gates, c)


def from_gates(gates, c):
    i, f, g, o = ops.split(gates, 4, axis=-1)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    return [ops.sigmoid(o) * ops.tanh(c), c]


def gru(weights, name, x, states):
    (h,) = states
    input_bias, recurrent_bias = weights[f"{name}/bias"]
    given = ops.matmul(x, weights[f"{name}/kernel"]) + input_bias
    kernel = weights[f"{name}/recurrent_kernel"]
    recurrent = ops.matmul(h, kernel) + recurrent_bias
    a, b, c = ops.split(given, 3, axis=-1)
    d, e, f = ops.split(recurrent, 3, axis=-1)
    update, reset = ops.sigmoid(a + d), ops.sigmoid(b + e)
    return [update * h + (1 - update) * ops.tanh(c + reset * f)]


def modulated_lstm(weights, name, x, z, states):
    """Each gate is normalized, then scaled and shifted by the latent."""
    h, c = states
    gates = ops.matmul(x, weights[f"{name}/kernel"])
    gates = gates + ops.matmul(h, weights[f"{name}/recurrent_kernel"])
    normal = []
    for gate in ops.split(gates, 4, axis=-1):
        variance = ops.mean(ops.square(gate - ops.mean(gate)))
        normal.append((gate - ops.mean(gate)) / ops.sqrt(variance + 1e-3))
    scale = 1 + ops.matmul(z, weights[f"{name}/scale_kernel"])
    shift = ops.matmul(z, weights[f"{name}/shift_kernel"])
    gates = ops.concatenate(normal, -1) * scale + shift
    return from_gates(gates + weights[f"{name}/bias"], c)


def gaussian_kl(q, p):
    mean_q, log_q = ops.split(q, 2, axis=-1)
    mean_p, log_p = ops.split(p, 2, axis=-1)
    return 0.5 * (
        log_p
        - log_q
        + (ops.exp(log_q) + ops.square(mean_q - mean_p)) / ops.exp(log_p)
        - 1
    )


def gaussian_sample(q, noise):
    mean, log_variance = ops.split(q, 2, axis=-1)
    return mean + ops.exp(log_variance / 2) * noise


def gaussian_nll(parameters, x):
    """`(1,)`, of a mean and a log-variance, clipped as by the head."""
    mean, log_variance = ops.split(parameters, 2, axis=-1)
    log_variance = ops.clip(log_variance, -8.0, 8.0)
    error = ops.square(x - mean) / ops.exp(log_variance)
    return 0.5 * ops.sum(error + log_variance + math.log(2 * math.pi), axis=-1)


def categorical_kl(q, p, classes, unimix=0.0):
    kls = []
    for a, b in zip(apart(q, classes), apart(p, classes), strict=True):
        a, b = mixed(a, unimix), mixed(b, unimix)
        kls.append(ops.sum(a * (ops.log(a) - ops.log(b)), axis=-1))
    return ops.stack(kls, -1)


def categorical_sample(q, noise, classes, unimix=0.0):
    """The best class; backward, the probabilities."""
    samples = []
    for a, n in zip(apart(q, classes), apart(noise, classes), strict=True):
        soft = mixed(a, unimix)
        best = ops.argmax(ops.log(soft) + n, axis=-1)
        hard = ops.cast(best[:, None] == ops.arange(classes), a.dtype)
        samples.append(soft + ops.stop_gradient(hard - soft))
    return ops.concatenate(samples, -1)


def mixed(logits, unimix):
    """Probabilities, a share of them uniform."""
    probabilities = ops.exp(logits) / ops.sum(ops.exp(logits), -1, True)
    return (1 - unimix) * probabilities + unimix / logits.shape[-1]


def balanced(kl, q, p, balance, *arguments):
    """The divergence; to the prior goes a share of its gradient."""
    q_only = kl(q, ops.stop_gradient(p), *arguments)
    p_only = kl(ops.stop_gradient(q), p, *arguments)
    return (1 - balance) * q_only + balance * p_only


def apart(x, classes):
    return [x[:, i : i + classes] for i in range(0, x.shape[-1], classes)]


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
    cell="lstm",
    latent_to_cell="input",
    num_classes=None,
    unimix=0.0,
    kl_balance=None,
):
    """Runs every example on its own.

    Args:
        weights: dictionary of path and value.
        inputs: `(B, T, F)`; noise: `(B, T, N)`.
        states: list of the first states of the cell, `(B, U)` each.
        targets: `(B, T, G)`, or None for the next valid input.

    Returns:
        A dictionary of `hidden (B, T, U)`, `kl (B, T, L)`, `auxiliary (B, T)`,
        `latents (B, T, N)`, `states`, the final ones, and `evidence`, a
        dictionary a row, of the valid steps.
    """
    hidden, kls, costs, latents, finals = [], [], [], [], []
    evidences = []
    size, time = inputs.shape[:2]
    for b in range(size):
        valid = valid_steps(mask, b, time)
        evidence, seen, real = {}, {}, {}
        future = 2 * [ops.zeros_like(states[0][:1])]
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
                    future = lstm(weights, "backward/cell", y, future)
                evidence[t] = future[0]
                unknown = ops.zeros_like(inputs[:1, t])
                seen[t] = unknown if y is None else y
        state = [s[b : b + 1] for s in states]
        z = ops.zeros_like(noise[b : b + 1, 0])
        zeros = z if num_classes is None else z[:, ::num_classes]
        steps = ([], [], [], [])
        for t in range(time):
            kl, cost = zeros, ops.zeros_like(state[0][:, 0])
            if t in valid:
                before = state
                if k_trunc and t > 0 and t % k_trunc == 0:
                    before = [ops.stop_gradient(s) for s in state]
                known = [before[0], evidence[t]]
                if posterior == "backward_and_target":
                    known.append(seen[t])
                q = network(weights, "posterior", ops.concatenate(known, -1))
                p = network(weights, "prior", before[0])
                if num_classes is None:
                    z = gaussian_sample(q, noise[b : b + 1, t])
                    divergence, more = gaussian_kl, ()
                else:
                    more = (num_classes, unimix)
                    z = categorical_sample(q, noise[b : b + 1, t], *more)
                    divergence = categorical_kl
                kl = divergence(q, p, *more)
                if kl_balance is not None:
                    kl = balanced(divergence, q, p, kl_balance, *more)
                backward = posterior in ("backward", "backward_and_target")
                if backward and auxiliary and real[t]:
                    known = [z, before[0]] if conditioned else [z]
                    cost = auxiliary_cost(
                        weights,
                        auxiliary,
                        ops.concatenate(known, -1),
                        ops.stop_gradient(evidence[t]),
                    )
                x = inputs[b : b + 1, t]
                if latent_to_cell == "layer_norm":
                    state = modulated_lstm(weights, "cell", x, z, before)
                else:
                    projected = (
                        ops.matmul(z, weights["projection/kernel"])
                        + weights["projection/bias"]
                    )
                    x = ops.concatenate([x, projected], -1)
                    move = {"lstm": lstm, "gru": gru}[cell]
                    state = move(weights, "cell", x, before)
            found = (state[0], kl, cost, z)
            for values, value in zip(steps, found, strict=True):
                values.append(value)
        for values, one in zip(
            (hidden, kls, costs, latents), steps, strict=True
        ):
            values.append(ops.stack(one, 1))
        finals.append(state)
        evidences.append(evidence)
    return {
        "hidden": ops.concatenate(hidden, 0),
        "kl": ops.concatenate(kls, 0),
        "auxiliary": ops.concatenate(costs, 0),
        "latents": ops.concatenate(latents, 0),
        "states": [ops.concatenate(s, 0) for s in zip(*finals, strict=True)],
        "evidence": evidences,
    }


def valid_steps(mask, row, time):
    return [t for t in range(time) if mask is None or bool(mask[row, t])]


def objective(
    weights,
    sequences,
    noise,
    states,
    *,
    mask=None,
    kl_weight=1.0,
    auxiliary_weight=0.0,
    backward_weight=0.0,
):
    """The loss of `ZForcing` with a Gaussian head: the mean over sequences.

    Args: as `run`; `weights` are those of its `StochasticRNN`, and `head/...`
        and `backward_head/...`.
    """
    size, time = sequences.shape[:2]
    past = []
    for b in range(size):
        last, steps = ops.zeros_like(sequences[b, 0]), []
        for t in range(time):
            steps.append(last)
            if t in valid_steps(mask, b, time):
                last = sequences[b, t]
        past.append(ops.stack(steps))
    found = run(
        weights, ops.stack(past), noise, states, targets=sequences, mask=mask
    )
    total = 0.0
    for b in range(size):
        valid = valid_steps(mask, b, time)
        for t in valid:
            x = sequences[b : b + 1, t]
            parameters = linear(weights, "head", found["hidden"][b : b + 1, t])
            cost = gaussian_nll(parameters, x)
            cost = cost + kl_weight * ops.sum(found["kl"][b, t])
            cost = cost + auxiliary_weight * found["auxiliary"][b, t]
            after = [s for s in valid if s > t]
            if after:
                known = found["evidence"][b][after[0]]
                parameters = linear(weights, "backward_head", known)
                cost = cost + backward_weight * gaussian_nll(parameters, x)
            total = total + cost[0]
    return total / size


def linear(weights, name, x):
    kernel = weights[f"{name}/projection/kernel"]
    return ops.matmul(x, kernel) + weights[f"{name}/projection/bias"]


def auxiliary_cost(weights, kind, z, state):
    """`-log r(state | z)`, or the squared error, `(1,)`."""
    parameters = network(weights, "auxiliary/network", z)
    if kind == "l2":
        return ops.sum(ops.square(state - ops.tanh(parameters)), axis=-1)
    mean, log_variance = ops.split(parameters, 2, axis=-1)
    bounded = ops.concatenate([ops.tanh(mean), log_variance], -1)
    return gaussian_nll(bounded, state)
