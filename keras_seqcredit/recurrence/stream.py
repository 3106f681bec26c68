"""One step outside a sequence, for streaming and generation.

The memory has a fixed number of slots. A new one shifts the others, and the
oldest is dropped.
"""

from typing import Any
from typing import NamedTuple

from keras import ops

from keras_seqcredit.recurrence.attention import attend
from keras_seqcredit.recurrence.equation import Taken
from keras_seqcredit.recurrence.equation import gates_of
from keras_seqcredit.recurrence.equation import take_step
from keras_seqcredit.recurrence.structures import Recurrence
from keras_seqcredit.recurrence.structures import absent
from keras_seqcredit.recurrence.structures import is_remembered
from keras_seqcredit.types import Tensor


class State(NamedTuple):
    """The state carried from one step to the next, outside a sequence.

    Attributes:
        states: list of the cell's states, `(B, U)` each.
        memory: `(B, S, U)`, oldest slot first, or `()` without attention.
        memory_mask: bool `(B, S)`, False where a slot is empty, or `()`.
        time: int32 scalar, number of steps taken, or `()` if unknown.
        cached: what the score stores for each slot, or `()` if it stores
            nothing or must recompute it.
    """

    states: list
    memory: Any = ()
    memory_mask: Any = ()
    time: Any = ()
    cached: Any = ()

    @classmethod
    def unpack(
        cls, flat: list, num_states: int, attends: bool, dtype: str
    ) -> "State":
        """Unpacks the state from a flat list. Its last entries may be missing.

        Without a memory, only the hidden state is remembered.
        """
        states = [ops.cast(state, dtype) for state in flat[:num_states]]
        rest = flat[num_states:]
        if not attends:
            return cls(states, time=rest[0] if rest else ())
        if not rest:
            memory = states[0][:, None]
            return cls(states, memory, ops.ones(ops.shape(memory)[:2], "bool"))
        memory, memory_mask, *others = rest
        return cls(
            states,
            ops.cast(memory, dtype),
            ops.cast(memory_mask, "bool"),
            *others,
        )


def first_memory(state: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """A memory with a first hidden state `(B, U)` in the newest slot.

    Returns:
        `(memory (B, S, U), memory_mask bool (B, S))`.
    """
    memory = ops.zeros_like(state)[:, None]
    memory = ops.repeat(memory, slots - 1, axis=1)
    memory = ops.concatenate([memory, state[:, None]], axis=1)
    occupied = ops.arange(slots) == slots - 1
    return memory, ops.tile(occupied[None], (ops.shape(state)[0], 1))


def stream(recurrence: Recurrence, cached: Any = ()) -> tuple[Taken, list, Any]:
    """Takes one step.

    Args:
        recurrence: as for `run`, but with inputs without a time axis.
        cached: as in `State`. Defaults to `()`.

    Returns:
        The results of the step; the state after it, a list of the cell's
        states, memory, its mask, the time and what the score stores, or without
        attention, the cell's states and the time; and the gates.
    """
    settings, operands, constants = recurrence
    memory, occupied = operands.memory, constants.memory_mask
    if settings.attends and absent(cached):
        cached = settings.score.cache(operands.score, memory)

    def read(state):
        spare = _with_spare_slots(settings.k_top, memory, cached, occupied)
        return attend(
            settings.score, operands.score, settings.k_top, state, *spare
        )

    weights, inputs, gates = gates_of(
        settings,
        operands.step,
        constants.step,
        operands.inputs,
        operands.states,
    )
    taken = take_step(
        settings, weights, constants.step, inputs, operands.states, read
    )
    states = taken.states[: len(operands.states)]
    time = constants.time
    if absent(time):
        time = ops.zeros((), "int32")
    time = time + 1
    if not settings.attends:
        return taken, [*states, time], gates
    writes = is_remembered(settings.k_att, time)

    def append(slots, value):
        moved = ops.concatenate([slots[:, 1:], value[:, None]], axis=1)
        if settings.k_att == 1:
            return moved
        return ops.where(writes, moved, slots)

    state = [
        *states,
        append(memory, taken.content),
        append(occupied, ops.ones_like(occupied[:, 0])),
        time,
    ]
    if not absent(cached):
        of_content = settings.score.cache(operands.score, taken.content)
        state.append(append(cached, of_content))
    return taken, state, gates


def _with_spare_slots(k_top, memory, cached, occupied):
    """Pads a small memory, since attention selects `k_top + 1` slots."""
    missing = max(0, (k_top or 0) + 1 - memory.shape[1])

    def pad(x):
        if not missing or absent(x):
            return x
        width = [(0, 0)] * len(x.shape)
        width[1] = (0, missing)
        return ops.pad(x, width)

    return pad(memory), pad(cached), pad(occupied)
