"""Registration of objects with Keras, and saving of their arguments."""

from typing import TypeVar

import keras

T = TypeVar("T", bound=type)


def public(cls: T) -> T:
    """Registers a class under `keras_seqcredit>Name`, its name in files."""
    return keras.saving.register_keras_serializable("keras_seqcredit")(cls)


class SerializesArguments(keras.layers.Layer):
    """A mixin that saves the arguments in `_objects` as Keras objects."""

    _objects: tuple[str, ...] = ()

    def get_config(self):
        objects = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in self._objects
        }
        return {**super().get_config(), **objects}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for name in cls._objects:
            if isinstance(config.get(name), dict):
                config[name] = keras.saving.deserialize_keras_object(
                    config[name], custom_objects=custom_objects
                )
        return cls(**config)
