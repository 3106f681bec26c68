"""The auxiliary loss of Z-Forcing: a latent predicts a state."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit import schedules
from keras_seqcredit.checks import check_choice
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_layer
from keras_seqcredit.checks import output_shape
from keras_seqcredit.distributions import tfd
from keras_seqcredit.layers.recurrent.clipped_mlp import ClippedMLP
from keras_seqcredit.saving import SerializesArguments
from keras_seqcredit.saving import public


@public
class AuxiliaryStateLoss(schedules.ScheduledWeights, SerializesArguments):
    """Auxiliary loss in which a latent predicts a summary of the future.

    The cost of a step is `-log r(sg(b) | z)` with
    `r = N(tanh(mean(z)), variance(z))`, or the squared error of
    `tanh(mean(z))`. A latent that ignores the state cannot lower this cost,
    which keeps it from collapsing to its prior. The gradient never reaches the
    state (`sg`). Works in any model with a latent and a target state, such as a
    variational RNN or a world model.

    Args:
        kind: `"gaussian"` or `"l2"`. Defaults to `"gaussian"`.
        weight: Non-negative float or a schedule; `weight` times the mean cost
            of the valid steps is added to the model's losses. With 0, nothing
            is added: use the returned costs. Defaults to `1.0`.
        hidden_units: Positive integer, hidden units of the default network.
            Defaults to the units of the state.
        network: A Keras layer `z -> (..., 2 * units)`, or `(..., units)` for
            `"l2"`. Defaults to a `ClippedMLP`.
        bounded: Boolean, whether to apply tanh to the mean, as suits the states
            of an LSTM or a GRU. Defaults to `True`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        latent: `(batch, time, features)`.
        state: `(batch, time, units)`, the state to predict.
        mask: Boolean `(batch, time)`. A padded step costs 0.
        training: Boolean, whether to advance a schedule.

    Returns:
        The cost of each step, float32 `(batch, time)`, in nats.

    Raises:
        ValueError: if an argument is invalid, or the network's output does not
            match the state.

    Example:

    ```python
    import keras
    from keras_seqcredit.layers import AuxiliaryStateLoss

    z = keras.Input((None, 4))
    state = keras.layers.LSTM(16, return_sequences=True, go_backwards=True)(z)
    cost = AuxiliaryStateLoss(weight=0.1)(z, state)
    assert cost.shape == (None, None)
    ```

    References:
        - Goyal et al., "Z-Forcing: Training Stochastic Recurrent Networks",
          NeurIPS 2017, arXiv:1711.05411, section 4.
    """

    _objects = ("weight", "network")

    def __init__(
        self,
        kind: str = "gaussian",
        weight=1.0,
        hidden_units: int | None = None,
        network=None,
        bounded: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("kind", kind, ("gaussian", "l2"))
        check_layer("network", network, optional=True)
        # Passed args.
        self.kind = kind
        self.weight = schedules.get_weight("weight", weight)
        self.hidden_units = check_integer(
            "hidden_units", hidden_units, optional=True
        )
        self.network = network
        self.bounded = check_flag("bounded", bounded)

        # Other args.
        self.supports_masking = True
        self._network: Any = network
        self.updates: Any = None

    def build(self, latent_shape, state_shape):
        units = state_shape[-1]
        outputs = 2 * units if self.kind == "gaussian" else units
        if self._network is None:
            self._network = ClippedMLP(
                outputs,
                self.hidden_units or units,
                dtype=self.dtype_policy,
                name="network",
            )
        # Built for any batch size and length: a `Sequential` keeps its input
        # shape.
        free = (None,) * (len(latent_shape) - 1)
        shape = (*free, latent_shape[-1])
        found = output_shape("network", self._network, shape)[-1]
        if found != outputs:
            raise ValueError(
                f"Expected a network of {outputs} outputs for a state of "
                f"{units} units and kind={self.kind!r}. Received: {found} "
                "outputs"
            )
        if not isinstance(self.weight, schedules.ConstantSchedule):
            self.updates = schedules.add_counter(self)

    def call(self, latent, state, mask=None, training=False, latent_mask=None):
        mask = latent_mask if mask is None else mask
        parameters = ops.cast(self._network(latent), "float32")
        state = ops.stop_gradient(ops.cast(state, "float32"))
        if mask is not None:
            mask = ops.cast(mask, "bool")
            # Padding may hold anything, even NaN.
            state = ops.where(mask[..., None], state, 0.0)
            parameters = ops.where(mask[..., None], parameters, 0.0)
        cost = self._cost(parameters, state)
        if mask is not None:
            cost = ops.where(mask, cost, 0.0)
        if not schedules.is_zero(self.weight):
            steps = (
                ops.sum(ops.ones_like(cost))
                if mask is None
                else ops.sum(ops.cast(mask, "float32"))
            )
            total = ops.sum(cost) / ops.maximum(steps, 1.0)
            updates = 0 if self.updates is None else self.updates.value
            self.add_loss(self.weight(updates) * total)
            if training and self.updates is not None:
                self.updates.assign_add(1)
        return cost

    def _cost(self, parameters, state):
        mean, scale = parameters, None
        if self.kind == "gaussian":
            mean, log_variance = ops.split(parameters, 2, axis=-1)
            scale = ops.exp(0.5 * log_variance)
        if self.bounded:
            mean = ops.tanh(mean)
        if scale is None:
            return ops.sum(ops.square(state - mean), axis=-1)
        return -ops.sum(tfd().Normal(mean, scale).log_prob(state), axis=-1)

    def compute_output_spec(
        self, latent, state, mask=None, training=False, latent_mask=None
    ):
        return keras.KerasTensor(latent.shape[:-1], dtype="float32")

    def compute_mask(self, latent, mask=None):
        return None

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "hidden_units": self.hidden_units,
            "bounded": self.bounded,
        }
