"""Checks of the examples that a view shows."""

import operator
from collections.abc import Sequence
from typing import Any

import keras
from keras import tree

from keras_seqcredit.checks import check_sequence


def as_arrays(x: Any, name: str = "x") -> Any:
    """Converts to NumPy arrays in the structure of `x`, with equal rows.

    Raises:
        ValueError: if there are none, or their lengths differ.
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
    """The number of rows in the result of `as_arrays`."""
    return len(tree.flatten(x)[0])


def check_examples(examples: Sequence[int], number: int) -> list[int]:
    """Returns the rows to show, as a list.

    Raises:
        ValueError: if there are none, or not all of them are rows.
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
    """Checks that `labels` names the steps of `number` rows, or is None.

    Raises:
        ValueError: if there are more or fewer rows.
    """
    check_sequence("labels", labels, number, optional=True)


def check_label_lengths(
    labels: Sequence[Sequence[str]] | None, x: Any, layer: Any
) -> None:
    """Checks that there is a label for each step that `layer` reads.

    The number of steps is known if the layer is built for it, or if `x` is one
    array.

    Raises:
        ValueError: if a row has more or fewer labels.
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
