"""A recurrent layer with latent variables that do not collapse."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit import schedules
from keras_seqcredit.checks import check_choice
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_proportion
from keras_seqcredit.checks import check_seed
from keras_seqcredit.checks import check_share
from keras_seqcredit.checks import check_size
from keras_seqcredit.distributions.latents import CategoricalLatent
from keras_seqcredit.distributions.latents import GaussianLatent
from keras_seqcredit.layers.recurrent.auxiliary_state_loss import (
    AuxiliaryStateLoss,
)
from keras_seqcredit.layers.recurrent.drop_in_arguments import (
    check_keras_arguments,
)
from keras_seqcredit.layers.recurrent.inputs import check_targets
from keras_seqcredit.layers.recurrent.inputs import read_call
from keras_seqcredit.layers.recurrent.outputs import RecurrentLayer
from keras_seqcredit.layers.recurrent.outputs import empty
from keras_seqcredit.layers.recurrent.outputs import one_or_tuple
from keras_seqcredit.layers.recurrent.outputs import shapes
from keras_seqcredit.layers.recurrent.outputs import symbolic
from keras_seqcredit.layers.recurrent.stochastic_arguments import PLAIN
from keras_seqcredit.layers.recurrent.stochastic_arguments import READS_BACKWARD
from keras_seqcredit.layers.recurrent.stochastic_arguments import SAMPLES
from keras_seqcredit.layers.recurrent.stochastic_arguments import (
    check_arguments,
)
from keras_seqcredit.layers.recurrent.stochastic_arguments import check_samples
from keras_seqcredit.layers.recurrent.stochastic_inference import (
    StochasticOutputs,
)
from keras_seqcredit.layers.recurrent.stochastic_inference import infer
from keras_seqcredit.layers.recurrent.stochastic_inference import take_step
from keras_seqcredit.layers.recurrent.stochastic_networks import build_network
from keras_seqcredit.layers.recurrent.stochastic_networks import make_backward
from keras_seqcredit.layers.recurrent.stochastic_networks import make_cell
from keras_seqcredit.layers.recurrent.stochastic_networks import make_network
from keras_seqcredit.recurrence.keras_cell import first_states
from keras_seqcredit.recurrence.keras_cell import state_sizes
from keras_seqcredit.recurrence.side_effects import check_cell
from keras_seqcredit.saving import SerializesArguments
from keras_seqcredit.saving import public
from keras_seqcredit.seeds import ReplicaSeed
from keras_seqcredit.seeds import SavedSeed
from keras_seqcredit.types import Shape
from keras_seqcredit.types import Tensor


@public
class StochasticRNN(
    schedules.ScheduledWeights,
    RecurrentLayer,
    SavedSeed,
    SerializesArguments,
):
    """Recurrent layer with a latent variable at each time step.

    In training, the latent is drawn from a posterior that sees the future
    through a network that runs backward over the targets. A prior learns to do
    without it. An auxiliary cost makes the latent predict the state of the
    backward network, which keeps the latent from collapsing. With targets `y`,
    by default the inputs one step later:

    ```
    b_t = backward(y_t, b_{t+1})
    z_t ~ q(z | h_{t-1}, b_t)                    posterior
    h_t = cell([x_t; projection(z_t)], h_{t-1})
    loss = kl_weight * KL(q || p(z | h_{t-1}))
           - auxiliary_weight * log r(sg(b_t) | z_t)
    ```

    Only the posterior and the cell are inside the loop over time. The layer
    replaces `keras.layers.LSTM(units)` in a model: it takes one tensor and
    adds its costs to the model's losses, averaged over valid steps as Keras
    averages a loss of steps.

    `fit` draws from the posterior. `predict`, `evaluate` and a plain call draw
    from the prior, so that no step sees a later one: Keras does not tell a
    layer which of these calls it. Their costs are the posterior's, as in `fit`,
    so `evaluate` adds up the error of the predictions and the costs of
    training. Use `sample_from` to change this; with `"prior"`, TensorFlow does
    not compute the costs in `predict`. Latents are random: `predict` gives a
    different result each time, or always the same one with `sample="mean"`.

    Args:
        units: Positive integer, dimension of the state.
        latent_dim: Positive integer, number of latent variables per step.
        cell: `"lstm"`, `"gru"`, or a Keras RNN cell of `units` units. It may
            use the `dropout` and `recurrent_dropout` of Keras' own cells, but
            must not draw random numbers itself, assign variables or add losses.
            Defaults to `"lstm"`.
        hidden_units: Positive integer, hidden units of the networks. Defaults
            to `units`.
        backward: A Keras RNN layer, such as `keras.layers.GRU(64)`, to run
            backward over the targets. The layer is copied, with its weights if
            it is built. The copy starts from zero states in each call and holds
            its state at padding. Defaults to an LSTM of `units` units.
        posterior: The posterior's input besides the state: `"backward"`, the
            state of the backward network; `"target"`, the step's target, as in
            a variational RNN; `"backward_and_target"`, for steps of many
            features; `"input"`, the step's input. Defaults to `"backward"`.
        auxiliary: `"gaussian"`, `"l2"` or None, the auxiliary cost. Defaults to
            `"gaussian"`.
        kl_weight: Non-negative float or a schedule. Defaults to `1.0`.
        auxiliary_weight: Non-negative float or a schedule. Defaults to `0.0`.
        condition_auxiliary_on_state: Boolean, whether `r` also sees `h_{t-1}`.
            Defaults to `False`.
        latent: `"gaussian"`, or `"categorical"` with straight-through
            gradients. Defaults to `"gaussian"`.
        num_classes: Integer of at least 2, for categorical latents. Defaults to
            `None`.
        latent_to_cell: `"input"`, or `"layer_norm"` for an LSTM with layer
            normalization that the latent modulates. Defaults to `"input"`.
        prior_network: A Keras layer `(batch, h) -> (batch, parameters)`.
            Defaults to a `ClippedMLP`. Since it may run inside the loop, it
            must not draw random numbers, assign variables or add losses: no
            dropout, no batch normalization.
        posterior_network: A Keras layer `[h; b] -> parameters`, `b` all that
            `posterior` names; same restrictions. Defaults to a `ClippedMLP`.
        auxiliary_network: A Keras layer `z -> parameters` of the state `b`,
            without restrictions: it runs after the loop. Defaults to a
            `ClippedMLP`.
        k_trunc: Positive integer or None, steps between truncations of the
            gradient of the state. Defaults to `None`.
        dropout: Float in `[0, 1)`, fraction of the cell's input, including
            latents, to drop in training, for the cells `"lstm"` and `"gru"`.
            Your own cell has its own dropout. Defaults to `0.0`.
        recurrent_dropout: Float in `[0, 1)`, the same for the state. Defaults
            to `0.0`.
        return_sequences: Boolean, whether to return all states. Defaults to
            `False`.
        return_state: Boolean, whether to also return the cell's last states.
            Defaults to `False`.
        return_losses: Boolean, whether to return the costs of each step instead
            of adding them to the model's losses. Defaults to `False`.
        go_backwards: Boolean, whether to run from the last step to the first.
            Defaults to `False`.
        stateful: Boolean, whether the cell's states carry over to the next call
            until `reset_state()`. As in `SparseAttentiveRNN`, they are not
            weights. The backward network starts from zero states in each call.
            Defaults to `False`.
        zero_output_for_mask: Boolean, whether outputs at padding are 0.
            Defaults to `False`.
        sample_from: The distribution to draw latents from. `"auto"` is the
            posterior in training, if `targets` are given, and with
            `posterior="input"`, which sees no later step; otherwise the prior.
            `"posterior"` and `"prior"` always apply. With `"prior"`, there are
            no costs, so the layer learns no posterior. Defaults to `"auto"`.
        sample: `"random"` draws latents. `"mean"` takes their mean outside of
            training, or the most likely class of a categorical latent. The mean
            of the latents does not give the mean of the outputs: for that,
            average `predict` over several calls. Defaults to `"random"`.
        seed: Integer or None, seed of the noise. Defaults to `None`.
        jit_compile: Boolean or `"auto"`, as in `SparseAttentiveRNN`. Defaults
            to `"auto"`.
        kl_balance: Float from 0 to 1 or None, the share of the KL divergence's
            gradient that trains the prior; the posterior gets the rest. The
            value of the KL divergence does not change. 0.5 halves both
            gradients; None leaves both unscaled. Defaults to `None`.
        unimix: Float in `[0, 1)`, the share of a uniform distribution in the
            prior and posterior of categorical latents, so that no class has
            probability 0. Defaults to `0.0`.
        **kwargs: Arguments of `keras.layers.Layer`. An `activity_regularizer`
            applies only to the output.

    Call arguments:
        sequences: `(batch, time, features)`.
        targets: `(batch, time, target_features)`, or None for the inputs one
            step later; the last step has no future then.
        initial_state: List of the cell's states, `(batch, units)` each.
        mask: Boolean `(batch, time)`. Padded steps hold the state, have no cost
            and no effect; the backward network starts at the last valid step of
            each row.
        training: Boolean, whether to apply dropout and advance schedules.
        sample_from: Overrides the argument of the layer for this call. None,
            the default, uses the layer's.
        sample: Overrides the argument of the layer for this call, also in
            training. None, the default, uses the layer's, and is random in
            training.

    Returns:
        One tensor, or a tuple of these, in order:

        - the output, `(batch, units)`, or `(batch, time, units)` with
          `return_sequences`;
        - with `return_state`, the cell's states, `(batch, units)` each;
        - with `return_losses`, the KL divergence and the auxiliary cost of each
          step, float32 `(batch, time)`, in nats, unweighted.

    Raises:
        ValueError: if an argument, or the shape of the input, the targets or
            the initial state is invalid; always before the first step.

    Example:

    ```python
    import keras
    from keras_seqcredit.layers import StochasticRNN

    model = keras.Sequential(
        [
            keras.Input((None, 8)),
            StochasticRNN(
                32, latent_dim=4, auxiliary_weight=0.1, return_sequences=True
            ),
            keras.layers.Dense(8),
        ]
    )
    assert model.output_shape == (None, None, 8)
    ```

    References:
        - Goyal et al., "Z-Forcing: Training Stochastic Recurrent Networks",
          NeurIPS 2017, arXiv:1711.05411.
        - Chung et al., "A Recurrent Latent Variable Model for Sequential
          Data", NeurIPS 2015, arXiv:1506.02216 (`posterior="target"`).
        - Hafner et al., DreamerV2, arXiv:2010.02193 (`kl_balance`), and
          DreamerV3, arXiv:2301.04104 (`unimix`).
    """

    _objects = (
        "cell",
        "backward",
        "kl_weight",
        "auxiliary_weight",
        "prior_network",
        "posterior_network",
        "auxiliary_network",
    )

    def __init__(
        self,
        units: int,
        latent_dim: int,
        cell="lstm",
        hidden_units: int | None = None,
        backward=None,
        posterior: str = "backward",
        auxiliary: str | None = "gaussian",
        kl_weight=1.0,
        auxiliary_weight=0.0,
        condition_auxiliary_on_state: bool = False,
        latent: str = "gaussian",
        num_classes: int | None = None,
        latent_to_cell: str = "input",
        prior_network=None,
        posterior_network=None,
        auxiliary_network=None,
        k_trunc: int | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        return_losses: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        zero_output_for_mask: bool = False,
        sample_from: str = "auto",
        sample: str = "random",
        seed: int | None = None,
        jit_compile: bool | str = "auto",
        kl_balance: float | None = None,
        unimix: float = 0.0,
        **kwargs: Any,
    ) -> None:
        check_keras_arguments(kwargs)
        super().__init__(**kwargs)
        self._take_activity_regularizer()

        # Passed args.
        self.units = check_integer("units", units)
        self.latent_dim = check_integer("latent_dim", latent_dim)
        self.cell = cell
        self.hidden_units = check_integer(
            "hidden_units", hidden_units, optional=True
        )
        self.backward = backward
        self.posterior = posterior
        self.auxiliary = auxiliary
        self.kl_weight = schedules.get_weight("kl_weight", kl_weight)
        self.auxiliary_weight = schedules.get_weight(
            "auxiliary_weight", auxiliary_weight
        )
        self.condition_auxiliary_on_state = condition_auxiliary_on_state
        self.latent = latent
        self.num_classes = check_integer(
            "num_classes", num_classes, minimum=2, optional=True
        )
        self.latent_to_cell = latent_to_cell
        self.prior_network = prior_network
        self.posterior_network = posterior_network
        self.auxiliary_network = auxiliary_network
        self.k_trunc = check_integer("k_trunc", k_trunc, optional=True)
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.return_losses = return_losses
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.zero_output_for_mask = zero_output_for_mask
        self.sample_from = sample_from
        self.sample = sample
        self.seed = check_seed(seed)
        self.jit_compile = jit_compile
        self.kl_balance = check_proportion("kl_balance", kl_balance, True)
        self.unimix = check_share("unimix", unimix)
        check_arguments(self)

        # Other args.
        self.supports_masking = True
        self.seed_generator = ReplicaSeed(self.seed)
        self.latents: Any = GaussianLatent(self.latent_dim)
        if num_classes is not None:
            self.latents = CategoricalLatent(
                self.latent_dim, self.num_classes, self.unimix
            )
        self._cell = make_cell(self)
        self._sizes = state_sizes(self._cell)
        self._projection = None
        if latent_to_cell == "input":
            self._projection = keras.layers.Dense(
                self.hidden_units or self.units,
                dtype=self.dtype_policy,
                name="projection",
            )
        self._backward = None
        if posterior in READS_BACKWARD:
            self._backward, self._backward_weights = make_backward(self)
        self._prior = prior_network or make_network(self, "prior")
        self._posterior = posterior_network or make_network(self, "posterior")
        self._auxiliary = None
        if auxiliary and self._backward is not None:
            self._auxiliary = AuxiliaryStateLoss(
                auxiliary,
                weight=0.0,
                hidden_units=self.hidden_units or self.units,
                network=auxiliary_network,
                dtype=self.dtype_policy,
                name="auxiliary",
            )
        self.updates: Any = None

    def build(
        self,
        sequences_shape: Shape,
        targets_shape=None,
        initial_state_shape=None,
    ) -> None:
        batch, time, features = sequences_shape
        targets = targets_shape or sequences_shape
        target_features = targets[-1]
        if self._backward is not None:
            self._backward.build((batch, time, target_features))
            self._backward_weights.give(self._backward)
            evidence = self._backward.compute_output_shape(targets)[-1]
        else:
            uses_input = self.posterior == "input"
            evidence = features if uses_input else target_features
        latent = (batch, time, self.latents.size)
        cell_features = features + self.latents.size
        if self._projection is not None:
            self._projection.build(latent)
            cell_features = features + self._projection.units
        if not self._cell.built:
            self._cell.build((batch, cell_features))
            self._cell.built = True
        check_cell("cell", self._cell, cell_features, self.compute_dtype)
        self.evidence_units = evidence
        self.target_units = target_features
        build_network(self, "prior_network", self._prior, self.units)
        known = self.units + evidence
        if self.posterior == "backward_and_target":
            known += target_features
        build_network(self, "posterior_network", self._posterior, known)
        if self._auxiliary is not None:
            if self.condition_auxiliary_on_state:
                latent = (batch, time, self.latents.size + self.units)
            self._auxiliary.build(latent, (batch, time, evidence))
        weights = (self.kl_weight, self.auxiliary_weight)
        if not all(isinstance(w, schedules.ConstantSchedule) for w in weights):
            self.updates = schedules.add_counter(self)
        if self.stateful:
            self._build_states(batch)

    def _num_states(self) -> int:
        return len(self._sizes)

    def call(
        self,
        sequences,
        targets=None,
        initial_state=None,
        mask=None,
        training=False,
        sample_from=None,
        sample=None,
        sequences_mask=None,
    ):
        mask = sequences_mask if mask is None else mask
        check_samples(sample_from, sample)
        call = read_call(self, sequences, mask, targets)
        if sequences.shape[0] == 0:
            return empty(self._specs(ops.shape(sequences)))
        self._check_batch_size(sequences)
        if self.stateful and initial_state is None:
            initial_state = [backend.read(v) for v in self.states]
        sample_from = sample_from or self.sample_from
        sample = sample or ("random" if training else self.sample)
        source = self._source(sample_from, targets, training)
        inference = infer(self, call, initial_state, training, source, sample)
        costs = inference
        if source == "prior" and sample_from == "auto":
            # The costs of training. `predict` does not use them: JAX then
            # leaves them out, TensorFlow does not.
            costs = infer(
                self, call, initial_state, training, "posterior", sample
            )
        kl = ops.sum(costs.kl, axis=-1)
        if costs.posterior is not None and not self.return_losses:
            self._add_losses(kl, costs.auxiliary, call.mask)
        if training and self.updates is not None:
            self.updates.assign_add(1)
        if self.stateful:
            self._keep_states(inference.states)
        output = (
            inference.hidden if self.return_sequences else inference.states[0]
        )
        results = [self._finished(output, call.mask)]
        if self.return_state:
            results += inference.states
        if self.return_losses:
            results += [kl, costs.auxiliary]
        return one_or_tuple(results)

    def _source(self, sample_from, targets, training) -> str:
        """The distribution that latents are drawn from."""
        if sample_from != "auto":
            return sample_from
        # A caller that passes targets knows what the posterior sees.
        sees_no_more = self.posterior == "input" or targets is not None
        return "posterior" if training or sees_no_more else "prior"

    def _add_losses(self, kl, auxiliary, mask):
        steps = ops.cast(ops.size(kl), "float32")
        if mask is not None:
            steps = ops.sum(ops.cast(mask, "float32"))
        steps = ops.maximum(steps, 1.0)
        updates = 0 if self.updates is None else self.updates.value
        self.add_loss(self.kl_weight(updates) * ops.sum(kl) / steps)
        if self._auxiliary is not None:
            weight = self.auxiliary_weight(updates)
            self.add_loss(weight * ops.sum(auxiliary) / steps)

    def infer(
        self,
        sequences,
        targets=None,
        initial_state=None,
        mask=None,
        training=False,
        sample_from="posterior",
        sample="random",
        stop_backward_gradient=False,
    ) -> StochasticOutputs:
        """Returns all results of the layer, for a model with its own objective.

        Args: as `call`. `sample_from` is `"posterior"`, regardless of the
            layer's argument, or `"prior"`, and `sample` is `"random"` or
            `"mean"`. With `stop_backward_gradient`, only the returned
            `evidence` passes gradients to the backward network.

        Returns:
            `StochasticOutputs`. Adds no loss and advances no schedule.
        """
        check_flag("training", False if training is None else training)
        check_choice("sample_from", sample_from, ("posterior", "prior"))
        check_choice("sample", sample, SAMPLES)
        call = read_call(self, sequences, mask, targets)
        return infer(
            self, call, initial_state, training, sample_from, sample,
            stop_backward_gradient,
        )  # fmt: skip

    def _first_states(self, batch_size) -> list:
        return first_states(self._cell, batch_size, self.compute_dtype)

    def get_initial_state(self, batch_size) -> list:
        """Returns the cell's states before the first `step`."""
        check_size("batch_size", batch_size)
        return self._first_states(batch_size)

    def step(
        self, inputs, state: list, noise=None, latent=None
    ) -> tuple[Tensor, list]:
        """Takes one step outside any sequence, for generation.

        Args:
            inputs: `(batch, features)`.
            state: from `get_initial_state` or the previous step.
            noise: `(batch, latent_size)`, for a sample of the prior; drawn from
                the layer's seed if None. Draw it before a loop:
                `layer.latents.noise(shape, seed)`. Defaults to `None`.
            latent: `(batch, latent_size)`, used in place of a sample. Defaults
                to `None`.

        Returns:
            `(output, state)`, the output `(batch, units)`.
        """
        return take_step(self, inputs, state, noise, latent)

    def compute_output_spec(self, sequences, *args, **kwargs):
        check_targets(
            self,
            sequences,
            args[0] if args else kwargs.get("targets"),
            kwargs.get("mask"),
        )
        check_samples(kwargs.get("sample_from"), kwargs.get("sample"))
        self._check_batch_size(sequences)
        return symbolic(self._specs(sequences.shape))

    def compute_output_shape(
        self, sequences_shape, targets_shape=None, initial_state_shape=None
    ):
        return shapes(self._specs(sequences_shape))

    def _specs(self, sequences_shape) -> list:
        batch, time = sequences_shape[:2]
        steps = (time,) if self.return_sequences else ()
        specs = [((batch, *steps, self.units), self.compute_dtype)]
        if self.return_state:
            specs += [((batch, n), self.compute_dtype) for n in self._sizes]
        if self.return_losses:
            specs += [((batch, time), "float32")] * 2
        return specs

    def get_config(self):
        config = super().get_config()
        return {**{name: getattr(self, name) for name in PLAIN}, **config}
