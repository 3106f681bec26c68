"""One decorator for every public object that Keras saves."""

from typing import TypeVar

import keras

T = TypeVar("T", bound=type)


def public(cls: T) -> T:
    """Registers a class under `keras_seqcredit>Name`, its name in files."""
    return keras.saving.register_keras_serializable("keras_seqcredit")(cls)
