"""Batch normalization with separate statistics for each step of a chain."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_number
from keras_seqcredit.saving import public


@public
class StepNormalization(keras.layers.Layer):
    """Batch normalization with separate statistics for each step.

    The states of a chain that walks away from data spread with every step, so
    one set of statistics fits none of them. This layer consists of `num_steps`
    batch normalizations, each with its own moving mean and variance, scale and
    offset. Each row is normalized by the one of its step. A batch may mix rows
    of several steps.

    Args:
        num_steps: Positive integer, number of steps.
        momentum: Float in `[0, 1)`, momentum of the moving statistics. Defaults
            to `0.99`.
        epsilon: Positive float, added to variances. Defaults to `1e-3`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, ..., features)`.
        steps: Integers `(batch,)`, from 0 to `num_steps - 1`.
        training: Boolean, whether to normalize by the statistics of the batch
            and to update the moving statistics.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: if an argument is invalid.

    Example:

    ```python
    import numpy as np

    from keras_seqcredit.layers import StepNormalization

    layer = StepNormalization(num_steps=3)
    states = np.random.normal(size=(8, 4)).astype("float32")
    steps = np.array([0, 0, 0, 0, 2, 2, 2, 2])
    assert layer(states, steps, training=True).shape == (8, 4)
    ```
    """

    def __init__(
        self,
        num_steps: int,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_steps = check_integer("num_steps", num_steps)
        self.momentum = check_number(
            "momentum", momentum, "a number in [0, 1)", lambda x: 0 <= x < 1
        )
        self.epsilon = check_number("epsilon", epsilon)

    def build(self, inputs_shape, steps_shape=None):
        del steps_shape
        shape = (self.num_steps, inputs_shape[-1])
        self.gamma = self.add_weight(
            shape=shape, initializer="ones", name="gamma"
        )
        self.beta = self.add_weight(
            shape=shape, initializer="zeros", name="beta"
        )
        moving: Any = {"shape": shape, "trainable": False, "autocast": False}
        self.moving_mean = self.add_weight(
            initializer="zeros", name="moving_mean", **moving
        )
        self.moving_variance = self.add_weight(
            initializer="ones", name="moving_variance", **moving
        )

    def call(self, inputs, steps, training=False):
        # Statistics need float32.
        x = ops.cast(inputs, self._statistics_dtype)
        steps = ops.cast(steps, "int32")
        mean = ops.cast(self.moving_mean, x.dtype)
        variance = ops.cast(self.moving_variance, x.dtype)
        if training:
            mean, variance = self._moments(x, steps, mean, variance)
        gamma = ops.cast(self.gamma, x.dtype)
        beta = ops.cast(self.beta, x.dtype)
        factor = gamma / ops.sqrt(variance + self.epsilon)
        offset = beta - mean * factor
        outputs = x * _of_rows(factor, steps, x) + _of_rows(offset, steps, x)
        return ops.cast(outputs, self.compute_dtype)

    def _moments(self, x, steps, mean, variance):
        """Moments of the batch for each step in it; updates the layer's."""
        inner = tuple(range(1, len(x.shape) - 1))
        chosen = ops.one_hot(steps, self.num_steps, axis=0, dtype=x.dtype)
        count = backend.replica_mean(ops.sum(chosen, axis=1)[:, None])
        chosen = chosen / ops.maximum(count, 1.0)

        def average(values):
            rows = ops.mean(values, axis=inner) if inner else values
            means = backend.replica_mean(ops.matmul(chosen, rows))
            return ops.where(count > 0, means, 0.0)

        new_mean = average(x)
        new_variance = average(ops.square(x - _of_rows(new_mean, steps, x)))
        rate = ops.where(count > 0, 1 - self.momentum, 0.0)
        for variable, old, new in (
            (self.moving_mean, mean, new_mean),
            (self.moving_variance, variance, new_variance),
        ):
            variable.assign(old + rate * (ops.stop_gradient(new) - old))
        return new_mean, new_variance

    @property
    def _statistics_dtype(self):
        return "float64" if self.compute_dtype == "float64" else "float32"

    def compute_output_shape(self, inputs_shape, steps_shape=None):
        del steps_shape
        return inputs_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_steps": self.num_steps,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }


def _of_rows(table, steps, x):
    """Rows of a table for `steps`, with the axes of `x`."""
    rows = ops.take(table, steps, axis=0)
    shape = (-1, *[1] * (len(x.shape) - 2), x.shape[-1])
    return ops.reshape(rows, shape)
