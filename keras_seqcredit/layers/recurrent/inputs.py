"""Prepares the input sequences of a recurrent layer."""

from typing import Any
from typing import NamedTuple

from keras import ops

from keras_seqcredit.layers.recurrent.stochastic_arguments import check_targets
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
    """

    sequences: Tensor
    mask: Any = None
    targets: Any = None

    @property
    def inputs(self) -> Tensor:
        """The sequences, `(time, batch, features)`."""
        return time_first(self.sequences)

    @property
    def time_mask(self) -> Any:
        """The mask, `(time, batch)`, or `()`."""
        return () if self.mask is None else ops.transpose(self.mask)


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

    targets = None if targets is None else read(targets)
    return Call(read(sequences), mask, targets)
