"""An LSTM cell whose layer normalization depends on a condition."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit.checks import check_integer
from keras_seqcredit.saving import public


@public
class ConditionedLSTMCell(keras.layers.Layer):
    """LSTM cell whose layer normalization is modulated by a condition.

    Each gate is normalized over its units, then scaled and shifted by linear
    functions of the condition `z`, the last `condition_units` features of the
    input:

    ```
    i, f, g, o = norm(W x + U h) * (1 + S z) + (B z + b)
    c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h' = sigmoid(o) * tanh(c')
    ```

    Args:
        units: Positive integer, dimension of the state.
        condition_units: Positive integer, number of trailing features that form
            the condition.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features + condition_units)`.
        states: `[h, c]`, `(batch, units)` each.

    Returns:
        `(h, [h, c])`.

    Raises:
        ValueError: if a size is not a positive integer, or the input has no
            features besides the condition.

    Example:

    ```python
    import keras
    from keras_seqcredit.layers import ConditionedLSTMCell

    layer = keras.layers.RNN(ConditionedLSTMCell(8, condition_units=2))
    assert layer(keras.random.normal((3, 5, 6))).shape == (3, 8)
    ```

    References:
        - Released code of Goyal et al., "Z-Forcing", NeurIPS 2017,
          arXiv:1711.05411, option `cond_ln`.
    """

    def __init__(self, units: int, condition_units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Passed args.
        self.units = check_integer("units", units)
        self.condition_units = check_integer("condition_units", condition_units)

        # Other args.
        self.state_size = [units, units]
        self.output_size = units

    def build(self, inputs_shape):
        features = inputs_shape[-1] - self.condition_units
        if features < 1:
            raise ValueError(
                "Expected an input of more features than "
                f"condition_units={self.condition_units}. Received: "
                f"inputs_shape={tuple(inputs_shape)}"
            )
        width = 4 * self.units

        def add(name, rows, initializer):
            return self.add_weight(
                shape=(rows, width), initializer=initializer, name=name
            )

        self.kernel = add("kernel", features, "glorot_uniform")
        # Not orthogonal, which cannot be drawn in bfloat16.
        self.recurrent_kernel = add(
            "recurrent_kernel", self.units, "glorot_uniform"
        )
        self.scale_kernel = add("scale_kernel", self.condition_units, "zeros")
        self.shift_kernel = add(
            "shift_kernel", self.condition_units, "glorot_uniform"
        )
        self.bias = self.add_weight(
            shape=(width,), initializer=self._first_bias, name="bias"
        )

    def _first_bias(self, shape, dtype=None):
        # Keras' order i, f, g, o; the forget gate starts open.
        gates = ops.arange(shape[0]) // self.units
        return ops.cast(gates == 1, dtype)

    def call(self, inputs, states):
        h, c = states
        x = inputs[:, : -self.condition_units]
        condition = inputs[:, -self.condition_units :]
        gates = ops.matmul(x, self.kernel)
        gates = gates + ops.matmul(h, self.recurrent_kernel)
        gates = _normalized(gates, self.units)
        gates = gates * (1 + ops.matmul(condition, self.scale_kernel))
        gates = gates + ops.matmul(condition, self.shift_kernel) + self.bias
        i, f, g, o = ops.split(gates, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]

    def get_initial_state(self, batch_size=None):
        zeros = ops.zeros((batch_size, self.units), self.compute_dtype)
        return [zeros, zeros]

    def get_config(self):
        config = super().get_config()
        return {
            **config,
            "units": self.units,
            "condition_units": self.condition_units,
        }


def _normalized(gates, units):
    """Normalizes each gate over its units, in float32."""
    apart = ops.cast(ops.reshape(gates, (-1, 4, units)), "float32")
    mean = ops.mean(apart, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(apart - mean), axis=-1, keepdims=True)
    apart = (apart - mean) * ops.rsqrt(variance + 1e-3)
    return ops.cast(ops.reshape(apart, (-1, 4 * units)), gates.dtype)
