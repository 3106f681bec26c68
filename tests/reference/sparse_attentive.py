"""Sparse attentive backtracking by the letter: lists, one example at a time.

Nothing here is shared with the package. Autodiff goes through the loops, the
cut of the gradient is a stop_gradient, the memory is a Python list.
"""

from keras import ops


def score(kind, weights, state, memory):
    """One number, for a state `(1, U)` and a slot `(1, U)`."""
    if kind == "additive":
        memory_kernel, query_kernel, bias, vector = weights
        hidden = ops.tanh(
            ops.matmul(memory, memory_kernel)
            + ops.matmul(state, query_kernel)
            + bias
        )
        return ops.sum(hidden * vector)
    if kind == "dot":
        memory_kernel, query_kernel = weights
        keys = ops.matmul(memory, memory_kernel)
        query = ops.matmul(state, query_kernel)
        return ops.sum(keys * query) / memory_kernel.shape[-1] ** 0.5
    (vector,) = weights
    pair = ops.concatenate([state, memory], axis=-1)
    return ops.sum(ops.tanh(pair) * vector)


class Decisions:
    """What depends on values, decided on the first run, repeated on others.

    Autodiff may not look at values: run once without it, then `rewind`.
    """

    def __init__(self):
        self._made, self._next = [], None

    def rewind(self):
        self._next = iter(self._made)
        return self

    def __call__(self, decide):
        if self._next is not None:
            return next(self._next)
        self._made.append(decide())
        return self._made[-1]


def read(kind, weights, k_top, state, slots, decisions):
    """Summary `(1, U)`, and `{number of the slot: weight}`."""
    scores = [score(kind, weights, state, memory) for _, memory in slots]
    if k_top is None:
        weights = [ops.exp(a) for a in scores]
        return add_up(weights, sum(weights), slots), {}
    order = decisions(
        lambda: sorted(range(len(slots)), key=lambda i: -float(scores[i]))
    )
    threshold = 0.0 if len(slots) <= k_top else scores[order[k_top]]
    weights = [ops.relu(a - threshold) for a in scores]
    positive = decisions(lambda: [float(w) > 0 for w in weights])
    total = sum(weights) if any(positive) else 1.0
    summary = add_up(weights, total, slots)
    found = {
        number: w / total
        for w, (number, _), p in zip(weights, slots, positive, strict=True)
        if p
    }
    return summary, found


def add_up(weights, total, slots):
    return sum(
        w / total * memory
        for w, (_, memory) in zip(weights, slots, strict=True)
    )


def run(
    cell,
    inputs,
    states,
    decisions,
    *,
    kind,
    weights,
    k_top,
    k_att=1,
    k_trunc=None,
    memory_content="state",
    read_into="state",
    memory_size=None,
    mask=None,
    memory=None,
    memory_mask=None,
    time=0,
):
    """Runs every example on its own.

    Args:
        cell: a function `(inputs (1, F), states) -> states`.
        inputs: `(B, T, F)`.
        states: list of `(B, U)`.

    Returns:
        A dictionary: `hidden` and `summary (B, T, U)`; `states`, the final
        ones; `reads[b][t]`, a dictionary of slots and weights; `memory[b]`, a
        list of `(slot, state)`; `slots`, how many there ever were.
    """
    hidden, summaries, finals, reads, memories = [], [], [], [], []
    for b in range(inputs.shape[0]):
        state = [s[b : b + 1] for s in states]
        output = state[0]
        summary = ops.zeros_like(state[0])
        if memory is None:
            slots = [(0, state[0])]
            number = 1
        else:
            number = memory.shape[1]
            slots = [
                (i, memory[b : b + 1, i])
                for i in range(number)
                if memory_mask is None or memory_mask[b, i]
            ]
        outputs, seen, steps = [], [], []
        # Every slot ever made, also those of padded steps: they push older
        # ones out of a memory of fixed size.
        for i in range(inputs.shape[1]):
            t = time + i
            valid = mask is None or bool(mask[b, i])
            found = {}
            if valid:
                before = state
                if k_trunc and t > 0 and t % k_trunc == 0:
                    before = [ops.stop_gradient(s) for s in state]
                state = list(cell(inputs[b : b + 1, i], before))
                provisional = state[0]
                if k_top != 0:
                    summary, found = read(
                        kind, weights, k_top, provisional, slots, decisions
                    )
                output = provisional + summary
                if read_into == "mean":
                    output = output / 2
                if read_into != "output":
                    state[0] = output
            if (t + 1) % k_att == 0:
                if valid:
                    content = (
                        output if memory_content == "state" else provisional
                    )
                    slots = [*slots, (number, content)]
                number += 1
                if memory_size:
                    slots = [
                        (n, m) for n, m in slots if n >= number - memory_size
                    ]
            outputs.append(output)
            seen.append(summary)
            steps.append(found)
        hidden.append(ops.stack(outputs, 1))
        summaries.append(ops.stack(seen, 1))
        finals.append(state)
        reads.append(steps)
        memories.append(slots)
    return {
        "hidden": ops.concatenate(hidden, 0),
        "summary": ops.concatenate(summaries, 0),
        "states": [ops.concatenate(s, 0) for s in zip(*finals, strict=True)],
        "reads": reads,
        "memory": memories,
        "slots": number,
    }
