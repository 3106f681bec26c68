"""A recurrent net that predicts a sequence step by step."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit import schedules
from keras_seqcredit.layers.copied_weights import CopiedWeights
from keras_seqcredit.layers.saved_seed import ReplicaSeed
from keras_seqcredit.layers.saved_seed import SavedSeed
from keras_seqcredit.layers.sparse_attentive_rnn import SparseAttentiveRNN
from keras_seqcredit.metrics import BitsPerStep
from keras_seqcredit.models.autoregressive_generator import (
    AutoregressiveGenerator,
)
from keras_seqcredit.models.generative_model import example_weights
from keras_seqcredit.models.given_key import GivenKey
from keras_seqcredit.models.sequence_generator import each_step
from keras_seqcredit.models.sequence_generator import joined
from keras_seqcredit.models.sequence_generator import past_of
from keras_seqcredit.registration import public


@public
class AutoregressiveRNN(
    schedules.ScheduledWeights, SavedSeed, AutoregressiveGenerator
):
    """A recurrent net that gives the density of each step after those before.

    Fit it on sequences: it reads each one a step late, a step of zeros first,
    and its head gives the density of the step that comes. With a sampling
    probability above 0 it is trained by scheduled sampling: at each step a coin
    decides whether it reads the data or its own sample of the step before.

    Args:
        core: What carries the state: a Keras RNN cell, a list of cells, a Keras
            RNN layer such as `keras.layers.GRU(256)`, `SABLSTM`, `SABGRU` or
            `SparseAttentiveRNN`. The model makes a copy, with the weights that
            it has: a trained core goes on from where it was, one that is not
            built starts anew.
        head: A `DistributionHead` for a step of the sequences.
        embedding: A Keras layer that turns steps into vectors, such as
            `keras.layers.Embedding`, or None for steps that are vectors. Its
            dropout, if any, is not applied to the steps that the model
            samples for itself, as these are drawn.
        condition_network: A Keras layer that turns conditions into vectors
            `(batch, features)` or `(batch, time, features)`, such as an
            embedding of classes or a recurrent net over a text, or None.
        sampling_probability: Float in `[0, 1]` or a schedule of it, how often a
            step of training reads the model's own sample. No gradient flows
            through a sample.
        seed: Integer or None, of samples.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: `(batch, time, features)` or integers `(batch, time)`; or a
            dictionary of such `"sequences"` with, optionally, `"conditions"`,
            which every step sees, and `"mask"`, boolean `(batch, time)`.
        mask: As `"mask"`. Padded steps cost nothing.
        training: Boolean, whether dropout and scheduled sampling are used.

    Returns:
        Parameters of the head `(batch, time, num_parameters)`, float32.

    `fit` and `evaluate` report `loss` and `nll`, in nats a sequence, and
    `bits_per_step`. A loss that is not finite ends `fit` with the batch it came
    from.

    Raises:
        ValueError: if an argument or the data do not fit.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit.layers import CategoricalHead
    from keras_seqcredit.models import AutoregressiveRNN

    model = AutoregressiveRNN(
        keras.layers.GRUCell(16),
        CategoricalHead(5),
        embedding=keras.layers.Embedding(5, 8),
    )
    model.compile("adam")
    model.fit(np.random.randint(0, 5, (32, 10)), batch_size=16)
    samples = model.generate(length=20, num_samples=2, temperature=0.8)
    assert samples.shape == (2, 20)
    ```

    References:
        - Williams and Zipser, "A Learning Algorithm for Continually Running
          Fully Recurrent Neural Networks", Neural Computation 1(2), 1989:
          teacher forcing.
        - Bengio et al., "Scheduled Sampling for Sequence Prediction with
          Recurrent Neural Networks", NeurIPS 2015, arXiv:1506.03099.
    """

    _objects = (
        "core",
        "head",
        "embedding",
        "condition_network",
        "sampling_probability",
    )

    def __init__(
        self,
        core,
        head,
        embedding=None,
        condition_network=None,
        sampling_probability=0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Passed args.
        if isinstance(core, (list, tuple)):
            core = keras.layers.StackedRNNCells(core)
        self.core = _as_core(core, self.dtype_policy)
        self.head = head
        self.embedding = embedding
        self.condition_network = condition_network
        self.sampling_probability = schedules.get_weight(
            "sampling_probability", sampling_probability, largest=1
        )
        self.seed = seed

        # Other args.
        self.seed_generator = ReplicaSeed(seed)
        self._core_weights = CopiedWeights("core", core)
        self._nll = keras.metrics.Mean(name="nll")
        self._bits_per_step = BitsPerStep()
        self.updates: Any = None

    def build(self, inputs_shape) -> None:
        conditions = None
        if isinstance(inputs_shape, dict):
            conditions = inputs_shape.get("conditions")
            inputs_shape = inputs_shape["sequences"]
        frames = self._build_part(self.embedding, tuple(inputs_shape))
        if len(frames) != 3:
            raise ValueError(
                "Expected sequences of shape (batch, time, features), or an "
                "`embedding` that makes such of them. Received: "
                f"shape={tuple(inputs_shape)}, embedding={self.embedding}"
            )
        batch, time, self.frame_size = frames
        self.condition_size = 0
        if conditions is not None:
            conditions = self._build_part(self.condition_network, conditions)
            self.condition_size = conditions[-1]
        features = self.frame_size + self.condition_size
        self._build_part(self.core, (batch, time, features))
        self._core_weights.give(self.core)
        self._build_part(self.head, (batch, time, self.units))
        self.updates = schedules.add_counter(self)
        self.built = True

    def _build_part(self, layer, shape):
        """The shape that a layer makes of `shape`."""
        if layer is None:
            return tuple(shape)
        if not layer.built:
            layer.build(shape)
            layer.built = True
        return layer.compute_output_shape(shape)

    @property
    def units(self) -> int:
        """Size of the hidden state that the head reads."""
        return self.core.compute_output_shape((1, 1, 1))[-1]

    def call(self, inputs, mask=None, training=False):
        sequences, conditions, mask = self._unpack(inputs, mask)
        if training and not schedules.is_zero(self.sampling_probability):
            coins = self._coins(sequences)
            return self._behavior_on_own(
                sequences, conditions, mask, training, coins
            )[1]
        return self._behavior(sequences, conditions, mask, training)[1]

    def _unpack(self, inputs, mask=None):
        """Sequences, conditions as vectors, and the mask."""
        sequences, conditions, mask = super()._unpack(inputs, mask)
        return sequences, self._conditions(conditions), mask

    def _behavior(
        self, sequences, conditions, mask=None, training=False, core=None
    ):
        """Hidden states and the head's parameters, fed with `sequences`."""
        hidden = self._hidden(sequences, conditions, mask, training, core)
        return hidden, self.head(hidden)

    def _hidden(self, sequences, conditions, mask, training=False, core=None):
        """`core` may stand for the model's own, where one looks into it."""
        past = past_of(self._frames(sequences), mask)
        return (core or self.core)(
            joined(past, conditions), mask=mask, training=training
        )

    def _frames(self, sequences, training=None):
        """Steps as the core reads them, `(batch, time, features)`."""
        if self.embedding is not None:
            given = {} if training is None else {"training": training}
            return self.embedding(sequences, **given)
        return ops.cast(sequences, self.core.compute_dtype)

    def _conditions(self, conditions):
        if conditions is None or self.condition_network is None:
            return conditions
        return self.condition_network(conditions)

    def _behavior_on_own(
        self,
        sequences,
        conditions,
        mask,
        training=False,
        coins=None,
        beside=False,
    ):
        """`_behavior` on `_sampled` sequences.

        Args:
            sequences: `(batch, time, ...)`.
            conditions: their vectors, or None.
            mask: Boolean `(batch, time)` or None.
            training: Boolean.
            coins: Boolean `(time, batch)`, or None for samples everywhere.
            beside: Boolean, whether that on the sequences themselves is wanted
                too, in the same batch before it.

        Returns:
            Hidden states and parameters, of twice the batch with `beside`.
        """
        core = self.core
        steps_are_kept = core.keeps_steps(training) and (
            not training or _is_stateless(self.embedding)
        )
        sampled, kept = self._drawn(
            sequences, conditions, mask, coins, steps_are_kept, beside
        )
        if beside:
            sampled = ops.concatenate([sequences, sampled])
            conditions, mask = map(twice, (conditions, mask))
        if not steps_are_kept:
            return self._behavior(sampled, conditions, mask, training)
        past = past_of(self._frames(sampled), mask)
        hidden = core.repeated(joined(past, conditions), mask, *kept)
        return hidden, self.head(hidden)

    def _coins(self, sequences):
        """Where a step of training reads the model's own sample."""
        batch, time = ops.shape(sequences)[:2]
        coins = keras.random.uniform((time, batch), seed=self.seed_generator)
        return coins < self.sampling_probability(self.updates.value)

    def _sampled(self, sequences, conditions, mask=None, coins=None):
        """Sequences in which the model's own samples stand where coins say.

        What was read before is constant for the gradient: that of a run on its
        own samples is the gradient of a run on these sequences.

        Args:
            sequences: `(batch, time, ...)`.
            conditions: their vectors, or None.
            mask: Boolean `(batch, time)` or None.
            coins: Boolean `(time, batch)`, or None for samples everywhere.

        Returns:
            As `sequences`.
        """
        return self._drawn(sequences, conditions, mask, coins)[0]

    def _drawn(
        self, sequences, conditions, mask, coins, keep=False, beside=False
    ):
        """`_sampled`, and what `core.repeated` wants of the run, if to keep."""
        time = ops.shape(sequences)[1]
        keys = GivenKey.draw(self.seed_generator, time, self.seed_generator)
        if conditions is not None:
            conditions = ops.stop_gradient(conditions)
        # Without a gradient: no way back through the loop is kept.
        frozen = [(v, ops.stop_gradient(v.value)) for v in self.variables]
        with keras.StatelessScope(state_mapping=frozen):
            samples, *kept = self._run_freely(
                sequences, conditions, mask, coins, keys, keep, keep and beside
            )
        return ops.stop_gradient(time_first(samples)), kept

    def _run_freely(
        self, sequences, conditions, mask, coins, keys, keep, beside
    ):
        batch, time = ops.shape(sequences)[:2]
        xs = {"key": keys}
        if coins is not None:
            xs |= {"coin": coins, "data": time_first(sequences)}
        if mask is not None:
            xs["mask"] = ops.transpose(mask)
        if conditions is not None:
            xs["conditions"] = each_step(conditions, time)
        if beside:
            past = past_of(self._frames(sequences), mask)
            xs["past"] = time_first(past)

        take_step = self.core.step_and_gates if keep else self.core.step

        def step(carry, x):
            frame, before = carry
            given, mask = x.get("conditions"), x.get("mask")
            inputs = frame
            if beside:
                inputs = ops.concatenate([x["past"], frame])
                given, mask = map(twice, (given, mask))
            inputs = _with(given, inputs)
            if mask is not None:  # Padding may hold anything.
                inputs = _select(mask, inputs, ops.zeros_like(inputs))
            hidden, state, *gates = take_step(inputs, before)
            if mask is not None:
                state = _hold(mask, state, before)
            own = hidden[batch:] if beside else hidden
            parameters = self.head(own, training=False)
            sample = self.head.sample(parameters, GivenKey(x["key"]))
            sample = ops.cast(sample, sequences.dtype)
            if coins is not None:
                sample = _select(x["coin"], sample, x["data"])
            after = self._frame(sample)
            if mask is not None:
                after = _select(x["mask"], after, frame)
            kept = (state, *gates) if keep else ()
            return (after, state), (sample, *kept)

        frame, state = self._start(batch, time)
        if beside:
            state = [twice(x) if len(x.shape) else x for x in state]
        return backend.scan(step, (frame, state), xs, time)[1]

    def _start(self, batch, time):
        """The frame before the first, and the state of the core."""
        slots = None
        if self.core.k_top != 0 and self.core.memory_size is None:
            slots = time + 1
        frame = ops.zeros((batch, self.frame_size), self.core.compute_dtype)
        return frame, self.core.get_initial_state(batch, slots)

    def _step(self, frame, state, conditions=None):
        """Parameters of the step that comes after `frame`, and the state."""
        output, state = self.core.step(_with(conditions, frame), state)
        return self.head(output), state

    def _frame(self, sample):
        """A step as the core reads it, `(batch, features)`.

        As in use, whatever the model does: a loop has no noise of a step.
        """
        return self._frames(sample[:, None], training=False)[:, 0]

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del y
        sequences, _, mask = super()._unpack(x)
        nats = -self.head.log_prob(y_pred, sequences, mask)
        return self._report(nats, mask, sample_weight, training)

    def _report(self, nats, mask, sample_weight, training):
        """Updates the metrics; returns the mean of the weighted loss."""
        added = self._added_losses()
        nll = ops.sum(nats, axis=1)
        weight = ops.ones_like(nll)
        sample_weight = example_weights(sample_weight)
        if sample_weight is not None:
            weight = ops.cast(sample_weight, nll.dtype)
        steps = weight[:, None] * ops.ones_like(nats)
        if mask is not None:
            steps = ops.where(mask, steps, 0.0)
        self._nll.update_state(nll, sample_weight)
        self._bits_per_step.update_state(nats, sample_weight=steps)
        if training:
            self.updates.assign_add(1)
        return self._scaled_for_replicas(ops.mean(weight * nll) + added)

    def compute_output_shape(self, inputs_shape):
        if isinstance(inputs_shape, dict):
            inputs_shape = inputs_shape["sequences"]
        return (*inputs_shape[:2], self.head.num_parameters)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def _as_core(core, dtype) -> SparseAttentiveRNN:
    """A layer that runs over sequences, and step by step."""
    if isinstance(core, keras.layers.RNN) and (
        core.go_backwards or core.stateful
    ):
        raise ValueError(
            "A generator runs forward, and each sequence from its start. "
            "Expected a `core` with `go_backwards=False` and "
            f"`stateful=False`. Received: core={core}, "
            f"go_backwards={core.go_backwards}, stateful={core.stateful}"
        )
    if isinstance(core, SparseAttentiveRNN):
        config = {
            **core.get_config(),
            "return_sequences": True,
            "return_state": False,
            "return_memory": False,
            "return_attention": False,
        }
        return type(core).from_config(config)
    regularizer = None
    if isinstance(core, keras.layers.RNN):
        regularizer = core.activity_regularizer
        core = core.cell
    if not (hasattr(core, "state_size") and callable(core)):
        raise ValueError(
            "Expected `core` to run step by step: an RNN cell, a list of "
            "cells, a Keras RNN layer or a `SparseAttentiveRNN`. Received: "
            f"core={core!r}"
        )
    cell = type(core).from_config(core.get_config())
    return SparseAttentiveRNN(
        cell,
        k_top=0,
        return_sequences=True,
        activity_regularizer=regularizer,
        dtype=dtype,
        name="core",
    )


def _is_stateless(layer) -> bool:
    """Whether a layer, or None, does the same at each call."""
    return layer is None or not any(
        part._non_trainable_variables or part._seed_generators
        for part in layer._flatten_layers()
    )


def _with(conditions, frame):
    """What the core reads at a step."""
    if conditions is None:
        return frame
    conditions = ops.cast(conditions, frame.dtype)
    return ops.concatenate([frame, conditions], axis=-1)


def _select(mask, chosen, other):
    """Rows of `chosen` where `mask (batch,)` holds, of `other` elsewhere."""
    mask = ops.reshape(mask, (-1, *[1] * (len(chosen.shape) - 1)))
    return ops.where(mask, chosen, other)


def _hold(mask, states, before):
    """States of a step, for padded rows those before it."""
    return [
        _select(mask, new, old) if len(new.shape) else new
        for new, old in zip(states, before, strict=True)
    ]


def twice(x):
    """For the run on data and the free one, which comes second; or None."""
    return None if x is None else ops.concatenate([x, x])


def time_first(x):
    """`(time, batch, ...)` of `(batch, time, ...)`, and back."""
    return ops.transpose(x, [1, 0, *range(2, len(x.shape))])
