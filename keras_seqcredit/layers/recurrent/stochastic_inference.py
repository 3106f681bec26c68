"""The inference of a `StochasticRNN` on a sequence."""

from typing import Any
from typing import NamedTuple

from keras import ops

from keras_seqcredit.checks import check_tensor
from keras_seqcredit.distributions.latents import balanced_kl
from keras_seqcredit.layers.recurrent.inputs import Call
from keras_seqcredit.layers.recurrent.split_stochastic_step import (
    SplitStochasticStep,
)
from keras_seqcredit.layers.recurrent.split_stochastic_step import (
    can_split_stochastic,
)
from keras_seqcredit.layers.recurrent.stochastic_arguments import READS_BACKWARD
from keras_seqcredit.layers.recurrent.stochastic_arguments import check_states
from keras_seqcredit.layers.recurrent.stochastic_step import StochasticStep
from keras_seqcredit.recurrence.run import run
from keras_seqcredit.recurrence.structures import Constants
from keras_seqcredit.recurrence.structures import Operands
from keras_seqcredit.recurrence.structures import Recurrence
from keras_seqcredit.recurrence.structures import Settings
from keras_seqcredit.sequence_ops import has_later_valid
from keras_seqcredit.sequence_ops import next_valid
from keras_seqcredit.sequence_ops import time_first
from keras_seqcredit.types import Tensor


class StochasticOutputs(NamedTuple):
    """Everything that a `StochasticRNN` computes on a sequence.

    Attributes:
        hidden: `(batch, time, units)`, the states after each step.
        before: `(batch, time, units)`, the states before each step.
        states: list of the cell's states after the last step.
        latents: `(batch, time, latent_size)`, the samples.
        posterior: `(batch, time, parameters)`, or None if drawn from the prior.
        prior: `(batch, time, parameters)`.
        evidence: `(batch, time, features)`, the posterior's input besides the
            state: with a backward network, that network's states. Or None.
        kl: float32 `(batch, time, latent_dim)`, nats; 0 at padding.
        auxiliary: float32 `(batch, time)`, nats; 0 at padding and where there
            is no future to predict.
    """

    hidden: Tensor
    before: Tensor
    states: list
    latents: Tensor
    posterior: Any
    prior: Tensor
    evidence: Any
    kl: Tensor
    auxiliary: Tensor


def infer(
    layer: Any,
    call: Call,
    initial_state: Any,
    training: bool,
    sample_from: str,
    sample: str,
    stop_backward_gradient: bool = False,
) -> StochasticOutputs:
    """The results of `StochasticRNN.infer` for prepared inputs."""
    seen = evidence = moves = None
    if sample_from == "posterior":
        seen = evidence = moves = _evidence(layer, call)
        if stop_backward_gradient and layer.posterior in READS_BACKWARD:
            seen = evidence = ops.stop_gradient(evidence)
        if layer.posterior == "backward_and_target":
            seen = ops.concatenate([evidence, _targets(call)], axis=-1)
    batch, time = ops.shape(call.sequences)[:2]
    if sample == "mean":
        noise = ops.zeros((batch, time, layer.latents.size))
    else:
        noise = layer.latents.noise((batch, time), layer.seed_generator)
    noise = ops.cast(noise, layer.compute_dtype)
    first = loop_states(layer, batch, initial_state)
    step, inputs = _step_and_inputs(layer, call, seen, noise, training)
    outputs = run(
        Recurrence(
            Settings(
                step,
                k_trunc=layer.k_trunc,
                jit_compile=layer.jit_compile in (True, "auto"),
            ),
            Operands(step.weights, (), inputs, first),
            Constants(
                step.constants(cell_inputs(layer, call.sequences)),
                call.time_mask,
            ),
        )
    )
    found = _outputs(layer, outputs.states, first, evidence, call, training)
    return found._replace(evidence=moves)


def cell_inputs(layer: Any, sequences: Tensor) -> Tensor:
    """Zeros of the shape of the cell's input at a step."""
    extra = layer.latents.size
    if layer._projection is not None:
        extra = layer._projection.units
    shape = (ops.shape(sequences)[0], sequences.shape[-1] + extra)
    return ops.zeros(shape, layer.compute_dtype)


def loop_states(layer: Any, batch_size: Any, states: Any = None) -> list:
    """Initial states of a loop: the cell's, a sample and its parameters.

    Args:
        layer: a `StochasticRNN`.
        batch_size: number of rows.
        states: the cell's states, or None for its initial states. Defaults to
            `None`.
    """
    if states is None:
        states = layer.get_initial_state(batch_size)
    elif not isinstance(states, (list, tuple)):
        states = [states]
    check_states(layer, states, layer._sizes)
    sizes = (layer.latents.size, layer.latents.parameters)
    return [
        *(ops.cast(x, layer.compute_dtype) for x in states),
        *(ops.zeros((batch_size, n), layer.compute_dtype) for n in sizes),
    ]


def _step_and_inputs(layer, call, evidence, noise, training):
    """The step of the recurrence and the inputs of each step."""
    network = layer._prior if evidence is None else layer._posterior
    parts = layer._cell, network, layer._projection, layer.latents
    if can_split_stochastic(layer._cell, network, layer._projection, training):
        step: Any = SplitStochasticStep(*parts)
    else:
        units = 0 if evidence is None else evidence.shape[-1]
        features = call.sequences.shape[-1]
        step = StochasticStep(*parts, features, units, bool(training))
    if evidence is not None:
        evidence = time_first(evidence)
    return step, step.inputs(call.inputs, evidence, noise=time_first(noise))


def _evidence(layer, call):
    """What the posterior sees, except a target beside the backward state.

    Returns `(batch, time, features)`.
    """
    if layer.posterior == "input":
        return call.sequences
    if layer.posterior == "target":
        return _targets(call)
    shifted = call.targets is None
    targets = call.sequences if shifted else call.targets
    states = ops.flip(layer._backward(targets, mask=call.mask), axis=1)
    return _one_later(states) if shifted else states


def _targets(call):
    """The target of each step: by default, the next valid input, then 0."""
    if call.targets is not None:
        return call.targets
    targets = call.sequences
    if call.mask is not None:
        targets = next_valid(targets, call.mask)
    return _one_later(targets)


def _one_later(sequences):
    # Padded steps hold the value of the next valid step.
    last = ops.zeros_like(sequences[:, :1])
    return ops.concatenate([sequences[:, 1:], last], axis=1)


def _outputs(layer, states, first, evidence, call, training):
    """Prior, KL divergence and auxiliary cost, batched over time."""
    hidden, latents, parameters = (
        time_first(x) for x in (states[0], *states[-2:])
    )
    before = ops.concatenate([first[0][:, None], hidden[:, :-1]], axis=1)
    if layer.k_trunc:
        steps = ops.arange(ops.shape(before)[1])
        cut = (steps % layer.k_trunc == 0) & (steps > 0)
        before = ops.where(cut[:, None], ops.stop_gradient(before), before)
    prior = _prior(layer, before, training)
    posterior, auxiliary = None, ops.zeros(ops.shape(hidden)[:2], "float32")
    kl = ops.zeros((*ops.shape(hidden)[:2], layer.latent_dim), "float32")
    if evidence is not None:
        posterior = parameters
        kl = balanced_kl(layer.latents, posterior, prior, layer.kl_balance)
        if call.mask is not None:
            kl = ops.where(call.mask[..., None], kl, 0.0)
        if layer._auxiliary is not None:
            known = [latents]
            if layer.condition_auxiliary_on_state:
                known.append(before)
            auxiliary = layer._auxiliary(
                ops.concatenate(known, axis=-1),
                evidence,
                mask=_has_future(hidden, call),
            )
    final = [state[-1] for state in states[:-2]]
    return StochasticOutputs(
        hidden, before, final, latents, posterior, prior, evidence, kl,
        auxiliary,
    )  # fmt: skip


def _prior(layer, before, training):
    # As rows, as the network also sees them inside the loop.
    rows = ops.reshape(before, (-1, layer.units))
    prior = ops.cast(layer._prior(rows, training=training), before.dtype)
    return ops.reshape(prior, (*ops.shape(before)[:2], prior.shape[-1]))


def _has_future(hidden, call):
    """Bool `(batch, time)`, the valid steps whose evidence is a real state."""
    mask = call.mask
    if mask is None:
        mask = ops.ones(ops.shape(hidden)[:2], "bool")
    return has_later_valid(mask) if call.targets is None else mask


def take_step(
    layer: Any, inputs: Any, state: Any, noise: Any, latent: Any
) -> tuple[Tensor, list]:
    """The results of `StochasticRNN.step`."""
    inputs = check_tensor("inputs", inputs, (None, None))
    inputs = ops.cast(inputs, layer.compute_dtype)
    state = state if isinstance(state, (list, tuple)) else [state]
    check_states(layer, state, layer._sizes)
    rows = (inputs.shape[0], layer.latents.size)
    step = StochasticStep(
        layer._cell, layer._prior, layer._projection, layer.latents,
        inputs.shape[-1],
    )  # fmt: skip
    weights = step.weights
    constants = step.constants(cell_inputs(layer, inputs))
    if latent is not None:
        latent = check_tensor("latent", latent, rows)
        latent = ops.cast(latent, layer.compute_dtype)
        states = step.move(weights, constants, inputs, latent, state)
        return states[0], states
    batch = ops.shape(inputs)[0]
    if noise is None:
        noise = layer.latents.noise((batch,), layer.seed_generator)
    else:
        noise = check_tensor("noise", noise, rows)
    noise = ops.cast(noise, layer.compute_dtype)
    states = step(
        weights,
        constants,
        step.inputs(inputs, noise=noise),
        loop_states(layer, batch, state),
    )
    return states[0], states[: len(layer._sizes)]
