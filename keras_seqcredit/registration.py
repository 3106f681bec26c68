"""One decorator for every public object that Keras saves."""

import keras


def public(cls):
    """Registers a class under `keras_seqcredit>Name`, its name in files."""
    return keras.saving.register_keras_serializable("keras_seqcredit")(cls)
