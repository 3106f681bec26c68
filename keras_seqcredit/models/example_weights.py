"""Weights of examples, as `fit` is given them."""

from typing import Any


def example_weights(sample_weight: Any) -> Any:
    """`(batch,)`, or None for none.

    A column of weights would be broadcast with costs to a square.

    Args:
        sample_weight: `(batch,)` or `(batch, 1)`, or None.

    Raises:
        ValueError: if it has another shape.
    """
    if sample_weight is None:
        return None
    shape = tuple(sample_weight.shape)
    if len(shape) == 2 and shape[1] == 1:
        return sample_weight[:, 0]
    if len(shape) != 1:
        raise ValueError(
            "A sequence or point is weighted as a whole. Expected "
            "`sample_weight` of shape (batch,); steps are left out by a mask. "
            f"Received: shape={shape}"
        )
    return sample_weight
