"""The backward scan of a sparse recurrence: its exact gradient."""

from typing import Any
from typing import NamedTuple

from keras import ops
from keras import tree

from keras_seqcredit import backend
from keras_seqcredit.recurrence.attention import dense_weights
from keras_seqcredit.recurrence.attention import read_rows
from keras_seqcredit.recurrence.attention import sparse_weights
from keras_seqcredit.recurrence.equation import remembered_states
from keras_seqcredit.recurrence.equation import take_step
from keras_seqcredit.recurrence.structures import Clock
from keras_seqcredit.recurrence.structures import Operands
from keras_seqcredit.recurrence.structures import absent
from keras_seqcredit.recurrence.structures import select
from keras_seqcredit.recurrence.structures import size
from keras_seqcredit.types import Tensor


class _Carry(NamedTuple):
    states: list  # gradient of the states after the step
    shares: tuple  # gradient of each table, (slots * B, width)
    pending: tuple  # rows and gradients of the last step, not yet in shares
    weights: tuple  # gradient of the weights, summed in float32


def backward_scan(settings, operands, constants, outputs, gates, gradients):
    """Pulls gradients of `Outputs` back to `Operands`."""
    clock, all_rows = None, None
    tables: tuple[Tensor, ...] = ()
    slots = outputs.indices
    if settings.attends:
        clock = Clock(settings, operands, constants)
        tables = _tables(settings, operands, clock, outputs)
    if settings.k_top is None:
        all_rows = _AllRows(operands, constants, clock, tables)
    num_states = len(operands.states)
    masked = not absent(constants.mask)
    batch = operands.batch
    time = 0 if absent(constants.time) else constants.time

    linear: Any = settings.step.linear if settings.splits else None
    # Transposed once: a product with a transposed matrix takes longer.
    turned = ()
    if settings.linear_at_once:
        turned = tree.map_structure(ops.transpose, operands.step[0])

    def step(carry, x):
        index, inputs, gates, mask, before, slots, above = x
        states = _add(carry.states, above.states)
        if masked:
            zeros = [ops.zeros_like(g) for g in states]
            held = select(mask, zeros, states)
            states = select(mask, states, zeros)
        shares, share = carry.shares, ((),) * len(tables)
        provisional = above.provisional
        if clock:
            # Adding before reading: a read between two additions would make
            # XLA copy the whole table at every step.
            shares = _add_rows(shares, carry.pending)
            share = _slot_of_step(clock, shares, index, batch)
            if settings.keep_provisional:
                provisional = provisional + share[0]
            else:
                states = [states[0] + share[0], *states[1:]]
                if settings.read_into == "output" and (
                    not settings.remember_provisional
                ):
                    states[-1] = states[-1] + share[0]
        if all_rows:
            occupied, rows = all_rows.occupied_at(index), all_rows.rows
        else:
            occupied = slots >= 0 if clock else ()
            rows = tuple(_take(table, slots, batch) for table in tables)
        _, pullback = backend.vjp(
            lambda *args: _replay(
                settings, operands, constants, occupied, *args
            ),
            operands.step[1] if settings.splits else operands.step,
            operands.score,
            gates if settings.splits else inputs,
            before,
            rows,
        )
        of_step, score, given, states, rows = pullback(
            _Replayed(states, provisional, share[1:], above.weights)
        )
        states = list(states)
        if settings.linear_at_once:
            _, pullback = backend.vjp(
                lambda h: linear(
                    tree.map_structure(ops.transpose, turned),
                    constants.step,
                    inputs,
                    h,
                ),
                before,
            )
            (more,) = pullback(given)
            of_step, states = ((), of_step), _add(states, more)
        elif settings.splits:
            # Its value is not used: only the products of its gradient remain.
            _, pullback = backend.vjp(
                lambda w, x, h: linear(w, constants.step, x, h),
                operands.step[0],
                inputs,
                before,
            )
            of_linear, given, more = pullback(given)
            of_step, states = (of_linear, of_step), _add(states, more)
        if settings.k_trunc:
            now = time + index
            joined = (now % settings.k_trunc != 0) | (now == 0)
            states = [ops.where(joined, g, ops.zeros_like(g)) for g in states]
        if settings.keep_summary:
            states.append(ops.zeros_like(states[0]))
        if masked:
            states = _add(states, held)
        weights = tree.map_structure(
            lambda total, g: total + ops.cast(g, total.dtype),
            carry.weights,
            (of_step, score),
        )
        pending = (slots, rows) if clock else ()
        return _Carry(states, shares, pending, weights), given

    summed = operands.step
    if settings.linear_at_once:
        summed = ((), operands.step[1])
    before = _before(operands.states, outputs.states[:num_states])
    start = _Carry(
        [ops.zeros_like(x[0]) for x in outputs.states],
        tuple(ops.zeros_like(table) for table in tables),
        _nothing_pending(tables, slots, batch),
        tree.map_structure(_zeros_to_sum, (summed, operands.score)),
    )
    xs = (
        ops.arange(operands.length, dtype="int32"),
        operands.inputs,
        gates,
        constants.mask,
        before,
        slots,
        gradients._replace(indices=()),
    )
    end, inputs = backend.scan(step, start, xs, operands.length, reverse=True)
    weights, memory = end.weights, ()
    if settings.linear_at_once:
        (_, rest), score = weights
        of_linear, inputs = _linear(
            settings, operands, constants, before, inputs
        )
        weights = ((of_linear, rest), score)
    if clock:
        shares = _add_rows(end.shares, end.pending)
        weights, memory = _finish(settings, operands, tables, shares, weights)
    of_step, score = tree.map_structure(
        lambda g, w: ops.cast(g, w.dtype),
        weights,
        (operands.step, operands.score),
    )
    return Operands(of_step, score, inputs, end.states[:num_states], memory)


def _linear(settings, operands, constants, before, gates):
    """Gradients of the linear part, from the gate gradients of all steps."""

    def rows(structure, first=0):
        return tree.map_structure(
            lambda x: ops.reshape(x[:, first:], (-1, x.shape[-1])), structure
        )

    linear, first = settings.step.linear, settings.constant_rows
    if not first:
        states = rows(before)
        _, pullback = backend.vjp(
            lambda w, x: linear(w, constants.step, x, states),
            operands.step[0],
            rows(operands.inputs),
        )
        weights, inputs = pullback(rows(gates))
        return weights, tree.map_structure(
            lambda rows, x: ops.reshape(rows, ops.shape(x)),
            inputs,
            operands.inputs,
        )
    inputs, states = rows(operands.inputs), rows(before)
    _, pullback = backend.vjp(
        lambda w: linear(w, constants.step, inputs, states),
        operands.step[0],
    )
    (weights,) = pullback(rows(gates))
    others = rows(before, first)
    _, pullback = backend.vjp(
        lambda x: linear(operands.step[0], constants.step, x, others),
        rows(operands.inputs, first),
    )
    (inputs,) = pullback(rows(gates, first))
    return weights, tree.map_structure(
        lambda rows, x: _after_zeros(rows, x, first), inputs, operands.inputs
    )


def _after_zeros(rows, like, first):
    """Gradients `(T, B, F)` of all rows from those of the rows from `first`."""
    shape = (size(like, 0), size(like, 1) - first, like.shape[-1])
    rows = ops.reshape(rows, shape)
    return ops.pad(rows, [(0, 0), (first, 0), (0, 0)])


class _Replayed(NamedTuple):
    """The results of a step, for its vjp."""

    states: list
    provisional: Tensor | tuple
    cached: tuple
    weights: Tensor | tuple


def _replay(
    settings, operands, constants, occupied, weights, score, x, states, rows
):
    """Repeats a step on the rows that it read."""

    def read(state):
        memory = rows[0]
        cached = (
            rows[1] if len(rows) > 1 else settings.score.cache(score, memory)
        )
        weigh = dense_weights if settings.k_top is None else sparse_weights
        return read_rows(
            settings.score, score, weigh, state, memory, cached, occupied
        )

    taken = take_step(settings, weights, constants.step, x, states, read)
    if not settings.attends:
        return _Replayed(taken.states, (), (), ())
    # The weights' gradient through a table that depends on them is computed
    # once, after the loop.
    weights_of_cache = [ops.stop_gradient(w) for w in operands.score]
    return _Replayed(
        taken.states,
        taken.content if settings.keep_provisional else (),
        (settings.score.cache(weights_of_cache, taken.content),)
        if len(rows) > 1
        else (),
        () if settings.k_top is None else taken.read.weights,
    )


class _AllRows:
    """The tables and masks for attention to all slots."""

    def __init__(self, operands, constants, clock, tables):
        batch = operands.batch
        self._clock = clock
        self.rows = tuple(
            ops.transpose(
                ops.reshape(table, (-1, batch, table.shape[-1])), (1, 0, 2)
            )
            for table in tables
        )
        mask = constants.mask
        if absent(mask):
            mask = ops.ones((operands.length, batch), "bool")
        remembered = ops.concatenate(
            [ops.transpose(constants.memory_mask), clock.written(mask)], axis=0
        )
        self._remembered = ops.transpose(remembered)

    def occupied_at(self, index):
        """Bool `(B, slots)`, the slots that step `index` can read."""
        count = self._clock.count(index)
        slots = ops.arange(size(self._remembered, 1), dtype="int32")
        there = (slots < count) & (slots >= count - self._clock.capacity)
        return self._remembered & there


def _tables(settings, operands, clock, outputs):
    """All remembered states, `(slots * B, width)`, and their cache."""
    memory = ops.concatenate(
        [
            ops.transpose(operands.memory, (1, 0, 2)),
            clock.written(remembered_states(settings, outputs)),
        ],
        axis=0,
    )
    memory = ops.reshape(memory, (-1, memory.shape[-1]))
    # If all rows are read, each step would recompute the cache of all.
    if not (settings.score.cache_is_costly or settings.k_top is None):
        return (memory,)
    cached = settings.score.cache(operands.score, memory)
    return (memory,) if absent(cached) else (memory, cached)


def _take(table, slots, batch):
    return backend.take_rows(table, _rows(slots, batch))


def _rows(slots, batch):
    """Rows of a table for slots `(B, K)`; empty slots read slot 0."""
    slots = ops.maximum(slots, 0)
    return slots * batch + ops.arange(batch, dtype="int32")[:, None]


def _add_rows(shares, pending):
    slots, rows = pending
    if absent(slots):
        return tuple(
            share + ops.reshape(ops.transpose(row, (1, 0, 2)), ops.shape(share))
            for share, row in zip(shares, rows, strict=True)
        )
    batch = size(slots, 0)
    places = ops.reshape(_rows(slots, batch), (-1,))
    return tuple(
        backend.add_rows(share, places, ops.reshape(row, (-1, row.shape[-1])))
        for share, row in zip(shares, rows, strict=True)
    )


def _slot_of_step(clock, shares, index, batch):
    """Each table's gradient for the slot that step `index` wrote."""
    first_row = (clock.count(index + 1) - 1) * batch
    zero = ops.zeros((), "int32")
    found = []
    for share in shares:
        rows = ops.slice(share, (first_row, zero), (batch, share.shape[-1]))
        if clock.k_att > 1:
            rows = ops.where(clock.writes_at(index), rows, ops.zeros_like(rows))
        found.append(rows)
    return tuple(found)


def _finish(settings, operands, tables, shares, weights):
    """Gradients of the first memory, and of the weights through the cache."""
    batch, first = size(operands.memory, 0), size(operands.memory, 1)

    def of_first(share):
        share = ops.reshape(
            share[: first * batch], (first, batch, share.shape[-1])
        )
        return ops.transpose(share, (1, 0, 2))

    memory = of_first(shares[0])
    if len(tables) > 1:
        of_step, score = weights
        _, pullback = backend.vjp(
            lambda score: settings.score.cache(score, tables[0]), operands.score
        )
        (found,) = pullback(shares[1])
        score = tree.map_structure(
            lambda total, g: total + ops.cast(g, total.dtype), score, found
        )
        _, pullback = backend.vjp(
            lambda memory: settings.score.cache(operands.score, memory),
            operands.memory,
        )
        memory = memory + pullback(of_first(shares[1]))[0]
        weights = (of_step, score)
    return weights, memory


def _before(first, after):
    """States before each step, from the first states and those after it."""
    return [
        ops.concatenate([a[None], b[:-1]], axis=0)
        for a, b in zip(first, after, strict=True)
    ]


def _nothing_pending(tables, slots, batch):
    if not tables:
        return ()
    if absent(slots):
        return (), tuple(
            ops.reshape(ops.zeros_like(table), (batch, -1, table.shape[-1]))
            for table in tables
        )
    slots = slots[0]
    return (
        ops.zeros_like(slots),
        tuple(
            ops.zeros((*ops.shape(slots), table.shape[-1]), table.dtype)
            for table in tables
        ),
    )


def _zeros_to_sum(weight):
    """Zeros for a sum over time, in at least float32."""
    return ops.cast(
        ops.zeros_like(weight),
        "float64" if str(weight.dtype).find("64") >= 0 else "float32",
    )


def _add(a, b):
    return [x + y for x, y in zip(a, b, strict=True)]
