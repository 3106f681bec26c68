"""A recurrent layer with latent variables that do not collapse."""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit import schedules
from keras_seqcredit.checks import check_choice
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_seed
from keras_seqcredit.checks import output_shape
from keras_seqcredit.distributions.latents import CategoricalLatent
from keras_seqcredit.distributions.latents import GaussianLatent
from keras_seqcredit.layers.recurrent.auxiliary_state_loss import (
    AuxiliaryStateLoss,
)
from keras_seqcredit.layers.recurrent.carried_states import CarriedStates
from keras_seqcredit.layers.recurrent.clipped_mlp import ClippedMLP
from keras_seqcredit.layers.recurrent.conditioned_lstm_cell import (
    ConditionedLSTMCell,
)
from keras_seqcredit.layers.recurrent.copied_weights import CopiedWeights
from keras_seqcredit.layers.recurrent.drop_in_arguments import (
    check_keras_arguments,
)
from keras_seqcredit.layers.recurrent.regularized_output import (
    RegularizedOutput,
)
from keras_seqcredit.layers.recurrent.sab_lstm import SABLSTM
from keras_seqcredit.layers.recurrent.split_stochastic_cell import (
    GatedStochasticStep,
)
from keras_seqcredit.layers.recurrent.split_stochastic_cell import is_plain
from keras_seqcredit.layers.recurrent.stochastic_arguments import SAMPLES
from keras_seqcredit.layers.recurrent.stochastic_arguments import (
    check_arguments,
)
from keras_seqcredit.layers.recurrent.stochastic_arguments import check_samples
from keras_seqcredit.layers.recurrent.stochastic_arguments import check_states
from keras_seqcredit.layers.recurrent.stochastic_arguments import check_targets
from keras_seqcredit.layers.recurrent.stochastic_cell import StochasticStep
from keras_seqcredit.recurrence.keras_cell import flat_states
from keras_seqcredit.recurrence.keras_cell import state_sizes
from keras_seqcredit.recurrence.run import sparse_recurrence
from keras_seqcredit.recurrence.side_effects import check_cell
from keras_seqcredit.recurrence.side_effects import check_network
from keras_seqcredit.recurrence.structures import Constants
from keras_seqcredit.recurrence.structures import Operands
from keras_seqcredit.recurrence.structures import Settings
from keras_seqcredit.saving import public
from keras_seqcredit.seeds import ReplicaSeed
from keras_seqcredit.seeds import SavedSeed
from keras_seqcredit.sequence_ops import has_later_valid
from keras_seqcredit.sequence_ops import infinite_to_nan
from keras_seqcredit.sequence_ops import next_valid
from keras_seqcredit.types import Shape
from keras_seqcredit.types import Tensor


class StochasticOutputs(NamedTuple):
    """All that a `StochasticRNN` computes on a sequence.

    Attributes:
        hidden: `(batch, time, units)`, the states after each step.
        before: `(batch, time, units)`, the states before each step.
        states: list of the cell's states after the last step.
        latents: `(batch, time, latent_size)`, the samples.
        posterior: `(batch, time, parameters)`, or None from the prior.
        prior: `(batch, time, parameters)`.
        evidence: `(batch, time, features)`, what the posterior saw beside the
            state, or None.
        kl: float32 `(batch, time, latent_dim)`, nats; 0 at padding.
        auxiliary: float32 `(batch, time)`, nats; 0 at padding and where there
            is no future to predict.
    """

    hidden: Tensor
    before: Tensor
    states: list
    latents: Tensor
    posterior: Any
    prior: Tensor
    evidence: Any
    kl: Tensor
    auxiliary: Tensor


@public
class StochasticRNN(
    schedules.ScheduledWeights,
    RegularizedOutput,
    CarriedStates,
    SavedSeed,
    keras.layers.Layer,
):
    """A recurrent layer with a latent variable at each step.

    In training the latent is drawn from a posterior that knows the future
    through a network that runs backward over the targets; a prior learns to
    do without. An auxiliary cost asks the latent to predict what the backward
    network knows, which keeps it from collapsing. With targets `y`, by
    default the inputs one step later:

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
    layer which of these it is called by. Their costs are the posterior's, as
    in `fit`, so that `evaluate` adds up the error of what the model predicts
    and the costs that it is trained on. Use `sample_from` for another choice;
    `"prior"` saves TensorFlow the costs in `predict`.
    Latents are random: `predict` gives another answer each time, or, with
    `sample="mean"`, always the same.

    Args:
        units: Positive integer, dimension of the state.
        latent_dim: Positive integer, number of latent variables a step.
        cell: `"lstm"`, `"gru"`, or a Keras RNN cell of `units` units. It may
            use the `dropout` and `recurrent_dropout` of Keras' own cells, but
            not draw random numbers itself, assign variables or add losses.
        hidden_units: Positive integer, of the networks. Defaults to `units`.
        backward: A Keras RNN layer, such as `keras.layers.GRU(64)`, to run
            backward over the targets. A copy is used, with the weights that
            the layer has, if it is built; it starts from zero states in each
            call and holds its state at padding. Defaults to an LSTM of `units`
            units.
        posterior: What the posterior knows beside the state: `"backward"`, the
            state of the backward network; `"target"`, the step's target, as a
            variational RNN; `"input"`, the step's input.
        auxiliary: `"gaussian"`, `"l2"` or None, the auxiliary cost.
        kl_weight: Non-negative float or a schedule.
        auxiliary_weight: Non-negative float or a schedule.
        condition_auxiliary_on_state: Boolean, whether `r` sees `h_{t-1}` too.
        latent: `"gaussian"`, or `"categorical"` with straight-through
            gradients.
        num_classes: Integer of at least 2, for categorical latents.
        latent_to_cell: `"input"`, or `"layer_norm"` for an LSTM with layer
            normalization that the latent modulates.
        prior_network: A Keras layer `(batch, h) -> (batch, parameters)`.
            Defaults to a `ClippedMLP`. As it may run inside the loop, it may
            not draw random numbers, assign variables or add losses: no
            dropout, no batch normalization.
        posterior_network: A Keras layer `[h; b] -> parameters`, in the same
            way.
        auxiliary_network: A Keras layer `z -> parameters` of the state `b`, of
            any kind: it runs after the loop.
        k_trunc: Positive integer or None, steps between cuts of the gradient
            of the state.
        dropout: Float in `[0, 1)`, how much of the input of the cell, latents
            among it, is dropped in training, of the cells `"lstm"` and
            `"gru"`. A cell of your own has its own.
        recurrent_dropout: Float in `[0, 1)`, the same of the state.
        return_sequences: Boolean, whether to return all states.
        return_state: Boolean, whether to return the cell's last states too.
        return_losses: Boolean, whether to return the costs of each step and
            not to add them to the model's losses.
        go_backwards: Boolean, whether to run from the last step to the first.
        stateful: Boolean, whether the cell's states carry over to the next
            call, until `reset_state()`; they are no weights, as in
            `SparseAttentiveRNN`. The backward network starts anew.
        zero_output_for_mask: Boolean, whether outputs at padding are 0.
        sample_from: What latents are drawn from. `"auto"`, the default, is the
            posterior in training, where `targets` are given, and with
            `posterior="input"`, which sees no later step; else the prior.
            `"posterior"` and `"prior"` are used always. With `"prior"` there
            are no costs, so the layer learns no posterior.
        sample: `"random"`, the default, draws latents. `"mean"` takes their
            mean, of a categorical one the most likely class, outside of
            training. A mean of the latents is not the mean of the outputs:
            for that, average `predict` over several calls.
        seed: Integer or None, of the noise.
        jit_compile: Boolean or `"auto"`, as in `SparseAttentiveRNN`.
        **kwargs: Arguments of `keras.layers.Layer`. An `activity_regularizer`
            counts the output, nothing else that is returned.

    Call arguments:
        sequences: `(batch, time, features)`.
        targets: `(batch, time, target_features)`, or None for the inputs one
            step later; the last step has no future then.
        initial_state: List of the cell's states, `(batch, units)` each.
        mask: Boolean `(batch, time)`. Padding holds the state, costs nothing
            and reaches nothing; the backward network starts at the last valid
            step of each row.
        training: Boolean, whether dropout is used and schedules move on.
        sample_from: As the argument of the layer, for this call. None, the
            default, is that of the layer.
        sample: As the argument of the layer, for this call, in training too.
            None, the default, is that of the layer, and random in training.

    Returns:
        One tensor, or a tuple of these in order:

        - the output, `(batch, units)`, or `(batch, time, units)` with
          `return_sequences`;
        - with `return_state`, the cell's states, `(batch, units)` each;
        - with `return_losses`, the KL divergence and the auxiliary cost of
          each step, float32 `(batch, time)`, in nats, not weighted.

    Raises:
        ValueError: if an argument, or the shape of the input, the targets or
            the initial state is wrong; always before the first step.

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
    """

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
        check_arguments(self)

        # Other args.
        self.supports_masking = True
        self.seed_generator = ReplicaSeed(self.seed)
        self.latents: Any = GaussianLatent(self.latent_dim)
        if num_classes is not None:
            self.latents = CategoricalLatent(self.latent_dim, self.num_classes)
        self._cell = self._make_cell()
        self._sizes = state_sizes(self._cell)
        self._projection = None
        if latent_to_cell == "input":
            self._projection = keras.layers.Dense(
                self.hidden_units or self.units,
                dtype=self.dtype_policy,
                name="projection",
            )
        self._backward = self._make_backward()
        self._prior = prior_network or self._make_network("prior")
        self._posterior = posterior_network or self._make_network("posterior")
        self._auxiliary = None
        if auxiliary and posterior == "backward":
            self._auxiliary = AuxiliaryStateLoss(
                auxiliary,
                weight=0.0,
                hidden_units=self.hidden_units or self.units,
                network=auxiliary_network,
                dtype=self.dtype_policy,
                name="auxiliary",
            )
        self.updates: Any = None

    def _make_cell(self):
        if not isinstance(self.cell, str):
            return self.cell
        arguments = {"dtype": self.dtype_policy, "name": "cell"}
        if self.latent_to_cell == "layer_norm":
            return ConditionedLSTMCell(
                self.units, self.latents.size, **arguments
            )
        if self.dropout or self.recurrent_dropout:
            arguments |= {
                "dropout": self.dropout,
                "recurrent_dropout": self.recurrent_dropout,
                "seed": self.seed,
            }
        kind = {"lstm": keras.layers.LSTMCell, "gru": keras.layers.GRUCell}
        return kind[self.cell](self.units, **arguments)

    def _make_backward(self):
        if self.posterior != "backward":
            return None
        # Without attention: an LSTM that trains faster than Keras' own.
        layer = self.backward or SABLSTM(
            self.units, k_top=0, dtype=self.dtype_policy
        )
        # A copy, as in `keras.layers.Bidirectional`. It starts anew, and holds
        # its state at padding.
        self._backward_weights = CopiedWeights("backward", layer)
        config = layer.get_config()
        for name in ("stateful", "zero_output_for_mask"):
            if name in config:
                config[name] = False
        config = {
            **config,
            "name": "backward",
            "go_backwards": True,
            "return_sequences": True,
            "return_state": False,
        }
        return layer.__class__.from_config(config)

    def _make_network(self, name):
        return ClippedMLP(
            self.latents.parameters,
            self.hidden_units or self.units,
            dtype=self.dtype_policy,
            name=name,
        )

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
            evidence = (
                features if self.posterior == "input" else target_features
            )
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
        self._build_network("prior_network", self._prior, self.units)
        self._build_network(
            "posterior_network", self._posterior, self.units + evidence
        )
        if self._auxiliary is not None:
            if self.condition_auxiliary_on_state:
                latent = (batch, time, self.latents.size + self.units)
            self._auxiliary.build(latent, (batch, time, evidence))
        weights = (self.kl_weight, self.auxiliary_weight)
        if not all(isinstance(w, schedules.ConstantSchedule) for w in weights):
            self.updates = schedules.add_counter(self)
        if self.stateful:
            self._build_states(batch)

    def _build_states(self, batch_size: int | None) -> None:
        if batch_size is None:
            raise ValueError(
                "`stateful=True` needs a known batch size, for example "
                "`keras.Input(batch_shape=(32, None, 8))`. Received: "
                "batch_size=None"
            )
        self._carry(self.get_initial_state(batch_size))
        self.reset_state()

    def _num_states(self) -> int:
        return len(self._sizes)

    def reset_state(self) -> None:
        """Forgets the states of a stateful layer."""
        if self.states is None:
            return
        first = self.get_initial_state(self.states[0].shape[0])
        for variable, value in zip(self.states, first, strict=True):
            variable.assign(value)

    def _build_network(self, name, network, features) -> None:
        found = output_shape(name, network, (None, features))[-1]
        check_network(name, network, features, self.compute_dtype)
        if found != self.latents.parameters:
            raise ValueError(
                f"Expected `{name}` to have {self.latents.parameters} outputs, "
                f"for {self.latent_dim} {self.latent} latents. Received: "
                f"{found} outputs"
            )

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
        if sequences.shape[0] == 0:
            # Keras' LSTM cell fails on it on TensorFlow.
            specs = self._specs(ops.shape(sequences))
            empty = tuple(ops.zeros(shape, dtype) for shape, dtype in specs)
            return empty[0] if len(empty) == 1 else empty
        self._check_batch_size(sequences)
        if self.stateful and initial_state is None:
            initial_state = [backend.read(v) for v in self.states]
        sample_from = sample_from or self.sample_from
        sample = sample or ("random" if training else self.sample)
        source = self._source(sample_from, targets, training)

        def infer(source):
            return self.infer(
                sequences, targets, initial_state, mask, training, source,
                sample,
            )  # fmt: skip

        found = costs = infer(source)
        if source == "prior" and sample_from == "auto":
            # Those of training. In `predict` no one asks for them: JAX leaves
            # them out, TensorFlow does not.
            costs = infer("posterior")
        kl = ops.sum(costs.kl, axis=-1)
        if costs.posterior is not None and not self.return_losses:
            self._add_losses(kl, costs.auxiliary, mask)
        if training and self.updates is not None:
            self.updates.assign_add(1)
        if self.stateful:
            for variable, state in zip(self.states, found.states, strict=True):
                variable.assign(state)
        results = [self._output(found, mask)]
        self._regularize(results[0])
        if self.return_state:
            results += found.states
        if self.return_losses:
            results += [kl, costs.auxiliary]
        return results[0] if len(results) == 1 else tuple(results)

    def _source(self, sample_from, targets, training) -> str:
        """What latents are drawn from."""
        if sample_from != "auto":
            return sample_from
        # With targets of its own, a caller knows what is seen.
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

    def _output(self, found, mask):
        output = found.hidden if self.return_sequences else found.states[0]
        if self.zero_output_for_mask and mask is not None:
            mask = ops.cast(mask, "bool")
            if self.go_backwards:
                mask = ops.flip(mask, axis=1)
            mask = mask if self.return_sequences else mask[:, -1]
            output = ops.where(mask[..., None], output, 0)
        return ops.cast(output, self.compute_dtype)

    def infer(
        self,
        sequences,
        targets=None,
        initial_state=None,
        mask=None,
        training=False,
        sample_from="posterior",
        sample="random",
    ) -> StochasticOutputs:
        """All that the layer computes, for a model with its own objective.

        Args: as `call`; `sample_from` is `"posterior"`, whatever the layer's
            argument, or `"prior"`, and `sample` is `"random"` or `"mean"`.

        Returns:
            `StochasticOutputs`. No loss is added and no schedule moves on.
        """
        check_choice("sample_from", sample_from, ("posterior", "prior"))
        check_choice("sample", sample, SAMPLES)
        check_targets(self, sequences, targets, mask)
        if mask is not None:
            mask = ops.cast(mask, "bool")
        shifted = targets is None
        targets = sequences if shifted else targets
        if self.go_backwards:
            sequences, targets = (
                ops.flip(x, axis=1) for x in (sequences, targets)
            )
            mask = None if mask is None else ops.flip(mask, axis=1)
        sequences, targets = (
            _without_padding(
                infinite_to_nan(ops.cast(x, self.compute_dtype)), mask
            )
            for x in (sequences, targets)
        )
        batch, time = ops.shape(sequences)[:2]
        from_posterior = sample_from == "posterior"
        evidence = None
        if from_posterior:
            evidence = self._evidence(sequences, targets, mask, shifted)
        if sample == "mean":
            noise = ops.zeros((batch, time, self.latents.size))
        else:
            noise = self.latents.noise((batch, time), self.seed_generator)
        noise = ops.cast(noise, self.compute_dtype)
        first = self._first_states(batch, initial_state)
        known = [sequences] if evidence is None else [sequences, evidence]
        step, inputs = self._step_and_inputs(
            [_time_first(x) for x in known], _time_first(noise), bool(training)
        )
        outputs = sparse_recurrence(
            Settings(step, k_trunc=self.k_trunc, linear=step.linear),
            Operands(step.operands, (), inputs, first),
            Constants(
                step.constants(self._cell_inputs(sequences)),
                () if mask is None else ops.transpose(mask),
            ),
            self.jit_compile in (True, "auto"),
        )
        return self._after(
            outputs.states, first, evidence, mask, shifted, training
        )

    def _evidence(self, sequences, targets, mask, shifted):
        """What the posterior sees at each step, `(batch, time, features)`."""
        if self.posterior == "input":
            return sequences
        if self.posterior == "backward":
            targets = self._backward(targets, mask=mask)
            targets = ops.flip(targets, axis=1)
        elif mask is not None and shifted:
            targets = next_valid(targets, mask)
        if not shifted:
            return targets
        # Padded steps hold what the next valid one says.
        last = ops.zeros_like(targets[:, :1])
        return ops.concatenate([targets[:, 1:], last], axis=1)

    def _after(self, states, first, evidence, mask, shifted, training):
        """Prior, divergence and auxiliary cost, batched over time."""
        hidden, latents, parameters = (
            _batch_first(x) for x in (states[0], *states[-2:])
        )
        before = ops.concatenate([first[0][:, None], hidden[:, :-1]], axis=1)
        if self.k_trunc:
            steps = ops.arange(ops.shape(before)[1])
            cut = (steps % self.k_trunc == 0) & (steps > 0)
            before = ops.where(cut[:, None], ops.stop_gradient(before), before)
        prior = self._prior_of(before, training)
        posterior, auxiliary = None, ops.zeros(ops.shape(hidden)[:2], "float32")
        kl = ops.zeros((*ops.shape(hidden)[:2], self.latent_dim), "float32")
        if evidence is not None:
            posterior = parameters
            kl = self.latents.kl(posterior, prior)
            if mask is not None:
                kl = ops.where(mask[..., None], kl, 0.0)
            if self._auxiliary is not None:
                known = [latents]
                if self.condition_auxiliary_on_state:
                    known.append(before)
                auxiliary = self._auxiliary(
                    ops.concatenate(known, axis=-1),
                    evidence,
                    mask=_has_future(hidden, mask, shifted),
                )
        final = [state[-1] for state in states[:-2]]
        return StochasticOutputs(
            hidden, before, final, latents, posterior, prior, evidence, kl,
            auxiliary,
        )  # fmt: skip

    def _prior_of(self, before, training):
        # As rows, which is what the network sees inside the loop, too.
        rows = ops.reshape(before, (-1, self.units))
        prior = ops.cast(self._prior(rows, training=training), before.dtype)
        return ops.reshape(prior, (*ops.shape(before)[:2], prior.shape[-1]))

    def _step_and_inputs(self, known, noise, training):
        """A step of the recurrence, and what each is given; time is first."""
        sequences, *evidence = known
        network = self._posterior if evidence else self._prior
        if is_plain(self._cell, network, self._projection, training):
            step: Any = GatedStochasticStep(
                self._cell, network, self._projection, self.latents
            )
            return step, step.inputs(sequences, *evidence, noise=noise)
        features = sequences.shape[-1]
        step = self._step(features, evidence[0] if evidence else None, training)
        return step, ops.concatenate([*known, noise], axis=-1)

    def _step(self, features, evidence, training) -> StochasticStep:
        return StochasticStep(
            self._cell,
            self._prior if evidence is None else self._posterior,
            self._projection,
            self.latents,
            features,
            0 if evidence is None else evidence.shape[-1],
            bool(training),
        )

    def _cell_inputs(self, sequences):
        """Zeros of the shape of the cell's input at a step."""
        extra = self.latents.size
        if self._projection is not None:
            extra = self._projection.units
        shape = (ops.shape(sequences)[0], sequences.shape[-1] + extra)
        return ops.zeros(shape, self.compute_dtype)

    def _first_states(self, batch_size, initial_state=None) -> list:
        if initial_state is None:
            states = self._cell.get_initial_state(batch_size=batch_size)
            initial_state = flat_states(self._cell, states)
        elif not isinstance(initial_state, (list, tuple)):
            initial_state = [initial_state]
        check_states(self, initial_state, self._sizes)
        sizes = (self.latents.size, self.latents.parameters)
        return [
            *(ops.cast(x, self.compute_dtype) for x in initial_state),
            *(ops.zeros((batch_size, n), self.compute_dtype) for n in sizes),
        ]

    def get_initial_state(self, batch_size) -> list:
        """The cell's states before the first `step`."""
        return self._first_states(batch_size)[: len(self._sizes)]

    def step(
        self, inputs, state: list, noise=None, latent=None
    ) -> tuple[Tensor, list]:
        """One step outside any sequence, for generation.

        Args:
            inputs: `(batch, features)`.
            state: from `get_initial_state` or the step before.
            noise: `(batch, latent_size)`, for a sample of the prior, drawn
                from the layer's seed if None. Draw it before a loop:
                `layer.latents.noise(shape, seed)`.
            latent: `(batch, latent_size)`, to be used in place of a sample.

        Returns:
            `(output, state)`, the output `(batch, units)`.
        """
        inputs = ops.convert_to_tensor(inputs, dtype=self.compute_dtype)
        step = self._step(inputs.shape[-1], None, training=False)
        weights = step.operands
        constants = step.constants(self._cell_inputs(inputs))
        if latent is not None:
            latent = ops.cast(latent, self.compute_dtype)
            states = step.move(weights, constants, inputs, latent, state)
            return states[0], states
        batch = ops.shape(inputs)[0]
        if noise is None:
            noise = self.latents.noise((batch,), self.seed_generator)
        noise = ops.cast(noise, self.compute_dtype)
        states = step(
            weights,
            constants,
            ops.concatenate([inputs, noise], axis=-1),
            self._first_states(batch, state),
        )
        return states[0], states[: len(self._sizes)]

    def compute_output_spec(self, sequences, *args, **kwargs):
        check_targets(
            self,
            sequences,
            args[0] if args else kwargs.get("targets"),
            kwargs.get("mask"),
        )
        check_samples(kwargs.get("sample_from"), kwargs.get("sample"))
        self._check_batch_size(sequences)
        specs = [
            keras.KerasTensor(shape, dtype=dtype)
            for shape, dtype in self._specs(sequences.shape)
        ]
        return specs[0] if len(specs) == 1 else tuple(specs)

    def compute_output_shape(
        self, sequences_shape, targets_shape=None, initial_state_shape=None
    ):
        shapes = [shape for shape, _ in self._specs(sequences_shape)]
        return shapes[0] if len(shapes) == 1 else tuple(shapes)

    def _specs(self, sequences_shape) -> list:
        batch, time = sequences_shape[:2]
        steps = (time,) if self.return_sequences else ()
        specs = [((batch, *steps, self.units), self.compute_dtype)]
        if self.return_state:
            specs += [((batch, n), self.compute_dtype) for n in self._sizes]
        if self.return_losses:
            specs += [((batch, time), "float32")] * 2
        return specs

    def compute_mask(self, sequences, mask=None):
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        mask = mask if self.return_sequences else None
        outputs = len(self._specs((None, None)))
        return mask if outputs == 1 else [mask] + [None] * (outputs - 1)

    def get_config(self):
        config = super().get_config()
        names = (
            "units", "latent_dim", "hidden_units", "posterior", "auxiliary",
            "condition_auxiliary_on_state", "latent", "num_classes",
            "latent_to_cell", "k_trunc", "dropout", "recurrent_dropout",
            "return_sequences", "return_state",
            "return_losses", "go_backwards", "stateful",
            "zero_output_for_mask", "sample_from", "sample", "seed",
            "jit_compile",
        )  # fmt: skip
        return {
            **config,
            **{name: getattr(self, name) for name in names},
            **{
                name: keras.saving.serialize_keras_object(getattr(self, name))
                for name in _OBJECTS
            },
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in _OBJECTS:
            if isinstance(config.get(name), dict):
                config[name] = keras.saving.deserialize_keras_object(
                    config[name]
                )
        return cls(**config)


# Arguments that may be Keras objects.
_OBJECTS = (
    "cell",
    "backward",
    "kl_weight",
    "auxiliary_weight",
    "prior_network",
    "posterior_network",
    "auxiliary_network",
)


def _without_padding(x, mask):
    # Padding may hold anything: it must reach no gradient.
    if mask is None:
        return x
    return ops.where(mask[..., None], x, ops.zeros_like(x))


def _has_future(hidden, mask, shifted):
    """Bool `(batch, time)`, the valid steps whose evidence is a real state."""
    if mask is None:
        mask = ops.ones(ops.shape(hidden)[:2], "bool")
    return has_later_valid(mask) if shifted else mask


def _time_first(x):
    return ops.transpose(x, (1, 0, 2))


_batch_first = _time_first
