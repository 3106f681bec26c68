"""The small network that Z-Forcing uses for each density."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit.checks import check_integer
from keras_seqcredit.saving import public
from keras_seqcredit.sequence_ops import infinite_to_nan
from keras_seqcredit.types import Shape


@public
class ClippedMLP(keras.layers.Layer):
    """MLP with one hidden layer and clipped activations.

    The hidden layer is a leaky ReLU of slope 1/3, clipped to +-3. The outputs
    are linear, clipped to +-8, so that variances can neither vanish nor
    explode.

    Args:
        units: Positive integer, number of outputs.
        hidden_units: Positive integer, units of the hidden layer.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `(..., features)`.

    Returns:
        `(..., units)`.

    Raises:
        ValueError: if a size is not a positive integer.

    Example:

    ```python
    import keras
    from keras_seqcredit.layers import ClippedMLP

    outputs = ClippedMLP(4, hidden_units=16)(keras.random.normal((2, 7, 3)))
    assert outputs.shape == (2, 7, 4)
    ```

    References:
        - Released code of Goyal et al., "Z-Forcing", NeurIPS 2017,
          arXiv:1711.05411.
    """

    def __init__(self, units: int, hidden_units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Passed args.
        self.units = check_integer("units", units)
        self.hidden_units = check_integer("hidden_units", hidden_units)

        # Other args.
        self.supports_masking = True
        self.hidden = keras.layers.Dense(
            hidden_units, dtype=self.dtype_policy, name="hidden"
        )
        self.projection = keras.layers.Dense(
            units, dtype=self.dtype_policy, name="projection"
        )

    def build(self, inputs_shape: Shape) -> None:
        self.hidden.build(inputs_shape)
        self.projection.build((*inputs_shape[:-1], self.hidden_units))

    def call(self, inputs):
        inputs = infinite_to_nan(ops.cast(inputs, self.compute_dtype))
        return self.clip(self.projection(self.activate(self.hidden(inputs))))

    def activate(self, hidden):
        hidden = ops.leaky_relu(hidden, negative_slope=1 / 3)
        return ops.clip(hidden, -3.0, 3.0)

    def clip(self, outputs):
        return ops.clip(outputs, -8.0, 8.0)

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return (*inputs_shape[:-1], self.units)

    def get_config(self):
        config = super().get_config()
        return {
            **config,
            "units": self.units,
            "hidden_units": self.hidden_units,
        }
