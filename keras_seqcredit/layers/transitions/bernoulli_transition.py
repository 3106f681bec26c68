"""A transition operator over binary variables."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqcredit.checks import check_array
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_number
from keras_seqcredit.checks import check_tensor
from keras_seqcredit.distributions import tfd
from keras_seqcredit.layers.transitions.transition import Transition
from keras_seqcredit.saving import public
from keras_seqcredit.types import Tensor

# A value is not impossible just because it has not been seen.
_MEANS = 1e-3, 1 - 1e-3


@public
class BernoulliTransition(Transition):
    """Markov transition over independent binary variables.

    ```
    p_T(s' = 1 | s) = sigmoid((alpha r(s) + (1 - alpha) (f(s) + b)) / T)
    ```

    with `f` the network, `r` a direct path for the state, and `b` a bias for
    each feature. By default, `r` and `b` are absent. States are 0 and 1.

    Nothing in the loss of a walk keeps an unbounded operator from becoming more
    certain than any temperature can undo. Walks then forget where they started,
    and samples look alike. `max_logit` prevents this.

    Args:
        network: A Keras layer or model from states `(batch, ..., features)` to
            logits of the same shape.
        num_steps: See `Transition`. Defaults to `None`.
        num_classes: See `Transition`. Defaults to `None`.
        alpha: Float in `[0, 1]`, the share of the logits that comes from the
            state. Defaults to `0.0`.
        residual: The path `r`. `"states"` uses 0 and 1 as in the authors'
            script, which leaves a state of 0 undecided. A float in `(0, 0.5)`
            is the probability that a feature changes at temperature 1 if there
            were only `r`: `r(s) = (2 s - 1) log((1 - residual) / residual)`.
            Defaults to `"states"`.
        use_bias: Boolean, whether to use the bias `b`, which `adapt` sets to
            the logits of the means of the data. Defaults to `False`.
        max_logit: Positive number, the bound of the logits at temperature 1,
            `m` in `m tanh(logits / m)`; or `None` for no bound. With 4.6, no
            feature is more certain than 99 %. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: States `(batch, ..., features)`.
        steps: Integers `(batch,)`; see `Transition`.
        training: Boolean, passed to the layers of the network.
        classes: Integers `(batch,)`; see `Transition`.

    Returns:
        Logits at temperature 1, `(batch, ..., features)` in float32.

    Raises:
        ValueError: if an argument is invalid, or if the network's outputs do
            not have the shape of its inputs.
        ImportError: if TensorFlow Probability is not installed.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit.layers import BernoulliTransition

    transition = BernoulliTransition(keras.layers.Dense(6))
    states = np.zeros((5, 6), "float32")
    logits = transition(states)
    noise = transition.noise((5, 6), seed=0)
    following = transition.sample(logits, noise, temperature=2.0)
    assert transition.log_prob(logits, following, 2.0).shape == (5,)
    ```

    References:
        - Goyal et al., "Variational Walkback: Learning a Transition Operator
          as a Stochastic Recurrent Net", NeurIPS 2017, arXiv:1711.02282.
    """

    def __init__(
        self,
        network: Any,
        num_steps: int | None = None,
        num_classes: int | None = None,
        alpha: float = 0.0,
        residual: Any = "states",
        use_bias: bool = False,
        max_logit: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, num_steps, num_classes, **kwargs)
        self.alpha = check_number(
            "alpha", alpha, "a number in [0, 1]", lambda x: 0 <= x <= 1
        )
        self.residual = residual
        if not (isinstance(residual, str) and residual == "states"):
            self.residual = check_number(
                "residual",
                residual,
                "'states' or a number in (0, 0.5)",
                lambda x: 0 < x < 0.5,
            )
        self.use_bias = check_flag("use_bias", use_bias)
        self.max_logit = max_logit
        if max_logit is not None:
            self.max_logit = check_number(
                "max_logit",
                max_logit,
                "None or a positive number",
                lambda x: x > 0,
            )
        self.bias: Any = None

    def build(self, inputs_shape, steps_shape=None, classes_shape=None):
        super().build(inputs_shape, steps_shape, classes_shape)
        if self.use_bias:
            event = tuple(inputs_shape[1:])
            if None in event:
                raise ValueError(
                    "Expected states of a known shape for `use_bias=True`. "
                    f"Received: shape={tuple(inputs_shape)}"
                )
            self.bias = self.add_weight(
                shape=event,
                initializer="zeros",
                name="bias",
            )

    def adapt(self, data: Any) -> None:
        """Sets the bias to the logits of the means of the data.

        A network that outputs 0, without a state in the logits, then draws each
        feature as often as it occurs in the data.

        Args:
            data: Array of zeros and ones, `(n, ..., features)`.

        Raises:
            ValueError: if there is no bias, or if the data are not suitable.
        """
        if not self.use_bias:
            raise ValueError(
                "Expected an operator with `use_bias=True`. Received: "
                "use_bias=False"
            )
        data = check_array("data", data)
        if not len(data) or not self.is_possible(data).all():
            raise ValueError(
                "Expected data of 0 and 1, one row or more. Received: "
                f"shape={data.shape}, other values or none"
            )
        if self.bias is None:
            self.build((None, *data.shape[1:]))
            self.built = True
        check_tensor("data", data, (None, *self.bias.shape))
        mean = np.clip(data.mean(axis=0, dtype="float64"), *_MEANS)
        self.bias.assign(np.log(mean / (1 - mean)))

    def parameters(self, states: Tensor, outputs: Tensor) -> Tensor:
        logits = outputs
        if self.bias is not None:
            logits = logits + ops.cast(self.bias, logits.dtype)
        if self.alpha:
            if self.residual != "states":
                logit = math.log((1 - self.residual) / self.residual)
                states = logit * (2 * states - 1)
            logits = self.alpha * states + (1 - self.alpha) * logits
        if self.max_logit is not None:
            logits = self.max_logit * ops.tanh(logits / self.max_logit)
        return logits

    def distribution(self, parameters: Tensor, temperature: Any = 1.0) -> Any:
        logits = parameters / self.per_state(temperature, parameters)
        return self.event(tfd().Bernoulli(logits, dtype=logits.dtype))

    def prior(self, mean: Tensor, variance: Tensor) -> Any:
        del variance  # The mean determines the distribution.
        mean = ops.clip(mean, *_MEANS)[None]
        return self.event(tfd().Bernoulli(probs=mean, dtype=mean.dtype))

    def noise(self, shape: Any, seed: Any) -> Tensor:
        return keras.random.uniform(
            shape, seed=seed, dtype=self.parameter_dtype
        )

    def draw(self, distribution: Any, noise: Tensor) -> Tensor:
        return ops.cast(noise < distribution.mean(), self.parameter_dtype)

    def is_possible(self, states: Any) -> Any:
        return (states == 0) | (states == 1)

    def get_config(self):
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "residual": self.residual,
            "use_bias": self.use_bias,
            "max_logit": self.max_logit,
        }
