"""Head for one of several classes."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit.checks import check_integer
from keras_seqcredit.distributions import tfd
from keras_seqcredit.layers.heads.distribution_head import DistributionHead
from keras_seqcredit.saving import public
from keras_seqcredit.types import Tensor


@public
class CategoricalHead(DistributionHead):
    """Maps hidden states to a distribution over classes, such as characters.

    The parameters of a step are `num_classes` logits. Targets are integers
    `(batch, ...)`, from 0 to `num_classes - 1`, without an event axis. The
    temperature divides the logits.

    Args:
        num_classes: Integer of at least 2.
        hidden_units: Positive integer, units of a hidden layer, or `None` for
            no hidden layer. Defaults to `None`.
        activation: Activation of the hidden layer. Defaults to `"relu"`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, ..., units)`.

    Returns:
        Parameters `(batch, ..., num_classes)` in float32. The input mask is
        passed through.

    Raises:
        ValueError: if an argument is invalid; in `log_prob`, also if targets do
            not have shape `(batch, ...)`.
        ImportError: if TensorFlow Probability is not installed.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit.layers import CategoricalHead

    inputs = keras.Input((None,), dtype="int32")
    states = keras.layers.Embedding(50, 8)(inputs)
    states = keras.layers.GRU(16, return_sequences=True)(states)
    head = CategoricalHead(50)
    model = keras.Model(inputs, head(states))
    model.compile("adam", head.negative_log_likelihood)

    characters = np.zeros((2, 10), "int32")
    sample = head.sample(model(characters), seed=0, temperature=0.8)
    assert sample.shape == (2, 10)
    ```
    """

    takes_integers = True
    gives_integers = True

    def __init__(
        self,
        num_classes: int,
        hidden_units: int | None = None,
        activation: Any = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(None, hidden_units, activation, **kwargs)
        self.num_classes = check_integer("num_classes", num_classes, minimum=2)

    @property
    def num_parameters(self) -> int:
        return self.num_classes

    def distribution(self, parameters: Tensor, temperature: Any = 1.0) -> Any:
        logits = parameters / ops.cast(temperature, parameters.dtype)
        return tfd().Categorical(logits)

    def _draw(self, distribution, seed):
        # Draws one number per step and looks it up in the cumulative
        # probabilities. TFP draws one per class, which takes most of the time
        # of a generator.
        logits = distribution.logits
        mass = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
        sums = ops.cumsum(mass, axis=-1)
        # In (0, 1], so that a class of probability 0 is never the first one.
        number = 1.0 - keras.random.uniform(
            ops.shape(mass)[:-1], dtype=mass.dtype, seed=seed
        )
        possible = mass > 0
        total = ops.max(ops.where(possible, sums, 0.0), axis=-1)
        reached = possible & (sums >= (number * total)[..., None])
        last = self.num_classes - 1
        classes = ops.where(reached, ops.arange(last + 1, dtype="int32"), last)
        return ops.min(classes, axis=-1)

    @property
    def has_sample_gradient(self) -> bool:
        return True

    def sample_with_gradient(self, parameters: Tensor, seed: Any = None) -> Any:
        sample = self.sample(parameters, seed)
        soft = ops.softmax(self._as_parameters(parameters), axis=-1)
        hard = ops.one_hot(sample, self.num_classes, dtype=soft.dtype)
        return hard + (soft - ops.stop_gradient(soft))

    def mean(self, parameters: Tensor) -> Tensor:
        """Class probabilities, the mean of one-hot vectors.

        Returns:
            `(batch, ..., num_classes)`.
        """
        return ops.softmax(self._as_parameters(parameters), axis=-1)

    def keep_top(self, parameters: Tensor, k: int) -> Tensor:
        """Restricts parameters to the `k` most likely classes of each step."""
        if k >= self.num_classes:
            return parameters
        least = ops.min(ops.top_k(parameters, k)[0], axis=-1, keepdims=True)
        return ops.where(parameters < least, -1e9, parameters)

    def is_possible(self, targets: Tensor) -> Tensor | None:
        whole = targets == ops.floor(targets)
        return whole & (targets >= 0) & (targets < self.num_classes)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}
