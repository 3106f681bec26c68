"""Head for a normal distribution with a diagonal covariance."""

from typing import Any

from keras import ops

from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_number
from keras_seqcredit.distributions import tfd
from keras_seqcredit.layers.heads.distribution_head import DistributionHead
from keras_seqcredit.layers.heads.symlog import mean_of_symexp
from keras_seqcredit.layers.heads.symlog import peak_of_symexp
from keras_seqcredit.layers.heads.symlog import symexp
from keras_seqcredit.layers.heads.symlog import symexp_of
from keras_seqcredit.saving import public
from keras_seqcredit.types import Tensor


@public
class GaussianHead(DistributionHead):
    """Maps hidden states to a normal distribution with diagonal covariance.

    The parameters of a step are `event_size` means, then as many log-variances.
    Samples are differentiable. The temperature multiplies the variance.

    Args:
        event_size: Positive integer, size of the last axis of targets.
        hidden_units: Positive integer, units of a hidden layer, or `None` for
            no hidden layer. Defaults to `None`.
        activation: Activation of the hidden layer. Defaults to `"relu"`.
        clip_mean: Positive float, bound on the absolute value of means, or
            `None` for no bound. The released code of Z-Forcing uses 8. Defaults
            to `None`.
        clip_log_variance: The same for log-variances, in nats. Defaults to
            `8.0`, which allows standard deviations from 0.018 to 55.
        symlog: Boolean, whether means and variances describe `symlog` of the
            targets, for series of unknown scale (see `Symlog`).
            Log-probabilities, `mean` and `mode` still refer to the targets
            themselves. Defaults to `False`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, ..., units)`.

    Returns:
        Parameters `(batch, ..., 2 * event_size)` in float32. The input mask is
        passed through.

    Raises:
        ValueError: if an argument is invalid; in `log_prob`, also if targets do
            not have shape `(batch, ..., event_size)` or a float dtype.
        ImportError: if TensorFlow Probability is not installed.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit.layers import GaussianHead

    inputs = keras.Input((None, 200))
    states = keras.layers.GRU(16, return_sequences=True)(inputs)
    head = GaussianHead(200)
    model = keras.Model(inputs, head(states))
    model.compile("adam", head.negative_log_likelihood)

    frames = np.zeros((2, 10, 200), "float32")
    sample = head.sample(model(frames), seed=0)
    assert sample.shape == (2, 10, 200)
    ```

    References:
        - Goyal et al., "Z-Forcing", NeurIPS 2017, arXiv:1711.05411, and its
          released code.
        - Hafner et al., "Mastering Diverse Domains through World Models",
          2023, arXiv:2301.04104 (`symlog`).
    """

    def __init__(
        self,
        event_size: int,
        hidden_units: int | None = None,
        activation: Any = "relu",
        clip_mean: float | None = None,
        clip_log_variance: float | None = 8.0,
        symlog: bool = False,
        **kwargs: Any,
    ) -> None:
        check_integer("event_size", event_size)
        super().__init__(event_size, hidden_units, activation, **kwargs)
        self.clip_mean = check_number("clip_mean", clip_mean, optional=True)
        self.clip_log_variance = check_number(
            "clip_log_variance", clip_log_variance, optional=True
        )
        self.symlog = check_flag("symlog", symlog)

    @property
    def num_parameters(self) -> int:
        return 2 * self.event_size

    def distribution(self, parameters: Tensor, temperature: Any = 1.0) -> Any:
        mean, scale = self._split(parameters)
        scale = scale * ops.sqrt(ops.cast(temperature, scale.dtype))
        normal = tfd().Independent(tfd().Normal(mean, scale), 1)
        return symexp_of(normal) if self.symlog else normal

    def mean(self, parameters: Tensor) -> Tensor:
        if not self.symlog:
            return super().mean(parameters)
        return mean_of_symexp(*self._split(self._as_parameters(parameters)))

    def mode(self, parameters: Tensor) -> Tensor:
        if not self.symlog:
            return super().mode(parameters)
        mean, scale = self._split(self._as_parameters(parameters))
        return symexp(peak_of_symexp(mean, scale))

    def _split(self, parameters):
        mean, log_variance = ops.split(parameters, 2, axis=-1)
        scale = ops.exp(clip(log_variance, self.clip_log_variance) / 2)
        return clip(mean, self.clip_mean), scale

    def get_config(self):
        return {
            **super().get_config(),
            "clip_mean": self.clip_mean,
            "clip_log_variance": self.clip_log_variance,
            "symlog": self.symlog,
        }


def clip(x: Tensor, bound: float | None) -> Tensor:
    """Clips to `[-bound, bound]`, if there is a bound."""
    return x if bound is None else ops.clip(x, -bound, bound)
