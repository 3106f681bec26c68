"""A transition operator to a normal distribution."""

import math
from typing import Any

import keras
from keras import ops

from keras_seqcredit.checks import check_number
from keras_seqcredit.distributions import tfd
from keras_seqcredit.layers.transitions.noise_level import NoiseLevels
from keras_seqcredit.layers.transitions.noise_level import check_levels
from keras_seqcredit.layers.transitions.transition import Transition
from keras_seqcredit.saving import public
from keras_seqcredit.types import Tensor


@public
class GaussianTransition(Transition):
    """Gaussian Markov transition, `p_T(s' | s)`.

    ```
    p_T(s' | s) = N(alpha s + (1 - alpha) f(s), T scale(s)^2)
    ```

    with independent features and `f` the network. With `level_temperatures`,
    the network's input and the share of the state that is kept are scaled by
    the noise of the step, as in the denoisers of diffusion models:

    ```
    mean = m + sd^2 / (sd^2 + v) (s - m)
             + sd sqrt(v / (sd^2 + v)) f((s - m) / sqrt(sd^2 + v), step)
    v = scale^2 T of the step
    ```

    with `m` the mean of each feature of the data and `sd^2` the mean of their
    variances, which `VariationalWalkback` fits as it does `p*`. If the network
    outputs 0, what remains is the best linear estimate of the data without
    noise. A walk of such steps soon forgets where it began, since each removes
    what noise has hidden. With `level_alpha`, `a` below, a step goes only part
    of that way, and `v` is the noise that has accumulated:

    ```
    mean_a = a s + (1 - a) mean
    v_t = a^2 v_(t - 1) + scale^2 T_t
    ```

    Args:
        network: A Keras layer or model from states `(batch, ..., features)` to
            outputs `f`, `(batch, ..., features)`. With a learned scale, the
            outputs are `(batch, ..., 2 * features)`: `f`, then the numbers that
            determine the scales. `models.transition_mlp` and
            `models.transition_unet` create such networks.
        alpha: Float in `[0, 1]`, the share of a state that is kept. Defaults to
            `0.5`.
        scale: `"learned"`, or a positive float, the standard deviation at
            temperature 1. A learned one is
            `min_scale^(1 - u) max_scale^u` with `u = sigmoid(outputs)`.
            Defaults to `"learned"`.
        min_scale: Positive float, lower bound of a learned scale. Defaults to
            `0.01`.
        max_scale: Float above `min_scale`, upper bound of a learned scale.
            Without it, a chain whose steps grow with its distance from the data
            would never come back. Defaults to `1.0`.
        num_steps: See `Transition`. Defaults to `None`.
        num_classes: See `Transition`. Defaults to `None`.
        level_temperatures: Sequence of `num_steps` positive floats, the
            temperature of each step of the walk away from the data, or None for
            no scaling. Requires a number as `scale`, replaces `alpha`, and
            suits a network that does not add the states to its output
            (`residual=False`). Defaults to `None`.
        level_alpha: Float in `[0, 1)`, the share of a state that is kept as it
            is with `level_temperatures`. More of it preserves images better,
            and leaves more noise to further steps: sample with `extra_steps`.
            Defaults to `0.0`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: States `(batch, ..., features)`.
        steps: Integers `(batch,)`; see `Transition`.
        training: Boolean, passed to the layers of the network.
        classes: Integers `(batch,)`; see `Transition`.

    Returns:
        Means `(batch, ..., features)` in float32. With a learned scale,
        `(batch, ..., 2 * features)`: means, then standard deviations at
        temperature 1.

    Raises:
        ValueError: if an argument is invalid, or if the network's outputs do
            not have the expected shape.
        ImportError: if TensorFlow Probability is not installed.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit.layers import GaussianTransition

    network = keras.Sequential(
        [keras.layers.Dense(64, activation="silu"), keras.layers.Dense(4)]
    )
    transition = GaussianTransition(network)

    states = np.zeros((5, 2), "float32")
    parameters = transition(states)
    noise = transition.noise((5, 2), seed=0)
    following = transition.sample(parameters, noise, temperature=2.0)
    assert following.shape == (5, 2)
    assert transition.log_prob(parameters, following, 2.0).shape == (5,)
    ```

    References:
        - Goyal et al., "Variational Walkback: Learning a Transition Operator
          as a Stochastic Recurrent Net", NeurIPS 2017, arXiv:1711.02282.
        - Karras et al., "Elucidating the Design Space of Diffusion-Based
          Generative Models", NeurIPS 2022, arXiv:2206.00364 (scaling).
    """

    def __init__(
        self,
        network: Any,
        alpha: float = 0.5,
        scale: Any = "learned",
        min_scale: float = 0.01,
        max_scale: float = 1.0,
        num_steps: int | None = None,
        num_classes: int | None = None,
        level_temperatures: Any = None,
        level_alpha: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, num_steps, num_classes, **kwargs)
        self.alpha = check_number(
            "alpha", alpha, "a number in [0, 1]", lambda x: 0 <= x <= 1
        )
        self.scale = scale
        if not (isinstance(scale, str) and scale == "learned"):
            self.scale = check_number(
                "scale", scale, "'learned' or a positive number"
            )
        self.min_scale = check_number("min_scale", min_scale)
        self.max_scale = check_number(
            "max_scale",
            max_scale,
            f"a number above `min_scale={min_scale}`",
            lambda x: x > min_scale,
        )
        self.level_temperatures = check_levels(
            level_temperatures, num_steps, self.scale
        )
        self.level_alpha = check_number(
            "level_alpha",
            level_alpha,
            "a number in [0, 1)",
            lambda x: 0 <= x < 1,
        )
        if self.level_alpha and self.level_temperatures is None:
            raise ValueError(
                "Expected `level_temperatures` together with `level_alpha`. "
                f"Received: level_alpha={level_alpha}, level_temperatures=None"
            )
        self.data_mean: Any = None
        self.data_variance: Any = None

    def build(self, inputs_shape, steps_shape=None, classes_shape=None):
        super().build(inputs_shape, steps_shape, classes_shape)
        if self.level_temperatures is None:
            return
        self.data_mean, self.data_variance = (
            self.add_weight(
                shape=tuple(inputs_shape[1:]),
                dtype="float32",
                autocast=False,
                initializer=initial,
                trainable=False,
                name=f"data_{name}",
            )
            for name, initial in (("mean", "zeros"), ("variance", "ones"))
        )
        self.noise_levels = NoiseLevels(
            [self.scale**2 * t for t in self.level_temperatures],
            self.data_mean,
            self.data_variance,
            self.level_alpha,
        )

    @property
    def outputs_per_feature(self) -> int:
        return 2 if self.scale == "learned" else 1

    def parameters(self, states: Tensor, outputs: Tensor) -> Tensor:
        if self.scale != "learned":
            return self._mean(states, outputs)
        outputs, scale = ops.split(outputs, 2, axis=-1)
        lowest, highest = math.log(self.min_scale), math.log(self.max_scale)
        scale = ops.exp(lowest + (highest - lowest) * ops.sigmoid(scale))
        return ops.concatenate([self._mean(states, outputs), scale], axis=-1)

    def _mean(self, states, outputs):
        return self.alpha * states + (1 - self.alpha) * outputs

    def distribution(self, parameters: Tensor, temperature: Any = 1.0) -> Any:
        if self.scale == "learned":
            mean, scale = ops.split(parameters, 2, axis=-1)
        else:
            mean, scale = parameters, self.scale * ops.ones_like(parameters)
        scale = scale * ops.sqrt(self.per_state(temperature, mean))
        return self.event(tfd().Normal(mean, scale))

    def prior(self, mean: Tensor, variance: Tensor) -> Any:
        # Where all data agree, as in border pixels, the density would be
        # infinite without a bound.
        floor = self.smallest_variance
        scale = ops.sqrt(ops.maximum(variance, floor))
        return self.event(tfd().Normal(mean[None], scale[None]))

    def noise(self, shape: Any, seed: Any) -> Tensor:
        return keras.random.normal(shape, seed=seed, dtype=self.parameter_dtype)

    def draw(self, distribution: Any, noise: Tensor) -> Tensor:
        return distribution.mean() + distribution.stddev() * noise

    @property
    def smallest_variance(self) -> float:
        learned = self.scale == "learned"
        return (self.min_scale if learned else self.scale) ** 2

    def get_config(self):
        levels = self.level_temperatures
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "scale": self.scale,
            "min_scale": self.min_scale,
            "max_scale": self.max_scale,
            "level_temperatures": levels and list(levels),
            "level_alpha": self.level_alpha,
        }

    def _reason(self) -> str:
        if self.scale == "learned":
            return ", means and as many scales, for scale='learned'"
        return f", means, for scale={self.scale}"
