"""Weights of a layer that a model copies."""

from typing import Any

import numpy as np


class CopiedWeights:
    """The current weights of a layer, for a copy that is built later.

    Args:
        name: name of the layer in errors.
        layer: a layer. If it is not built, there is nothing to copy.
    """

    def __init__(self, name: str, layer: Any) -> None:
        self._name = name
        self._values: list[np.ndarray] = layer.get_weights()

    def give(self, copy: Any) -> None:
        """Sets the weights of a built copy, once.

        Raises:
            ValueError: if the copy is built for other inputs.
        """
        values, self._values = self._values, []
        if not values:
            return
        expected, received = (
            [tuple(x.shape) for x in of] for of in (copy.weights, values)
        )
        if expected != received:
            raise ValueError(
                f"`{self._name}` is used with its current weights, but was "
                "built for other inputs than those given here. Expected "
                f"weights of shapes {expected}. Received: {received}. To start "
                "over, pass a layer that is not built, such as "
                f"`type({self._name}).from_config({self._name}.get_config())`"
            )
        copy.set_weights(values)
