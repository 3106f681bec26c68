"""A normal distribution with a diagonal covariance."""

from typing import Any

from keras import ops

from keras_seqcredit.distributions import tfd
from keras_seqcredit.layers.heads.distribution_head import DistributionHead
from keras_seqcredit.saving import public
from keras_seqcredit.types import Tensor


@public
class GaussianHead(DistributionHead):
    """Hidden states to a normal distribution with a diagonal covariance.

    The parameters of a step are `event_size` means, then as many logarithms of
    variances. Samples are differentiable. A temperature multiplies the
    variance.

    Args:
        event_size: Positive integer, size of the last axis of targets.
        hidden_units: Positive integer, units of a hidden layer, or `None` for
            none. Defaults to `None`.
        activation: Activation of the hidden layer. Defaults to `"relu"`.
        clip_mean: Positive float, bound of the absolute value of means, or
            `None` for none. The released code of Z-Forcing has 8. Defaults to
            `None`.
        clip_log_variance: The same for logarithms of variances, in nats.
            Defaults to `8.0`, standard deviations of 0.018 to 55.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, ..., units)`.

    Returns:
        Parameters `(batch, ..., 2 * event_size)` in float32. A mask of the
        input goes on.

    Raises:
        ValueError: if an argument is wrong; in `log_prob`, also if targets do
            not have the shape `(batch, ..., event_size)` or a float dtype.
        ImportError: if TensorFlow Probability is missing.

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
    """

    def __init__(
        self,
        event_size: int,
        hidden_units: int | None = None,
        activation: Any = "relu",
        clip_mean: float | None = None,
        clip_log_variance: float | None = 8.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(event_size, hidden_units, activation, **kwargs)
        check_clip("clip_mean", clip_mean)
        check_clip("clip_log_variance", clip_log_variance)
        self.clip_mean = clip_mean
        self.clip_log_variance = clip_log_variance

    @property
    def num_parameters(self) -> int:
        return 2 * self.event_size

    def distribution(self, parameters: Tensor, temperature: Any = 1.0) -> Any:
        mean, log_variance = ops.split(parameters, 2, axis=-1)
        scale = ops.exp(clip(log_variance, self.clip_log_variance) / 2)
        scale = scale * ops.sqrt(ops.cast(temperature, scale.dtype))
        normal = tfd().Normal(clip(mean, self.clip_mean), scale)
        return tfd().Independent(normal, 1)

    def get_config(self):
        return {
            **super().get_config(),
            "clip_mean": self.clip_mean,
            "clip_log_variance": self.clip_log_variance,
        }


def clip(x: Tensor, bound: float | None) -> Tensor:
    """Clips to `[-bound, bound]`, if there is a bound."""
    return x if bound is None else ops.clip(x, -bound, bound)


def check_clip(name: str, value: Any) -> None:
    """Raises a `ValueError` unless `value` is a positive number or `None`."""
    if value is not None and not value > 0:
        raise ValueError(
            f"Expected `{name}` to be a positive number or None. "
            f"Received: {name}={value!r}"
        )
