"""A recurrent network that predicts a sequence step by step."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit import schedules
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_layer
from keras_seqcredit.checks import check_seed
from keras_seqcredit.layers.heads.distribution_head import check_head
from keras_seqcredit.layers.recurrent.copied_weights import CopiedWeights
from keras_seqcredit.layers.recurrent.drop_in_arguments import check_cell_type
from keras_seqcredit.layers.recurrent.replay import check_steps_have_gradient
from keras_seqcredit.layers.recurrent.sparse_attentive_rnn import (
    SparseAttentiveRNN,
)
from keras_seqcredit.metrics import BitsPerStep
from keras_seqcredit.models.autoregressive_generator import (
    AutoregressiveGenerator,
)
from keras_seqcredit.models.autoregressive_net import AutoregressiveNet
from keras_seqcredit.models.generative_model import example_weights
from keras_seqcredit.models.own_values import OwnValues
from keras_seqcredit.models.sequences import read_sequences
from keras_seqcredit.saving import public
from keras_seqcredit.seeds import ReplicaSeed
from keras_seqcredit.seeds import SavedSeed


@public
class AutoregressiveRNN(
    schedules.ScheduledWeights, SavedSeed, AutoregressiveGenerator
):
    """Recurrent network that models each time step given the previous ones.

    Fit it on sequences. It reads each one delayed by a step, starting with a
    step of zeros, and its head gives the density of the next step (teacher
    forcing). At inference, it reads its own samples and may drift. To counter
    this, training steps may also read samples:

    - `sampling_probability`: scheduled sampling. A coin flip decides at each
      step whether it reads the data or the sample of the previous step. A
      `LinearSchedule` may rise or fall.
    - `own_share`: generalized teacher forcing. Each step reads a mixture of the
      two, `own_share * own + (1 - own_share) * data`, as vectors.
    - `rollout_steps`: this many steps on data alternate with as many on
      samples, from a random phase for each sequence. This trains the likelihood
      of the next steps on the model's own values.

    If several are given, a coin or a rollout takes precedence over the share.
    With `sample_gradient=True`, the loss of a step reaches back through the
    samples before it; otherwise, they are constants. `evaluate` always reads
    data.

    Args:
        core: The recurrent part: a Keras RNN cell, a list of cells, a Keras RNN
            layer such as `keras.layers.GRU(256)`, `SABLSTM`, `SABGRU` or
            `SparseAttentiveRNN`. The model uses a copy with the same weights: a
            trained core keeps its training, and an unbuilt one starts fresh.
        head: A `DistributionHead` for a step of the sequences.
        embedding: A Keras layer that turns steps into vectors, such as
            `keras.layers.Embedding`, or None for steps that are vectors. Its
            dropout, if any, is not applied to steps that the model samples
            itself, at the time they are drawn. Defaults to `None`.
        condition_network: A Keras layer that turns conditions into vectors
            `(batch, features)` or `(batch, time, features)`, such as an
            embedding of classes or a recurrent network over a text, or None.
            Defaults to `None`.
        sampling_probability: Float in `[0, 1]` or a schedule, the probability
            that a training step reads the model's own sample. Defaults to
            `0.0`.
        seed: Integer or None, seed of samples. Defaults to `None`.
        own_share: Float in `[0, 1]` or a schedule, the share of its own sample
            that a training step reads. Defaults to `0.0`.
        rollout_steps: Positive integer, length of a rollout, or None for no
            rollouts. Defaults to `None`.
        sample_gradient: Boolean, whether training steps that read samples are
            differentiated through them, by
            `DistributionHead.sample_with_gradient`. The head must support it,
            and the core must be a cell or a stack of cells without dropout.
            Memory is linear in time. Defaults to `False`.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: `(batch, time, features)` or integers `(batch, time)`; or a
            dictionary with such `"sequences"` and, optionally, `"conditions"`,
            which every step sees, and `"mask"`, boolean `(batch, time)`.
        mask: The same as `"mask"`. Padded steps have no cost.
        training: Boolean, whether to apply dropout and scheduled sampling.

    Returns:
        Parameters of the head `(batch, time, num_parameters)`, float32.

    `fit` and `evaluate` report `loss` and `nll`, in nats per sequence, and
    `bits_per_step`. A non-finite loss ends `fit` with an error that names the
    batch.

    Raises:
        ValueError: if an argument or the data are invalid.

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
        - Hess et al., "Generalized Teacher Forcing for Learning Chaotic
          Dynamics", ICML 2023, arXiv:2306.04406, which mixes states.
        - Teutsch and Mäder, "Flipped Classroom: Effective Teaching for Time
          Series Forecasting", TMLR 2022, arXiv:2210.08959: probabilities that
          rise and that fall.
    """

    _objects = (
        "core",
        "head",
        "embedding",
        "condition_network",
        "sampling_probability",
        "own_share",
    )

    def __init__(
        self,
        core,
        head,
        embedding=None,
        condition_network=None,
        sampling_probability=0.0,
        seed: int | None = None,
        own_share=0.0,
        rollout_steps: int | None = None,
        sample_gradient: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Passed args.
        _check_parts(core, head, embedding, condition_network)
        if isinstance(core, (list, tuple)):
            core = keras.layers.StackedRNNCells(core)
        self.core = _as_core(core, self.dtype_policy)
        self.head = head
        self.embedding = embedding
        self.condition_network = condition_network
        self.sampling_probability = schedules.get_weight(
            "sampling_probability", sampling_probability, largest=1
        )
        self.seed = check_seed(seed)
        self.own_share = schedules.get_weight("own_share", own_share, largest=1)
        self.rollout_steps = check_integer(
            "rollout_steps", rollout_steps, optional=True
        )
        self.sample_gradient = check_flag("sample_gradient", sample_gradient)
        if self.sample_gradient:
            self.check_sample_gradient()

        # Other args.
        self.seed_generator = ReplicaSeed(self.seed)
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
                "`embedding` that outputs this shape. Received: "
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
        """Builds a layer for `shape` and returns its output shape."""
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

    @property
    def net(self) -> AutoregressiveNet:
        """The network as one value, which can also run step by step."""
        return AutoregressiveNet(
            self.name,
            self.core,
            self.head,
            self.embedding,
            self.condition_network,
            self.seed_generator,
            self.frame_size,
            self.core.compute_dtype,
        )

    def call(self, inputs, mask=None, training=False):
        net = self.net
        sequences = net.read(inputs, mask)
        own_values = self._own_values
        if not training or not own_values.are_read:
            return net.run(sequences, training).parameters
        behavior = net.run_freely(
            sequences,
            training,
            self._coins(sequences.values),
            sample_gradient=self.sample_gradient,
        )
        return behavior.parameters

    @property
    def _own_values(self):
        return OwnValues(
            self.sampling_probability, self.own_share, self.rollout_steps
        )

    def _coins(self, values):
        """Where a training step reads the model's own sample."""
        batch, time = ops.shape(values)[:2]
        return self._own_values.draw(
            batch, time, self.updates.value, self.seed_generator
        )

    def check_sample_gradient(self) -> None:
        """Raises an error if samples cannot be differentiated."""
        self.head.check_sample_gradient()
        check_steps_have_gradient(self.core)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del y
        sequences = read_sequences(x, None, self.name, self.embedding)
        values, _, mask = sequences
        nats = -self.head.log_prob(y_pred, values, mask)
        nll = ops.sum(nats, axis=1)
        loss = self._mean_cost(nll, sample_weight)
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
        return self._scaled_for_replicas(loss)

    def compute_output_shape(self, inputs_shape):
        if isinstance(inputs_shape, dict):
            inputs_shape = inputs_shape["sequences"]
        return (*inputs_shape[:2], self.head.num_parameters)

    def get_config(self):
        return {
            **super().get_config(),
            "seed": self.seed,
            "rollout_steps": self.rollout_steps,
            "sample_gradient": self.sample_gradient,
        }


def _check_parts(core, head, embedding, condition_network) -> None:
    if isinstance(core, (list, tuple)):
        check_cell_type("core", core)
    check_head(head)
    check_layer("embedding", embedding, optional=True)
    check_layer("condition_network", condition_network, optional=True)


def _as_core(core, dtype) -> SparseAttentiveRNN:
    """A layer that runs both over sequences and step by step."""
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
