"""The parts of a recurrence and its outputs."""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops
from keras import tree

from keras_seqcredit.recurrence.step import SplitStep
from keras_seqcredit.recurrence.step import Step


class Settings(NamedTuple):
    """The fixed settings of a recurrence.

    Attributes:
        step: the computation of a step before attention.
        score: one of `attention.SCORES`.
        k_top: number of slots read at each step; 0 for none, None for all.
        k_att: every `k_att`-th state is remembered.
        k_trunc: steps between truncations of the local gradient, or None.
        read_into: one of `equation.READS_INTO`.
        remember_provisional: remember the state before attention, not after.
        memory_size: number of newest states to keep, or None for all.
        keep_summary: also return the summaries, as a last state; always if they
            go only to the output.
        constant_rows: number of leading rows whose inputs are constants. If the
            linear part's gradients are computed after the loop, theirs are
            zeros and need no computation.
        jit_compile: compile the two scans with XLA on TensorFlow even if the
            function around them is not compiled.
    """

    step: Step
    score: Any = None
    k_top: int | None = 0
    k_att: int = 1
    k_trunc: int | None = None
    read_into: str = "state"
    remember_provisional: bool = False
    memory_size: int | None = None
    keep_summary: bool = False
    constant_rows: int = 0
    jit_compile: bool = True

    @property
    def splits(self) -> bool:
        """Whether the step has a linear part, whose gates are kept."""
        return isinstance(self.step, SplitStep)

    @property
    def linear_at_once(self) -> bool:
        """Whether the linear part's gradients are computed after the loop.

        For the weights and inputs, they are one product over all steps if no
        attention comes between a step and the next.
        """
        return self.splits and not self.attends

    @property
    def attends(self) -> bool:
        """Whether a step reads from the past."""
        return self.k_top != 0

    @property
    def keep_provisional(self) -> bool:
        """Whether the remembered state is not among the states."""
        return self.remember_provisional and self.read_into != "output"

    @property
    def without_xla(self) -> bool:
        """Whether to write the memory by operations that all runtimes support.

        Each write then copies the memory.
        """
        return not self.jit_compile and keras.backend.backend() == "tensorflow"


class Operands(NamedTuple):
    """The tensors of a recurrence that have a gradient.

    Attributes:
        step: `Step.weights`.
        score: tuple of the score's prepared weights.
        inputs: `(T, B, F)`, or a structure of such.
        states: list of the initial states, `(B, U)` each.
        memory: `(B, S, U)`, the initial memory, oldest slot first, or `()` with
            `k_top=0`.
    """

    step: tuple
    score: tuple
    inputs: Any
    states: list
    memory: Any = ()

    @property
    def length(self):
        """Number of steps, see `size`."""
        return size(tree.flatten(self.inputs)[0], 0)

    @property
    def batch(self):
        """Number of rows, see `size`."""
        return size(tree.flatten(self.inputs)[0], 1)


class Constants(NamedTuple):
    """The tensors without a gradient; `()` stands for absent ones.

    Attributes:
        step: the output of `Step.constants`.
        mask: bool `(T, B)`, False where a step is padding; with `k_top=0` it
            may be a list of such, one for each state.
        memory_mask: bool `(B, S)`, False where a slot of `memory` is empty.
        time: int32 scalar, number of steps already taken.
    """

    step: Any = ()
    mask: Any = ()
    memory_mask: Any = ()
    time: Any = ()


class Recurrence(NamedTuple):
    """All inputs of `run`."""

    settings: Settings
    operands: Operands
    constants: Constants


class Outputs(NamedTuple):
    """The outputs of a recurrence.

    Attributes:
        states: list of `(T, B, U)`, the states after each step, then the
            summaries if they are kept.
        provisional: `(T, B, U)`, the hidden state before attention, with
            `Settings.keep_provisional`; else `()`.
        weights: `(T, B, k_top + 1)`, or `()`, also if all slots are read.
        indices: int32 `(T, B, k_top + 1)`, -1 where nothing was read, or `()`.
            They count all states ever remembered, the slots of `memory` first.
    """

    states: list
    provisional: Any = ()
    weights: Any = ()
    indices: Any = ()


class Clock:
    """Which slot is written when. Slots count all states ever remembered."""

    def __init__(self, settings, operands, constants):
        self.k_att = settings.k_att
        self.length = operands.length
        self.first = size(operands.memory, 1)
        self.time = 0 if absent(constants.time) else constants.time
        starts_anew = absent(constants.time) or self.k_att == 1
        # A start between two writes may fit one write more than T // k_att.
        spare = 0 if starts_anew else self.k_att - 1
        self._writes = (self.length + spare) // self.k_att
        self.capacity = settings.memory_size or self.first + self._writes

    def count(self, index):
        """Number of slots remembered before step `index` of this sequence."""
        if self.k_att == 1:
            return self.first + index
        return self.first + (self.time % self.k_att + index) // self.k_att

    def writes_at(self, index):
        """Whether step `index` is remembered."""
        return is_remembered(self.k_att, self.time + index + 1)

    def written(self, values):
        """The values `(T, ...)` of the steps that are remembered, in order."""
        if self.k_att == 1:
            return values
        steps = ops.arange(self._writes, dtype="int32") * self.k_att
        steps = steps + (self.k_att - 1 - self.time % self.k_att)
        # Not a strided slice: XLA on TensorFlow cannot differentiate a stride
        # longer than the sequence.
        return ops.take(values, ops.minimum(steps, self.length - 1), axis=0)


def is_remembered(k_att: int, steps):
    """Whether the state after this number of steps is remembered."""
    return steps % k_att == 0


def absent(x) -> bool:
    """Whether an optional tensor is missing."""
    return isinstance(x, tuple) and not x


def size(x, axis):
    """A dimension as an int if it is known, else as a tensor."""
    static = x.shape[axis]
    return ops.shape(x)[axis] if static is None else static


def select(mask, chosen, other):
    """Rows of `chosen` where `mask (B,)` is True, else rows of `other`."""
    masks = mask if isinstance(mask, list) else [mask] * len(chosen)
    return [
        ops.where(m[:, None], a, b)
        for m, a, b in zip(masks, chosen, other, strict=True)
    ]
