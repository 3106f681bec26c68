"""Prepares the input sequences of a recurrent layer."""

from typing import Any
from typing import NamedTuple

from keras import ops

from keras_seqcredit.checks import check_steps
from keras_seqcredit.checks import check_tensors
from keras_seqcredit.checks import fits
from keras_seqcredit.sequence_ops import infinite_to_nan
from keras_seqcredit.sequence_ops import time_first
from keras_seqcredit.sequence_ops import without_padding
from keras_seqcredit.types import Tensor


class Call(NamedTuple):
    """The sequences of a call, checked and ready for a loop.

    They are in reading order, reversed by `go_backwards`, and in the layer's
    compute dtype. Infinities are replaced by NaN, which no gate makes finite;
    padding is 0.

    Attributes:
        sequences: `(batch, time, features)`.
        mask: Boolean `(batch, time)`, or None.
        targets: `(batch, time, features)`, or None.
        inputs: The sequences, `(time, batch, features)`.
        time_mask: The mask, `(time, batch)`, or `()`.
    """

    sequences: Tensor
    mask: Any
    targets: Any
    inputs: Tensor
    time_mask: Any


def read_call(
    layer: Any, sequences: Any, mask: Any = None, targets: Any = None
) -> Call:
    """Checks and casts the sequences of a call and clears the padding.

    Args:
        layer: a layer with `go_backwards` and a compute dtype.
        sequences: `(batch, time, features)`.
        mask: Boolean `(batch, time)`, a list that starts with it, or None.
        targets: `(batch, time, features)`, or None.

    Raises:
        ValueError: if shapes do not match.
    """
    if isinstance(mask, (list, tuple)):
        mask = mask[0]
    check_targets(layer, sequences, targets, mask)
    if mask is not None:
        mask = ops.cast(mask, "bool")
        if layer.go_backwards:
            mask = ops.flip(mask, axis=1)

    def read(x):
        x = ops.cast(x, layer.compute_dtype)
        if layer.go_backwards:
            x = ops.flip(x, axis=1)
        return without_padding(infinite_to_nan(x), mask)

    sequences = read(sequences)
    targets = None if targets is None else read(targets)
    time_mask = () if mask is None else ops.transpose(mask)
    return Call(sequences, mask, targets, time_first(sequences), time_mask)


def check_targets(layer, sequences, targets, mask) -> None:
    """Raises a ValueError if call arguments do not match the sequences."""
    check_tensors("sequences", [sequences])
    check_tensors("targets", [] if targets is None else [targets])
    check_tensors("mask", [] if mask is None else [mask])
    if len(sequences.shape) != 3:
        raise ValueError(
            f"Expected inputs of layer '{layer.name}' to have the shape "
            f"(batch, time, features). Received: shape {tuple(sequences.shape)}"
        )
    check_steps(layer.name, sequences.shape)
    if targets is not None and (
        len(targets.shape) != 3
        or not fits(targets.shape[:2], sequences.shape[:2])
    ):
        raise ValueError(
            f"`targets` of layer '{layer.name}' need one step for each step of "
            f"the input: expected shape {(*sequences.shape[:2], 'features')}. "
            f"Received: shape {tuple(targets.shape)}"
        )
    if mask is not None and not fits(mask.shape, sequences.shape[:2]):
        raise ValueError(
            f"`mask` of layer '{layer.name}' does not fit its input. Expected "
            f"shape (batch, time)={tuple(sequences.shape[:2])}. Received: "
            f"mask.shape={tuple(mask.shape)}"
        )
