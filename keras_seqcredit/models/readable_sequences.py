"""Checks data that a sequence model reads."""

from typing import Any

import keras
import numpy as np

_PAD = (
    'Pad them and say where they end: `{"sequences": keras.utils.'
    'pad_sequences(x, padding="post"), "mask": mask}`, the mask being '
    "`np.arange(steps) < lengths[:, None]`"
)


def readable_sequences(data: Any, name: str, embedding: Any = None) -> Any:
    """Returns data as arrays; for datasets, checks the batch specification.

    Args:
        data: As `fit` takes it: arrays, lists, dictionaries, datasets.
        name: String, name of the data in errors.
        embedding: The layer that turns tokens into vectors, or None. Defaults
            to `None`.

    Returns:
        The data, with lists of equal lengths converted to arrays.

    Raises:
        ValueError: for ragged sequences, text, one-hot tokens, non-integer
            tokens, and tokens that are outside the embedding.
    """
    if isinstance(data, dict):
        if "sequences" in data:
            sequences = readable_sequences(data["sequences"], name, embedding)
            return {**data, "sequences": sequences}
        return data  # The model raises with what it expects.
    if isinstance(data, keras.utils.PyDataset):
        _look_at_batch(data[0], name, embedding)
        return data
    if hasattr(data, "element_spec"):
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data.element_spec)
        _look_at_spec(inputs, name)
        return data
    if isinstance(data, (list, tuple)):
        return _of_lists(data, name, embedding)
    _look_at_spec(data, name)
    if isinstance(data, np.ndarray):
        _look_at_array(data, name, embedding)
    return data


def _look_at_batch(batch: Any, name: str, embedding: Any) -> None:
    inputs, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
    readable_sequences(inputs, f"{name}, the first batch,", embedding)


def _look_at_spec(spec: Any, name: str) -> None:
    """Checks a tensor, or TensorFlow's specification of one."""
    if isinstance(spec, dict):
        spec = spec.get("sequences")
    if hasattr(spec, "ragged_rank"):
        raise ValueError(
            f"Expected `{name}` to be sequences of one length. Pad them and "
            'say where they end: `{"sequences": x.to_tensor(), "mask": '
            "tf.sequence_mask(x.row_lengths())}`. Received: a "
            f"{type(spec).__name__}"
        )
    dtype = str(getattr(spec, "dtype", ""))
    if "string" in dtype:
        raise _text(name, dtype)


def _of_lists(data: Any, name: str, embedding: Any) -> Any:
    try:
        array = np.asarray(data)
    except ValueError:
        array = None  # Of different lengths.
    if array is None or array.dtype == object:
        lengths = sorted({len(row) for row in data if hasattr(row, "__len__")})
        raise ValueError(
            f"Expected `{name}` to be sequences of one length. {_PAD}. "
            f"Received: lengths {lengths[:3]}"
            + (" and more" if len(lengths) > 3 else "")
        )
    _look_at_array(array, name, embedding)
    return array


def _look_at_array(array: np.ndarray, name: str, embedding: Any) -> None:
    if array.dtype == object:
        raise ValueError(
            f"Expected `{name}` to be sequences of one length. {_PAD}. "
            f"Received: an array of {type(array.flat[0]).__name__}"
        )
    if array.dtype.kind in "USO":
        raise _text(name, array.dtype)
    tokens = getattr(embedding, "input_dim", None)
    if embedding is None or tokens is None or not array.size:
        return
    if array.ndim == 3 and array.shape[-1] > 1:
        raise ValueError(
            f"Expected `{name}` to be tokens, integers (batch, time), as the "
            "model has an embedding. Convert one-hot vectors by `np.argmax(x, "
            f"axis=-1)`. Received: shape={array.shape}"
        )
    if array.dtype.kind == "f" and not np.all(array == np.round(array)):
        raise ValueError(
            f"Expected `{name}` to be tokens, whole numbers. Without an "
            "`embedding` a model reads numbers of any kind. Received: "
            f"{array[array != np.round(array)].flat[0]!r} in an array of "
            f"{array.dtype}"
        )
    least, most = array.min(), array.max()
    if least < 0 or most >= tokens:
        raise ValueError(
            f"Expected `{name}` to be tokens from 0 to {tokens - 1}, as the "
            f"embedding has {tokens}. Received: tokens from {least} to {most}"
        )


def _text(name: str, dtype: Any) -> ValueError:
    return ValueError(
        f"Expected `{name}` to be numbers. `keras.layers.StringLookup` turns "
        "words or characters into tokens, `keras.layers.TextVectorization` "
        f"text. Received: dtype={dtype}"
    )
