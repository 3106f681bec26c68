"""The steps that `train_in_steps` loops over."""

from typing import Any

import keras

from keras_seqcredit.backend import keras_private

_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3D,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


class TrainingSteps:
    """Abstract base of training steps that loop over steps with a loss each.

    Args:
        layer: The layer that a step calls.
        update_each_step: Boolean, whether to update the weights after each step
            instead of once by the sum of the gradients.
    """

    def __init__(
        self, layer: keras.layers.Layer, update_each_step: bool
    ) -> None:
        self.layer = layer
        self.update_each_step = update_each_step

    def start(self, data: Any) -> tuple:
        """Returns `(carry, xs, length)` of a loop over a batch."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `start`."
        )

    def step(self, carry: Any, x: Any) -> tuple:
        """Returns the loss of a step, and `(carry, y)`."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `step`."
        )

    def end(self, carry: Any, ys: Any) -> dict:
        """Returns the logs after the loop."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `end`."
        )

    @property
    def convolves(self) -> bool:
        """Whether a step has convolutions, which are slow in XLA."""
        layers = keras_private.flat_layers(self.layer)
        return any(isinstance(layer, _CONVOLUTIONS) for layer in layers)
