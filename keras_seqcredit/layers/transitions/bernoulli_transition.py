"""A step of a Markov chain of binary variables."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit.distributions import tfd
from keras_seqcredit.layers.transitions.transition import Transition
from keras_seqcredit.saving import public
from keras_seqcredit.types import Tensor


@public
class BernoulliTransition(Transition):
    """A step of a Markov chain of independent binary variables.

    ```
    p_T(s' = 1 | s) = sigmoid(f(s) / T)
    ```

    with `f` the network. States are 0 and 1.

    Args:
        network: A Keras layer or model from states `(batch, ..., features)` to
            logits of the same shape.
        num_steps: See `Transition`. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: States `(batch, ..., features)`.
        steps: Integers `(batch,)`, see `Transition`.
        training: Boolean, for the layers of the network.

    Returns:
        Logits at temperature 1, `(batch, ..., features)` in float32.

    Raises:
        ValueError: if an argument is wrong, or if the network's outputs do not
            have the shape of its inputs.
        ImportError: if TensorFlow Probability is missing.

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

    def distribution(self, parameters: Tensor, temperature: Any = 1.0) -> Any:
        logits = parameters / self.per_state(temperature, parameters)
        return self.event(tfd().Bernoulli(logits, dtype=logits.dtype))

    def prior(self, mean: Tensor, variance: Tensor) -> Any:
        del variance  # The mean is all there is.
        # No value is impossible because it has not been seen.
        mean = ops.clip(mean, 1e-3, 1 - 1e-3)[None]
        return self.event(tfd().Bernoulli(probs=mean, dtype=mean.dtype))

    def noise(self, shape: Any, seed: Any) -> Tensor:
        return keras.random.uniform(
            shape, seed=seed, dtype=self.parameter_dtype
        )

    def draw(self, distribution: Any, noise: Tensor) -> Tensor:
        return ops.cast(noise < distribution.mean(), self.parameter_dtype)

    def is_possible(self, states: Any) -> Any:
        return (states == 0) | (states == 1)
