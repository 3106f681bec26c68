"""An auxiliary loss in which each state predicts a later one."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_non_negative
from keras_seqcredit.saving import public


@public
class FutureStateLoss(keras.layers.Layer):
    """Auxiliary loss that predicts each state from the one `steps` earlier.

    A linear map predicts the state `h_{t + steps}` from `stop_gradient(h_t)`;
    `weight` times the squared error, summed over units and averaged over the
    steps that have a future, is added to the model's losses. The gradient makes
    later states predictable and does not reach earlier ones. The states pass
    through unchanged. The authors' code of Sparse Attentive Backtracking offers
    it as a variant, with 20 steps and a weight of 0.5.

    Args:
        steps: Positive integer, how far ahead to predict. Defaults to `20`.
        weight: Non-negative float, weight of the loss. Defaults to `0.5`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        states: `(batch, time, units)`, from a recurrent layer with
            `return_sequences=True`.
        mask: Boolean `(batch, time)`. Pairs with a padded step are excluded.

    Returns:
        `states`. A sequence of at most `steps` steps adds no loss.

    Raises:
        ValueError: if an argument or the rank of the input is invalid.

    Example:

    ```python
    import keras
    from keras_seqcredit.layers import FutureStateLoss
    from keras_seqcredit.layers import SABLSTM

    inputs = keras.Input((None, 8))
    states = SABLSTM(32, k_trunc=5, return_sequences=True)(inputs)
    states = FutureStateLoss(steps=20, weight=0.5)(states)
    model = keras.Model(inputs, keras.layers.Dense(10)(states))
    ```

    References:
        - Released code of Ke et al., NeurIPS 2018, arXiv:1809.03702.
    """

    def __init__(
        self, steps: int = 20, weight: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        # Passed args.
        self.steps = check_integer("steps", steps)
        self.weight = check_non_negative("weight", weight)

        # Other args.
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.prediction: Any = None

    def build(self, states_shape):
        units = states_shape[-1]
        self.prediction = keras.layers.Dense(
            units, dtype=self.dtype_policy, name="prediction"
        )
        self.prediction.build((None, None, units))

    def call(self, states, mask=None):
        outputs = states
        if mask is not None:
            mask = ops.cast(mask, "bool")
            # Padding may hold anything, even NaN.
            states = ops.where(mask[..., None], states, 0.0)
        past = ops.stop_gradient(states[:, : -self.steps])
        # In float32: squares of half-precision states overflow.
        future = ops.cast(states[:, self.steps :], "float32")
        error = ops.cast(self.prediction(past), "float32") - future
        error = ops.sum(ops.square(error), axis=-1)
        counts = ops.ones_like(error)
        if mask is not None:
            both = mask[:, : -self.steps] & mask[:, self.steps :]
            counts = ops.cast(both, "float32")
        total = ops.maximum(ops.sum(counts), 1.0)
        self.add_loss(self.weight * ops.sum(error * counts) / total)
        return outputs

    def compute_output_shape(self, states_shape):
        return states_shape

    def get_config(self):
        config = super().get_config()
        return {**config, "steps": self.steps, "weight": self.weight}
