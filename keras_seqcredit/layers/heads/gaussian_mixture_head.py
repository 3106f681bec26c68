"""Head for a mixture of normal distributions with diagonal covariances."""

from typing import Any

from keras import ops

from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_number
from keras_seqcredit.distributions import tfd
from keras_seqcredit.layers.heads.distribution_head import DistributionHead
from keras_seqcredit.layers.heads.gaussian_head import clip
from keras_seqcredit.layers.heads.symlog import mean_of_symexp
from keras_seqcredit.layers.heads.symlog import peak_of_symexp
from keras_seqcredit.layers.heads.symlog import symexp
from keras_seqcredit.layers.heads.symlog import symexp_of
from keras_seqcredit.saving import public
from keras_seqcredit.types import Tensor


@public
class GaussianMixtureHead(DistributionHead):
    """Maps hidden states to a mixture of diagonal normal distributions.

    Each component is a distribution over the whole event. The parameters of a
    step are `num_components` logits, then the means of all components,
    `(num_components, event_size)` flattened, then as many log-variances. The
    temperature divides the logits and multiplies the variances; `mode` is the
    mode of the component with the highest peak.

    Args:
        event_size: Positive integer, size of the last axis of targets.
        num_components: Positive integer. Defaults to `20`.
        hidden_units: Positive integer, units of a hidden layer, or `None` for
            no hidden layer. Defaults to `None`.
        activation: Activation of the hidden layer. Defaults to `"relu"`.
        clip_mean: Positive float, bound on the absolute value of means, or
            `None` for no bound. Defaults to `None`.
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
        Parameters `(batch, ..., num_components * (1 + 2 * event_size))` in
        float32. The input mask is passed through.

    Raises:
        ValueError: if an argument is invalid; in `log_prob`, also if targets do
            not have shape `(batch, ..., event_size)` or a float dtype.
        ImportError: if TensorFlow Probability is not installed.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit.layers import GaussianMixtureHead

    inputs = keras.Input((None, 2))
    states = keras.layers.GRU(16, return_sequences=True)(inputs)
    head = GaussianMixtureHead(2, num_components=5)
    model = keras.Model(inputs, head(states))
    model.compile("adam", head.negative_log_likelihood)

    strokes = np.zeros((3, 10, 2), "float32")
    sample = head.sample(model(strokes), seed=0, temperature=0.5)
    assert sample.shape == (3, 10, 2)
    ```

    References:
        - Graves, "Generating Sequences With Recurrent Neural Networks", 2013,
          arXiv:1308.0850, section 4.1, with diagonal covariances.
        - Hafner et al., "Mastering Diverse Domains through World Models",
          2023, arXiv:2301.04104 (`symlog`).
    """

    def __init__(
        self,
        event_size: int,
        num_components: int = 20,
        hidden_units: int | None = None,
        activation: Any = "relu",
        clip_mean: float | None = None,
        clip_log_variance: float | None = 8.0,
        symlog: bool = False,
        **kwargs: Any,
    ) -> None:
        check_integer("event_size", event_size)
        super().__init__(event_size, hidden_units, activation, **kwargs)
        self.num_components = check_integer("num_components", num_components)
        self.clip_mean = check_number("clip_mean", clip_mean, optional=True)
        self.clip_log_variance = check_number(
            "clip_log_variance", clip_log_variance, optional=True
        )
        self.symlog = check_flag("symlog", symlog)

    @property
    def num_parameters(self) -> int:
        return self.num_components * (1 + 2 * self.event_size)

    def distribution(self, parameters: Tensor, temperature: Any = 1.0) -> Any:
        return self._mixture(parameters, temperature)

    def _reparameterized(self, parameters):
        return self._mixture(parameters, 1.0, reparameterize=True)

    def _mixture(self, parameters, temperature, **arguments):
        logits, means, log_variances = self._split(parameters)
        temperature = ops.cast(temperature, parameters.dtype)
        scales = ops.exp(log_variances / 2) * ops.sqrt(temperature)
        mixture = tfd().MixtureSameFamily(
            tfd().Categorical(logits / temperature),
            tfd().Independent(tfd().Normal(means, scales), 1),
            **arguments,
        )
        return symexp_of(mixture) if self.symlog else mixture

    def mean(self, parameters: Tensor) -> Tensor:
        if not self.symlog:
            return super().mean(parameters)
        logits, means, log_variances = self._split(
            self._as_parameters(parameters)
        )
        means = mean_of_symexp(means, ops.exp(log_variances / 2))
        return ops.sum(ops.softmax(logits)[..., None] * means, axis=-2)

    def mode(self, parameters: Tensor) -> Tensor:
        logits, means, log_variances = self._split(
            self._as_parameters(parameters)
        )
        peaks = logits - ops.sum(log_variances, axis=-1) / 2
        modes = means
        if self.symlog:
            at = peak_of_symexp(means, ops.exp(log_variances / 2))
            modes = symexp(at)
            fall = ops.square(at - means) / (2 * ops.exp(log_variances))
            peaks = peaks - ops.sum(fall + ops.abs(at), axis=-1)
        best = ops.argmax(peaks, axis=-1)[..., None, None]
        return ops.take_along_axis(modes, best, axis=-2)[..., 0, :]

    def get_config(self):
        return {
            **super().get_config(),
            "num_components": self.num_components,
            "clip_mean": self.clip_mean,
            "clip_log_variance": self.clip_log_variance,
            "symlog": self.symlog,
        }

    def _split(self, parameters):
        """Logits `(..., K)`, means and log-variances `(..., K, D)`."""
        size = self.num_components * self.event_size
        logits, means, log_variances = ops.split(
            parameters, [self.num_components, self.num_components + size], -1
        )
        steps = ops.shape(parameters)[:-1]
        shape = (*steps, self.num_components, self.event_size)
        means = clip(ops.reshape(means, shape), self.clip_mean)
        log_variances = ops.reshape(log_variances, shape)
        return logits, means, clip(log_variances, self.clip_log_variance)
