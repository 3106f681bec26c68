"""One optimizer for a generator and one for its discriminator."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit import backend


def optimizer_pair(optimizer: Any, discriminator_optimizer: Any) -> list:
    """Returns Keras optimizers for the generator and the discriminator.

    Args:
        optimizer: As Keras takes it.
        discriminator_optimizer: As Keras takes it, or None for a copy.

    Raises:
        ValueError: if both are the same object.
    """
    first = keras.optimizers.get(optimizer)
    second = keras.optimizers.get(discriminator_optimizer)
    if second is None:
        second = type(first).from_config(first.get_config())
    if second is first:
        raise ValueError(
            "Each network needs its own optimizer. Expected "
            "`discriminator_optimizer` to be another object, or None for a "
            f"copy. Received: {second} twice"
        )
    return [first, second]


def combined(pair: list, discriminator: Any) -> keras.optimizers.Optimizer:
    """Combines both into one optimizer for the weights of both networks."""

    def choose(variable):
        # By identity, since paths change when a model is loaded.
        weights: list = []
        if discriminator is not None:
            weights = discriminator.trainable_variables
        return pair[id(variable) in set(map(id, weights))]

    return keras.optimizers.MultiOptimizer(choose)


def apply_gated(
    optimizer: Any, gradients: list, variables: list, gated: list, is_open: Any
) -> None:
    """Updates weights; if `is_open` is False, not the `gated` ones."""
    before = [backend.read(v) for v in gated]
    backend.apply_gradients(optimizer, gradients, variables)
    for variable, value in zip(gated, before, strict=True):
        variable.assign(ops.where(is_open, backend.read(variable), value))
