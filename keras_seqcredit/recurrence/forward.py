"""The forward scan of a sparse recurrence: values and reads."""

from typing import NamedTuple

from keras import ops
from keras import tree

from keras_seqcredit import backend
from keras_seqcredit.recurrence.attention import attend
from keras_seqcredit.recurrence.equation import gates_of
from keras_seqcredit.recurrence.equation import take_step
from keras_seqcredit.recurrence.structures import Clock
from keras_seqcredit.recurrence.structures import Outputs
from keras_seqcredit.recurrence.structures import absent
from keras_seqcredit.recurrence.structures import select
from keras_seqcredit.recurrence.structures import size
from keras_seqcredit.types import Tensor

# Scoring reads all existing slots. Split into four scans over memories of
# growing size, it reads 62 % of what one scan would; each scan is compiled
# separately.
_SEGMENTS = 4


class _Store(NamedTuple):
    """The memory as a ring buffer of slots, written in place."""

    memory: Tensor  # (B, S, U)
    cached: Tensor | tuple  # (B, S, A)
    occupied: Tensor  # bool (B, S)


def forward_scan(settings, operands, constants) -> tuple[Outputs, Tensor]:
    """Runs the recurrence of `run`; keeps the linear gates."""
    clock = Clock(settings, operands, constants) if settings.attends else None
    masked = not absent(constants.mask)
    num_states = len(operands.states)

    def step(carry, x):
        index, inputs, mask = x
        before, store = carry
        states = before[:num_states]
        weights, inputs, gates = gates_of(
            settings, operands.step, constants.step, inputs, states
        )

        def read(state):
            return attend(
                settings.score, operands.score, settings.k_top, state, *store
            )

        taken = take_step(
            settings, weights, constants.step, inputs, states, read
        )
        states, known = taken.states, ()
        if clock:
            count = clock.count(index)
            known = _known(settings, clock, taken, count, mask)
            place = count % clock.capacity
            writes = clock.writes_at(index) if settings.k_att > 1 else True
            content = taken.content
            if settings.remember_provisional:
                # Writing waits for reading: a content known earlier would make
                # XLA copy the whole memory at every step.
                content = content + 0 * taken.read.summary
            store = _remember(
                settings, operands, store, content, place, writes, mask
            )
        if masked:
            states = select(mask, states, before)
        return (states, store), (Outputs(states, *known), gates)

    states = list(operands.states)
    if settings.keep_summary:
        states.append(ops.zeros_like(states[0]))
    store, pieces = (), []
    for start, stop, slots in _segments(settings, operands, clock):
        if clock:
            store = _enlarge(settings, operands, constants, store, slots)
        (states, store), outputs = backend.scan(
            step,
            (states, store),
            (
                ops.arange(start, stop, dtype="int32"),
                _cut(operands.inputs, start, stop),
                _cut(constants.mask, start, stop),
            ),
            stop - start,
        )
        pieces.append(outputs)
    return pieces[0] if len(pieces) == 1 else _concatenate(pieces)


def _known(settings, clock, taken, count, mask):
    """What is kept of a step besides its states; see `Outputs`."""
    _, weights, places = taken.read
    indices = ()
    if not absent(places):
        # The ring numbers slots by position; the outputs number them by age.
        indices = count - 1 - (count - 1 - places) % clock.capacity
        indices = ops.where(places < 0, -1, indices)
        if not absent(mask):
            weights = ops.where(mask[:, None], weights, ops.zeros_like(weights))
            indices = ops.where(mask[:, None], indices, -1)
    kept = taken.content if settings.keep_provisional else ()
    return kept, weights, indices


def _remember(settings, operands, store, content, place, writes, mask):
    """The store after writing the content of a step."""
    occupied = ops.ones_like(store.occupied[:, 0]) if absent(mask) else mask
    if settings.k_att > 1:
        # Content that is not remembered goes to a last slot that is never read.
        place = ops.where(writes, place, size(store.memory, 1) - 1)
        occupied = occupied & writes
    cached = settings.score.cache(operands.score, content)
    write = _write_copy if settings.without_xla else _write
    return _Store(
        write(store.memory, content, place),
        store.cached if absent(cached) else write(store.cached, cached, place),
        write(store.occupied, occupied, place),
    )


def _write(slots, value, place):
    zero = ops.zeros((), "int32")
    start = [zero, place, zero][: len(slots.shape)]
    return ops.slice_update(slots, start, value[:, None])


def _write_copy(slots, value, place):
    """Like `_write`, without an operation that requires XLA."""
    written = ops.arange(size(slots, 1), dtype="int32") == place
    written = ops.reshape(written, (-1, *[1] * (len(slots.shape) - 2)))
    return ops.where(written, value[:, None], slots)


def _segments(settings, operands, clock):
    """`(start, stop, slots)` for scans over memories of growing size."""
    length = operands.length
    if not clock:
        return [(0, length, 0)]
    spare = 1 if settings.k_att > 1 else 0
    least = 1 if settings.k_top is None else settings.k_top + 1
    segments = 1
    if (
        isinstance(length, int)
        and isinstance(clock.first, int)
        and settings.memory_size is None
    ):
        slots = length // settings.k_att
        segments = max(1, min(_SEGMENTS, slots // settings.score.segment_slots))
    if segments == 1:
        if isinstance(clock.capacity, int):
            return [(0, length, max(clock.capacity, least) + spare)]
        # Not the larger of the two, which is unknown for a symbolic length.
        return [(0, length, clock.capacity + least + spare)]
    stops = [length * (n + 1) // segments for n in range(segments)]
    return [
        (
            start,
            stop,
            max(clock.first + -(-stop // settings.k_att), least) + spare,
        )
        for start, stop in zip([0, *stops], stops, strict=False)
    ]


def _enlarge(settings, operands, constants, store, slots):
    """A store of `slots` slots that begins with the content of `store`."""
    if not store:
        memory = operands.memory
        cached = settings.score.cache(operands.score, memory)
        store = _Store(memory, cached, constants.memory_mask)
    elif settings.k_att > 1:
        store = _Store(*(x if absent(x) else x[:, :-1] for x in store))

    def pad(x):
        shape = (size(x, 0), slots - size(x, 1), *x.shape[2:])
        return ops.concatenate([x, ops.zeros(shape, x.dtype)], axis=1)

    return _Store(*(x if absent(x) else pad(x) for x in store))


def _cut(inputs, start, stop):
    return tree.map_structure(lambda x: x[start:stop], inputs)


def _concatenate(pieces):
    return tree.map_structure(lambda *x: ops.concatenate(x, 0), *pieces)
