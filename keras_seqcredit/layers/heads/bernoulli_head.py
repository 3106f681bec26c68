"""Head for independent binary variables."""

from typing import Any

from keras import ops

from keras_seqcredit.distributions import tfd
from keras_seqcredit.layers.heads.distribution_head import DistributionHead
from keras_seqcredit.saving import public
from keras_seqcredit.types import Tensor


@public
class BernoulliHead(DistributionHead):
    """Maps hidden states to independent binary variables.

    The parameters of a step are `event_size` logits. Targets are 0 or 1;
    probabilities in between are scored by their cross-entropy. The temperature
    divides the logits.

    Args:
        event_size: Positive integer, size of the last axis of targets.
        hidden_units: Positive integer, units of a hidden layer, or `None` for
            no hidden layer. Defaults to `None`.
        activation: Activation of the hidden layer. Defaults to `"relu"`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, ..., units)`.

    Returns:
        Parameters `(batch, ..., event_size)` in float32. The input mask is
        passed through.

    Raises:
        ValueError: if an argument is invalid; in `log_prob`, also if targets do
            not have shape `(batch, ..., event_size)`.
        ImportError: if TensorFlow Probability is not installed.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit.layers import BernoulliHead

    inputs = keras.Input((None, 28))
    states = keras.layers.GRU(16, return_sequences=True)(inputs)
    head = BernoulliHead(28)
    model = keras.Model(inputs, head(states))
    model.compile("adam", head.negative_log_likelihood)

    rows = np.zeros((2, 28, 28), "float32")
    sample = head.sample(model(rows), seed=0)
    assert sample.shape == (2, 28, 28)
    ```
    """

    takes_integers = True

    @property
    def num_parameters(self) -> int:
        return self.event_size

    def distribution(self, parameters: Tensor, temperature: Any = 1.0) -> Any:
        logits = parameters / ops.cast(temperature, parameters.dtype)
        bernoulli = tfd().Bernoulli(logits, dtype=logits.dtype)
        return tfd().Independent(bernoulli, 1)

    @property
    def has_sample_gradient(self) -> bool:
        return True

    def sample_with_gradient(self, parameters: Tensor, seed: Any = None) -> Any:
        sample = self.sample(parameters, seed)
        soft = ops.sigmoid(self._as_parameters(parameters))
        return sample + (soft - ops.stop_gradient(soft))

    def is_possible(self, targets: Tensor) -> Tensor | None:
        return (targets >= 0) & (targets <= 1)
