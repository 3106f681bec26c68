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
    """What a step computes.

    Attributes:
        states: list of `(B, U)`, after the step, then the summary if it is
            kept.
        output: `(B, U)`, the hidden state that is returned.
        content: `(B, U)`, what is remembered; `()` without attention.
        read: what was read; nothing of it is there without attention, but for
            a summary of zeros if it is kept.
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
    """One step: forward in a loop, again on the way back, and in a stream.

    Args:
        settings: what is fixed.
        weights: of `settings.step`; those of the rest where it splits.
        constants: what else it reads.
        inputs: of this step; the gates where it splits.
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
        What `take_step` is given, weights and inputs, and the gates, or `()`.
    """
    step = settings.step
    if not isinstance(step, SplitStep):
        return weights, inputs, ()
    linear, rest = weights
    gates = step.linear(linear, constants, inputs, states)
    return rest, gates, gates


class Joined(NamedTuple):
    """A state and what it read, put together.

    Attributes:
        carried: `(B, U)`, the hidden state that the next step goes on from.
        output: `(B, U)`, the hidden state that is returned.
        content: `(B, U)`, what is remembered; `()` without attention.
    """

    carried: Tensor
    output: Tensor
    content: Tensor | tuple


def join(settings, provisional: Tensor, summary: Tensor) -> Joined:
    """Adds what was read; `read_into` says who sees the sum.

    `"state"`, as in the paper: the next step and the output. `"mean"`: both
    see half of it. `"output"`: the output alone.
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
    """`(T, B, U)`, what each step would write."""
    if settings.keep_provisional:
        return outputs.provisional
    if settings.remember_provisional:
        return outputs.states[0]
    return hidden_states(settings, outputs)
