"""The entry point to recurrences whose states read sparsely from their past.

There is one forward and one backward scan, both with memory linear in time:

- forward keeps only the states and which slots were read;
- backward repeats one step at a time on the few rows that it read, takes that
  step's vjp, and adds the gradient of the rows to a table over all slots. At
  the step that wrote a slot, the slot's gradient joins the gradient of the
  state that was written.

The recurrence does not depend on a particular cell; see `Step`. Time comes
first: `T` steps, `B` batch, `F` features, `U` units of a state, `S` slots of a
memory, `A` units of the attention.
"""

import functools
from typing import Any

from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.recurrence.backward import backward_scan
from keras_seqcredit.recurrence.equation import remembered_states
from keras_seqcredit.recurrence.forward import forward_scan
from keras_seqcredit.recurrence.structures import Clock
from keras_seqcredit.recurrence.structures import Constants
from keras_seqcredit.recurrence.structures import Operands
from keras_seqcredit.recurrence.structures import Outputs
from keras_seqcredit.recurrence.structures import Recurrence
from keras_seqcredit.recurrence.structures import Settings
from keras_seqcredit.recurrence.structures import absent
from keras_seqcredit.types import Tensor


def run(recurrence: Recurrence) -> Outputs:
    """Runs a step over a sequence, each state attending to remembered ones.

    For each step, with `M` the remembered states:

    ```
    h^, *c = step(x, (h, *c))
    s = sum_i w_i m_i,   w = sparse_weights(score(h^, m_i) for m_i in M)
    h = h^ + s
    if (t + 1) % k_att == 0: append h to M
    ```

    The gradient is the exact one of these equations, with the states cut where
    `t % k_trunc == 0`: it passes from a step to the previous one only within a
    segment, and through `s` and the weights to any step.

    Args:
        recurrence: the settings, the tensors with a gradient and those without.

    Returns:
        `Outputs`. A padded step keeps all states, reads nothing and is not
        remembered.
    """
    settings, operands, constants = recurrence
    return backend.custom_gradient(
        functools.partial(forward_scan, settings),
        functools.partial(backward_scan, settings),
        operands,
        constants,
        settings.jit_compile,
        _batch_axes(settings),
    )


def replay(recurrence: Recurrence, outputs: Outputs, gates: Any) -> Outputs:
    """Like `run`, for steps with known values: adds the gradient.

    Args:
        recurrence: the recurrence of a `SplitStep`.
        outputs: the outputs that `run` would return.
        gates: the output of the linear part at each step.

    Returns:
        `outputs`, differentiable by the operands.
    """
    settings, operands, constants = recurrence

    def forward(operands, given):
        del operands
        return given[1:]

    def backward(operands, given, outputs, gates, gradients):
        return backward_scan(
            settings, operands, given[0], outputs, gates, gradients
        )

    operands_axes, constants_axes, axis = _batch_axes(settings)
    return backend.custom_gradient(
        forward,
        backward,
        operands,
        (constants, outputs, gates),
        settings.jit_compile,
        (operands_axes, (constants_axes, axis, axis), axis),
    )


def _batch_axes(settings: Settings) -> tuple:
    """Batch axes of operands, constants and outputs, for `per_shard`."""
    none: Any = -1
    first: Any = 0
    return (
        Operands(none, none, inputs=1, states=first, memory=0),
        Constants(settings.step.batch_axes, mask=1, memory_mask=0, time=none),
        1,
    )


def final_memory(
    recurrence: Recurrence, outputs: Outputs
) -> tuple[Tensor, Tensor]:
    """The memory after the last step, its oldest slot first.

    Returns:
        `(memory (B, S, U), memory_mask bool (B, S))`.
    """
    settings, operands, constants = recurrence
    clock = Clock(settings, operands, constants)
    states = remembered_states(settings, outputs)
    mask = constants.mask
    if absent(mask):
        mask = ops.ones(ops.shape(states)[:2], "bool")
    slots = ops.arange(clock.capacity, dtype="int32") - clock.capacity
    slots = slots + clock.count(clock.length)

    def newest(first, values):
        first = ops.moveaxis(first, 1, 0)
        values = ops.concatenate([first, clock.written(values)], axis=0)
        values = ops.take(values, ops.maximum(slots, 0), axis=0)
        return ops.moveaxis(values, 1, 0)

    memory_mask = newest(constants.memory_mask, mask) & (slots >= 0)
    return newest(operands.memory, states), memory_mask
