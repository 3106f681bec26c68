"""The examples that a view looks at."""

import operator
from collections.abc import Sequence
from typing import Any

import keras
from keras import tree

from keras_seqcredit.checks import check_sequence


def as_arrays(x: Any, name: str = "x") -> Any:
    """NumPy arrays in the structure of `x`, with the same number of rows.

    Raises:
        ValueError: if there are none, or of different lengths.
    """
    try:
        x = tree.map_structure(keras.ops.convert_to_numpy, x)
        kinds = {rows.dtype.kind for rows in tree.flatten(x)}
    except (TypeError, ValueError):
        kinds = {"O"}
    if kinds - set("biuf"):
        raise ValueError(
            f"Expected `{name}` to be arrays of numbers. Received: {name}={x!r}"
        )
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
    """Names for the steps of each of so many rows, or None.

    Raises:
        ValueError: if there are more or fewer rows.
    """
    check_sequence("labels", labels, number, optional=True)


def check_label_lengths(
    labels: Sequence[Sequence[str]] | None, x: Any, layer: Any
) -> None:
    """A name for each step that `layer` reads.

    How many there are is known where it is built for so many, or where `x` is
    one array.

    Raises:
        ValueError: if there are more or fewer names in a row.
    """
    steps = _steps_of(layer, x)
    lengths = {len(row) for row in labels or ()}
    if steps is not None and lengths - {steps}:
        raise ValueError(
            f"Expected `labels` to name each of the {steps} steps that "
            f"{layer.name} reads. Received: entries of {sorted(lengths)} labels"
        )


def _steps_of(layer: Any, x: Any) -> int | None:
    shapes = tree.flatten_with_path(layer.get_build_config() or {})
    sizes = [size for path, size in shapes if path[-1] == 1]
    steps = sizes[0] if sizes else None
    if steps is None and hasattr(x, "shape") and x.ndim > 1:
        steps = x.shape[1]
    return steps
