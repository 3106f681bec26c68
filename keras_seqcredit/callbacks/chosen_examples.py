"""The examples that a view looks at."""

import operator
from collections.abc import Sequence
from typing import Any

import keras
from keras import tree


def as_arrays(x: Any, name: str = "x") -> Any:
    """NumPy arrays in the structure of `x`, with the same number of rows.

    Raises:
        ValueError: if there are none, or of different lengths.
    """
    x = tree.map_structure(keras.ops.convert_to_numpy, x)
    sizes = {rows.shape[:1] for rows in tree.flatten(x)}
    if len(sizes) != 1 or sizes & {(), (0,)}:
        shapes = sorted({rows.shape for rows in tree.flatten(x)})
        raise ValueError(
            f"Expected `{name}` to be an array with one row for each example, "
            f"or several such arrays with as many rows. Received: shapes "
            f"{shapes}"
        )
    return x


def num_examples(x: Any) -> int:
    """The number of rows of what `as_arrays` returned."""
    return len(tree.flatten(x)[0])


def check_examples(examples: Sequence[int], number: int) -> list[int]:
    """Rows to look at, as a list.

    Raises:
        ValueError: if there are none, or not all are rows.
    """
    try:
        indices = [operator.index(i) for i in examples]
    except TypeError:
        indices = []
    if not indices or not all(0 <= i < number for i in indices):
        raise ValueError(
            "Expected `examples` to be rows of `x`, from 0 to "
            f"{number - 1}. Received: examples={examples!r}"
        )
    return indices


def check_labels(labels: Sequence[Sequence[str]] | None, number: int) -> None:
    """One sequence of names for each row, or None.

    Raises:
        ValueError: if there are more or fewer.
    """
    if labels is not None and len(labels) != number:
        raise ValueError(
            "Expected `labels` to have one entry for each of the "
            f"{number} rows of `x`. Received: {len(labels)} entries"
        )
