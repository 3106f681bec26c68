"""Operations on sequences with padding."""

from keras import ops

from keras_seqcredit.types import Tensor


def next_valid(x: Tensor, mask: Tensor) -> Tensor:
    """Fills padded steps with the next valid one, or 0 if there is none.

    Args:
        x: `(batch, time, features)`; padding may hold anything.
        mask: boolean `(batch, time)`, False at padding.
    """
    time = ops.shape(x)[1]
    steps = ops.sort(ops.where(mask, ops.arange(time, dtype="int32"), time))
    count = ops.cast(mask, "int32")
    before = ops.cumsum(count, axis=1) - count
    steps = ops.take_along_axis(steps, before, axis=1)
    x = ops.pad(x, [(0, 0), (0, 1), (0, 0)])
    return ops.take_along_axis(x, steps[..., None], axis=1)


def previous_valid(x: Tensor, mask: Tensor) -> Tensor:
    """Fills padded steps with the last valid one, or 0 if there is none."""
    filled = next_valid(ops.flip(x, axis=1), ops.flip(mask, axis=1))
    return ops.flip(filled, axis=1)


def has_later_valid(mask: Tensor) -> Tensor:
    """Boolean `(batch, time)`, True at valid steps before the last one."""
    count = ops.flip(ops.cast(mask, "int32"), axis=1)
    return mask & (ops.flip(ops.cumsum(count, axis=1), axis=1) > 1)


def infinite_to_nan(inputs):
    """Replaces infinities, which gates would silently make finite, by NaN."""
    # A constant: without one, tf2onnx selects by products, and 0 * NaN is NaN.
    return ops.where(ops.isfinite(inputs), inputs, float("nan"))


def time_first(x: Tensor) -> Tensor:
    """Swaps `(batch, time, features)` and `(time, batch, features)`."""
    return ops.transpose(x, (1, 0, 2))


def without_padding(x: Tensor, mask: Tensor | None) -> Tensor:
    """Sets padding, which may hold anything, to 0, to protect gradients."""
    if mask is None:
        return x
    return ops.where(mask[..., None], x, ops.zeros_like(x))
