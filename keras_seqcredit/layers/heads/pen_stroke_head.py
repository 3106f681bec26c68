"""Head for handwriting: where the pen moves and where strokes end."""

import functools
import math
from typing import Any

import numpy as np
from keras import ops

from keras_seqcredit.distributions import tfd
from keras_seqcredit.layers.heads.gaussian_head import clip
from keras_seqcredit.layers.heads.gaussian_mixture_head import (
    GaussianMixtureHead,
)
from keras_seqcredit.saving import public
from keras_seqcredit.types import Tensor

_EVENT_SIZE = 3  # dx, dy, pen
_IS_PEN = np.array([False, False, True])
# Correlations are its hyperbolic tangent, so at most 0.995.
_MAX_CORRELATION_PARAMETER = 3.0


@public
class PenStrokeHead(GaussianMixtureHead):
    """Maps hidden states to the next point of a pen, `(dx, dy, pen)`.

    The offset `(dx, dy)` follows a mixture of bivariate normal distributions,
    each with its own correlation. `pen` is independent of it: 1 if the stroke
    ends at this point, so that the pen is lifted after it, and 0 otherwise.

    The parameters of a step are `num_components` logits, then the means of all
    components, `(num_components, 2)` flattened, as many log-variances, then one
    number per component whose hyperbolic tangent, clipped to 0.995, is the
    correlation, and finally the logit of the pen. The temperature divides the
    logits and multiplies the covariances. `mean` contains the probability of
    the pen; `mode` is the mean of the component with the highest peak, with the
    more likely value of the pen.

    Args:
        num_components: Positive integer. Defaults to `20`.
        hidden_units: Positive integer, units of a hidden layer, or `None` for
            no hidden layer. Defaults to `None`.
        activation: Activation of the hidden layer. Defaults to `"relu"`.
        clip_mean: Positive float, bound on the absolute value of means, or
            `None` for no bound. Defaults to `None`.
        clip_log_variance: The same for log-variances, in nats. Defaults to
            `8.0`, which allows standard deviations from 0.018 to 55.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, ..., units)`.

    Returns:
        Parameters `(batch, ..., 6 * num_components + 1)` in float32. The input
        mask is passed through.

    Raises:
        ValueError: if an argument is invalid; in `log_prob`, also if targets do
            not have shape `(batch, ..., 3)` or a float dtype.
        ImportError: if TensorFlow Probability is not installed.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit.layers import PenStrokeHead

    inputs = keras.Input((None, 3))
    states = keras.layers.GRU(16, return_sequences=True)(inputs)
    head = PenStrokeHead(num_components=5)
    model = keras.Model(inputs, head(states))
    model.compile("adam", head.negative_log_likelihood)

    strokes = np.zeros((2, 10, 3), "float32")
    sample = head.sample(model(strokes), seed=0, temperature=0.5)
    assert sample.shape == (2, 10, 3)
    ```

    References:
        - Graves, "Generating Sequences With Recurrent Neural Networks", 2013,
          arXiv:1308.0850, section 4. His bias makes only the offsets less
          random; the temperature here also applies to the pen.
    """

    def __init__(
        self,
        num_components: int = 20,
        hidden_units: int | None = None,
        activation: Any = "relu",
        clip_mean: float | None = None,
        clip_log_variance: float | None = 8.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            _EVENT_SIZE,
            num_components,
            hidden_units,
            activation,
            clip_mean,
            clip_log_variance,
            **kwargs,
        )

    @property
    def num_parameters(self) -> int:
        return 6 * self.num_components + 1

    def distribution(self, parameters: Tensor, temperature: Any = 1.0) -> Any:
        logits, means, log_variances, correlations, pen = self._split(
            parameters
        )
        temperature = ops.cast(temperature, parameters.dtype)
        scales = ops.exp(log_variances / 2) * ops.sqrt(temperature)
        first, second = ops.unstack(scales, 2, axis=-1)
        # A Cholesky factor, without the precision that 1 - correlation^2 loses.
        rows = [
            [first, ops.zeros_like(first)],
            [second * ops.tanh(correlations), second / ops.cosh(correlations)],
        ]
        factors = ops.stack([ops.stack(row, axis=-1) for row in rows], axis=-2)
        offset = tfd().MixtureSameFamily(
            tfd().Categorical(logits / temperature),
            _normal_of_the_plane()(means, factors),
        )
        bernoulli = tfd().Bernoulli(pen / temperature, dtype=pen.dtype)
        return tfd().Blockwise([offset, tfd().Independent(bernoulli, 1)])

    def _reparameterized(self, parameters):
        # TFP has no gradient for components whose numbers are dependent.
        return self.distribution(parameters)

    def mode(self, parameters: Tensor) -> Tensor:
        logits, means, log_variances, correlations, pen = self._split(
            self._as_parameters(parameters)
        )
        peaks = logits - ops.sum(log_variances, axis=-1) / 2
        peaks = peaks + ops.log(ops.cosh(correlations))
        best = ops.argmax(peaks, axis=-1)[..., None, None]
        offset = ops.take_along_axis(means, best, axis=-2)[..., 0, :]
        return ops.concatenate([offset, ops.cast(pen > 0, pen.dtype)], axis=-1)

    def is_possible(self, targets: Tensor) -> Tensor | None:
        is_binary = (targets == 0) | (targets == 1)
        return ops.where(_IS_PEN, is_binary, ops.isfinite(targets))

    def get_config(self):
        config = super().get_config()
        del config["event_size"]
        return config

    def _split(self, parameters):
        """Splits the parameters of the distribution.

        Returns:
            Logits `(..., K)`, means and log-variances `(..., K, 2)`, parameters
            of correlations `(..., K)` and the logit of the pen `(..., 1)`.
        """
        logits, means, log_variances, correlations, pen = ops.split(
            parameters, self.num_components * np.array([1, 3, 5, 6]), axis=-1
        )
        shape = (*ops.shape(parameters)[:-1], self.num_components, 2)
        means = clip(ops.reshape(means, shape), self.clip_mean)
        log_variances = ops.reshape(log_variances, shape)
        return (
            logits,
            means,
            clip(log_variances, self.clip_log_variance),
            clip(correlations, _MAX_CORRELATION_PARAMETER),
            pen,
        )


@functools.cache
def _normal_of_the_plane() -> Any:
    base: Any = tfd().MultivariateNormalTriL

    class NormalOfThePlane(base):
        """A bivariate normal distribution.

        The base class solves a triangular system for each matrix. For matrices
        of two rows, that takes five times as long on JAX.
        """

        def _log_prob(self, x):
            factors = self.parameters["scale_tril"]
            first, second = factors[..., 0, 0], factors[..., 1, 1]
            dx, dy = ops.unstack(x - self.loc, 2, axis=-1)
            dx = dx / first
            dy = (dy - factors[..., 1, 0] * dx) / second
            scale = ops.log(2 * math.pi * first * second)
            return -(ops.square(dx) + ops.square(dy)) / 2 - scale

    return NormalOfThePlane
