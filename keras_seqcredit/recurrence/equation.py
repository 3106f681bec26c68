"""The equation of a step: move, read, add, remember."""

from collections.abc import Callable
from typing import Any
from typing import NamedTuple

from keras import ops

from keras_seqcredit.recurrence.attention import Read
from keras_seqcredit.recurrence.step import SplitStep
from keras_seqcredit.recurrence.structures import Outputs
from keras_seqcredit.recurrence.structures import Settings
from keras_seqcredit.types import Tensor

READS_INTO = ("state", "mean", "output")


class Taken(NamedTuple):
    """The results of a step.

    Attributes:
        states: list of `(B, U)`, states after the step, then the summary if it
            is kept.
        output: `(B, U)`, the hidden state that is returned.
        content: `(B, U)`, what is remembered; `()` without attention.
        read: what was read; empty without attention, except for a summary of
            zeros if it is kept.
    """

    states: list
    output: Tensor
    content: Tensor | tuple
    read: Read


def take_step(
    settings: Settings,
    weights: tuple,
    constants: tuple,
    inputs: Any,
    states: list,
    read: Callable[[Tensor], Read],
) -> Taken:
    """Takes one step: in the forward loop, in its replay, or in a stream.

    Args:
        settings: what is fixed.
        weights: weights of `settings.step`; of its second part if it splits.
        constants: other inputs of the step.
        inputs: inputs of this step; its gates if it splits.
        states: list of `(B, U)`.
        read: what the hidden state reads from the past, given `(B, U)`.
    """
    provisional, *others = settings.step(weights, constants, inputs, states)
    if settings.attends:
        found = read(provisional)
        carried, output, content = join(settings, provisional, found.summary)
    else:
        kept = ops.zeros_like(provisional) if settings.keep_summary else ()
        found = Read(kept)
        carried, output, content = Joined(provisional, provisional, ())
    states = [carried, *others]
    if settings.keep_summary:
        states.append(found.summary)
    return Taken(states, output, content, found)


def gates_of(
    settings: Settings,
    weights: tuple,
    constants: tuple,
    inputs: Any,
    states: list,
) -> tuple[tuple, Any, Any]:
    """Computes the linear part of a step, if it has one.

    Returns:
        Weights and inputs for `take_step`, and the gates, or `()`.
    """
    step = settings.step
    if not isinstance(step, SplitStep):
        return weights, inputs, ()
    linear, rest = weights
    gates = step.linear(linear, constants, inputs, states)
    return rest, gates, gates


class Joined(NamedTuple):
    """A state combined with what it read.

    Attributes:
        carried: `(B, U)`, the hidden state that the next step starts from.
        output: `(B, U)`, the hidden state that is returned.
        content: `(B, U)`, what is remembered; `()` without attention.
    """

    carried: Tensor
    output: Tensor
    content: Tensor | tuple


def join(settings, provisional: Tensor, summary: Tensor) -> Joined:
    """Adds what was read; `read_into` determines where the sum goes.

    `"state"`, as in the paper: the next step and the output. `"mean"`: both get
    half of it. `"output"`: only the output.
    """
    output = provisional + summary
    if settings.read_into == "mean":
        output = 0.5 * output
    return Joined(
        provisional if settings.read_into == "output" else output,
        output,
        provisional if settings.remember_provisional else output,
    )


def hidden_states(settings: Settings, outputs: Outputs) -> Tensor:
    """`(T, B, U)`, the output of each step."""
    if settings.attends and settings.read_into == "output":
        return outputs.states[0] + outputs.states[-1]
    return outputs.states[0]


def remembered_states(settings: Settings, outputs: Outputs) -> Tensor:
    """`(T, B, U)`, the state that each step would remember."""
    if settings.keep_provisional:
        return outputs.provisional
    if settings.remember_provisional:
        return outputs.states[0]
    return hidden_states(settings, outputs)
