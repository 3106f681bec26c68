"""Checks of the arguments of a `SparseAttentiveRNN`."""

from keras import tree

from keras_seqcredit.checks import check_choice
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_steps
from keras_seqcredit.checks import check_tensors
from keras_seqcredit.checks import fits
from keras_seqcredit.recurrence.attention import SCORES
from keras_seqcredit.recurrence.equation import READS_INTO
from keras_seqcredit.recurrence.keras_cell import state_sizes

MEMORY_CONTENTS = ("state", "provisional")


def check_arguments(layer, unroll: bool) -> None:
    """Raises a ValueError for arguments that contradict each other."""
    check_choice("attention", layer.attention, tuple(SCORES))
    check_choice("memory_content", layer.memory_content, MEMORY_CONTENTS)
    check_choice("read_into", layer.read_into, READS_INTO)
    check_choice("jit_compile", layer.jit_compile, ("auto", True, False))
    for name in ("return_summary", "return_attention", "return_memory"):
        check_flag(name, getattr(layer, name))
    if unroll:
        raise ValueError(
            "The recurrence always runs as one loop. Expected `unroll=False`. "
            "Received: unroll=True"
        )
    if layer.memory_size is not None and (layer.k_top or 0) > layer.memory_size:
        raise ValueError(
            "A step cannot read more slots than the memory holds. Expected "
            "`k_top <= memory_size`. Received: "
            f"k_top={layer.k_top}, memory_size={layer.memory_size}"
        )
    if layer.stateful and layer.k_top != 0 and layer.memory_size is None:
        raise ValueError(
            "With `stateful=True` the memory is carried over without end and "
            "needs a bound. Expected `memory_size` to be a positive integer. "
            "Received: memory_size=None"
        )
    if layer.return_attention and layer.k_top is None:
        raise ValueError(
            "With `k_top=None` each step reads all slots, and there is no "
            "short list of them to return. Expected `return_attention=False` "
            "or an integer `k_top`. Received: return_attention=True, k_top=None"
        )
    for name in ("return_attention", "return_memory"):
        if getattr(layer, name) and layer.k_top == 0:
            raise ValueError(
                f"Without attention there is nothing to return: `{name}=True` "
                "needs `k_top` to be at least 1. Received: k_top=0"
            )
    _check_cell(layer.cell)


def _check_cell(cell) -> None:
    sizes = state_sizes(cell)
    if not sizes:
        raise ValueError(
            "Attention reads the cell's past states. Expected a cell with at "
            f"least one state. Received: cell={cell} with "
            f"state_size={cell.state_size}"
        )
    output_size = getattr(cell, "output_size", None)
    if output_size is not None and output_size != sizes[0]:
        raise ValueError(
            "Reads are added to the hidden state. Expected a cell whose "
            "output is its first state. Received: "
            f"cell={cell} with output_size={output_size}, "
            f"state_size={cell.state_size}"
        )


def check_mask(layer, sequences, mask) -> None:
    """Raises a ValueError for no steps, or a mask of the wrong shape."""
    check_steps(layer.name, sequences.shape)
    if isinstance(mask, (list, tuple)):
        mask = mask[0]
    if mask is None:
        return
    if not fits(mask.shape, sequences.shape[:2]):
        raise ValueError(
            f"`mask` of layer '{layer.name}' does not fit its input. Expected "
            f"shape (batch, time)={tuple(sequences.shape[:2])}. Received: "
            f"mask.shape={tuple(mask.shape)}"
        )


def check_state(layer, initial_state, batch_size=None) -> list:
    """Returns an initial state as a flat list, or raises a ValueError."""
    state = tree.flatten(initial_state)
    check_tensors("initial_state", state)
    sizes = state_sizes(layer.cell)
    lengths = [len(sizes), len(sizes) + 1]
    if layer.k_top != 0:
        lengths = [len(sizes) + extra for extra in (0, 2, 3, 4)]
    if len(state) not in lengths:
        raise ValueError(
            f"`initial_state` of layer '{layer.name}' has the wrong length. "
            f"Expected {len(sizes)} states of the cell, of sizes {sizes}"
            + (
                ", and optionally `(memory, memory_mask)`"
                if layer.k_top != 0
                else ""
            )
            + f". Received: {len(state)} tensors of shapes "
            f"{[tuple(x.shape) for x in state]}"
        )
    for x, size in zip(state, sizes, strict=False):
        _check_shape(layer, "a state", x, (batch_size, size))
    if layer.k_top != 0 and len(state) > len(sizes):
        memory, memory_mask = state[len(sizes) : len(sizes) + 2]
        _check_shape(layer, "memory", memory, (batch_size, None, sizes[0]))
        _check_shape(layer, "memory_mask", memory_mask, memory.shape[:2])
        slots = memory.shape[1]
        if layer.memory_size and slots and slots > layer.memory_size:
            raise ValueError(
                f"The memory in `initial_state` of layer '{layer.name}' is too "
                f"large. Expected at most memory_size={layer.memory_size} "
                f"slots. Received: memory.shape={tuple(memory.shape)}"
            )
    return state


def _check_shape(layer, name, x, expected) -> None:
    if not fits(x.shape, expected):
        raise ValueError(
            f"`initial_state` of layer '{layer.name}' does not fit: expected "
            f"{name} of shape {tuple(expected)}, where None is any size. "
            f"Received: shape {tuple(x.shape)}"
        )
