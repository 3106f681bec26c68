"""Z-Forcing: a generative model of sequences whose latents do not collapse."""

from typing import Any

import keras
from keras import ops

from keras_seqcredit import schedules
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_layer
from keras_seqcredit.checks import check_proportion
from keras_seqcredit.checks import check_seed
from keras_seqcredit.layers.heads.distribution_head import check_head
from keras_seqcredit.layers.recurrent.stochastic_arguments import READS_BACKWARD
from keras_seqcredit.layers.recurrent.stochastic_rnn import StochasticRNN
from keras_seqcredit.metrics import ActiveUnits
from keras_seqcredit.models.generative_model import example_weights
from keras_seqcredit.models.latent_generator import LatentGenerator
from keras_seqcredit.saving import public
from keras_seqcredit.seeds import ReplicaSeed
from keras_seqcredit.seeds import SavedSeed
from keras_seqcredit.sequence_ops import has_later_valid


@public
class ZForcing(schedules.ScheduledWeights, SavedSeed, LatentGenerator):
    """Recurrent generative model with a latent variable at each time step.

    Fit it on sequences: each step is predicted from the previous ones and from
    a latent that, in training, knows the future. With `x` a sequence and `b`,
    `z`, `h`, `q`, `p`, `r` as in `StochasticRNN` on inputs delayed by one step:

    ```
    loss = sum over t of
        - log head(x_t | h_t)
        + kl_weight * KL(q(z_t | h_{t-1}, b_t) || p(z_t | h_{t-1}))
        - auxiliary_weight * log r(sg(b_t) | z_t)
        - backward_weight * log head_b(x_{t-1} | b_t)
    ```

    averaged over sequences, without padding.

    Args:
        stochastic_rnn: A `StochasticRNN`. Its own cost weights are not used.
        head: A `DistributionHead` for a step of the sequences.
        embedding: A Keras layer that turns steps into vectors, such as
            `keras.layers.Embedding`, or None for steps that are vectors.
            Defaults to `None`.
        kl_weight: Non-negative float or a schedule. Defaults to `1.0`.
        auxiliary_weight: Non-negative float or a schedule. Defaults to `0.0`.
        backward_weight: Non-negative float or a schedule, weight of the
            likelihood that the backward network gives to the previous step.
            Defaults to `0.0`.
        free_bits: A `schedules.FreeBits`, or None. Defaults to `None`.
        seed: Integer or None, seed of samples. Defaults to `None`.
        word_dropout: Float from 0 to 1, fraction of the recurrence's input
            steps that are replaced by zeros in training, so that it needs its
            latents. Targets, conditions and the input of the backward network
            are not affected. Defaults to `0.0`.
        stop_backward_gradient: Boolean, whether the backward network learns
            only from its own likelihood, which requires a `backward_weight`;
            all other terms treat its states as constants. Then it cannot become
            less informative in order to be easy to predict. Defaults to
            `False`.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: Sequences `(batch, time, features)`, or integers
            `(batch, time)`; or a dictionary with `"sequences"` and, optionally,
            `"conditions"`, `(batch, features)` or `(batch, time, features)`,
            which every step sees, and `"mask"`, boolean `(batch, time)`.
        mask: Boolean `(batch, time)`, False at padding.
        training: Boolean.

    Returns:
        A dictionary of float32 tensors, in nats and unweighted: `"nll"` and
        `"auxiliary"`, `(batch, time)`; `"kl"`, `(batch, time, latent_dim)`;
        `"backward_nll"`, `(batch, time)`; `"mask"`, `(batch, time)`; and, for
        Gaussian latents, `"shift"`, `(batch, time, latent_dim)`, the distance
        of the posterior mean from the prior's, in standard deviations of the
        prior.

    `fit` and `evaluate` report `loss` and, in nats per sequence, `nll`, `kl`,
    `auxiliary`, `backward_nll` and `elbo`, and, for Gaussian latents, the
    number of `active_units`. `sample_weight` weights sequences. A non-finite
    loss ends `fit` with an error that names the batch.

    Raises:
        ValueError: if an argument or the data are invalid.

    Example:

    ```python
    import numpy as np

    from keras_seqcredit.layers import GaussianHead
    from keras_seqcredit.layers import StochasticRNN
    from keras_seqcredit.models import ZForcing

    model = ZForcing(
        StochasticRNN(16, latent_dim=4), GaussianHead(3), auxiliary_weight=0.1
    )
    model.compile("adam")
    model.fit(np.random.randn(32, 10, 3).astype("float32"), batch_size=16)
    samples = model.generate(length=10, num_samples=2)
    assert samples.shape == (2, 10, 3)
    ```

    References:
        - Goyal et al., "Z-Forcing: Training Stochastic Recurrent Networks",
          NeurIPS 2017, arXiv:1711.05411.
        - Bowman et al., "Generating Sentences from a Continuous Space", CoNLL
          2016, arXiv:1511.06349 (`word_dropout`).
    """

    _objects = (
        "stochastic_rnn",
        "head",
        "embedding",
        "kl_weight",
        "auxiliary_weight",
        "backward_weight",
        "free_bits",
    )

    def __init__(
        self,
        stochastic_rnn,
        head,
        embedding=None,
        kl_weight=1.0,
        auxiliary_weight=0.0,
        backward_weight=0.0,
        free_bits=None,
        seed: int | None = None,
        word_dropout: float = 0.0,
        stop_backward_gradient: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Passed args.
        self._check_parts(stochastic_rnn, head, embedding)
        self.stochastic_rnn = stochastic_rnn
        self.head = head
        self.embedding = embedding
        self.kl_weight = schedules.get_weight("kl_weight", kl_weight)
        self.auxiliary_weight = schedules.get_weight(
            "auxiliary_weight", auxiliary_weight
        )
        self.backward_weight = schedules.get_weight(
            "backward_weight", backward_weight
        )
        self.free_bits = free_bits
        self.seed = check_seed(seed)
        self.word_dropout = check_proportion("word_dropout", word_dropout)
        self.stop_backward_gradient = check_flag(
            "stop_backward_gradient", stop_backward_gradient
        )
        self._check()

        # Other args.
        self.seed_generator = ReplicaSeed(self.seed)
        self._backward_head: Any = None
        if not schedules.is_zero(self.backward_weight):
            config = {**head.get_config(), "name": "backward_head"}
            self._backward_head = type(head).from_config(config)
        self._terms = {
            name: keras.metrics.Mean(name=name)
            for name in ("nll", "kl", "auxiliary", "backward_nll", "elbo")
        }
        self._active_units: Any = None
        if stochastic_rnn.latent == "gaussian":
            self._active_units = ActiveUnits(stochastic_rnn.latent_dim)
        self.updates: Any = None

    @staticmethod
    def _check_parts(stochastic_rnn, head, embedding) -> None:
        if not isinstance(stochastic_rnn, StochasticRNN):
            raise ValueError(
                "Expected `stochastic_rnn` to be a `StochasticRNN`. Received: "
                f"stochastic_rnn={stochastic_rnn!r}"
            )
        check_head(head)
        check_layer("embedding", embedding, optional=True)

    def _check(self) -> None:
        for name in ("go_backwards", "stateful"):
            if getattr(self.stochastic_rnn, name):
                raise ValueError(
                    "A generative model runs forward, from an empty state. "
                    f"Expected a `StochasticRNN` with `{name}=False`. "
                    f"Received: {name}=True"
                )
        if self.stochastic_rnn.auxiliary is None and not schedules.is_zero(
            self.auxiliary_weight
        ):
            raise ValueError(
                "`auxiliary_weight` weights the auxiliary cost. Expected a "
                "`StochasticRNN` with an `auxiliary`. Received: "
                f"auxiliary=None, auxiliary_weight={self.auxiliary_weight}"
            )
        backward = self.stochastic_rnn.posterior in READS_BACKWARD
        for name in ("auxiliary_weight", "backward_weight"):
            if not backward and not schedules.is_zero(getattr(self, name)):
                raise ValueError(
                    f"`{name}` uses the backward network's state. Expected a "
                    "`StochasticRNN` with `posterior='backward'` or "
                    "`'backward_and_target'`. Received: "
                    f"posterior={self.stochastic_rnn.posterior!r}, "
                    f"{name}={getattr(self, name)}"
                )
        if self.stop_backward_gradient and schedules.is_zero(
            self.backward_weight
        ):
            raise ValueError(
                "With `stop_backward_gradient` the backward network learns "
                "only from its own likelihood. Expected a positive "
                "`backward_weight`. Received: "
                f"backward_weight={self.backward_weight}"
            )
        free_bits = self.free_bits
        if free_bits is not None and not isinstance(
            free_bits, schedules.FreeBits
        ):
            raise ValueError(
                "Expected `free_bits` to be a `FreeBits` or None. Received: "
                f"free_bits={free_bits!r}"
            )

    def build(self, inputs_shape) -> None:
        conditions = 0
        if isinstance(inputs_shape, dict):
            conditions = (inputs_shape.get("conditions") or (0,))[-1]
            inputs_shape = inputs_shape["sequences"]
        frames = tuple(inputs_shape)
        if self.embedding is not None:
            if not self.embedding.built:
                self.embedding.build(frames)
            frames = self.embedding.compute_output_shape(frames)
        if len(frames) != 3:
            raise ValueError(
                "Expected sequences of shape (batch, time, features), or an "
                "`embedding` that outputs this shape. Received: "
                f"shape={tuple(inputs_shape)}, embedding={self.embedding}"
            )
        self.condition_size = conditions
        batch, time, features = frames
        inputs = (batch, time, features + conditions)
        if not self.stochastic_rnn.built:
            self.stochastic_rnn.build(inputs, frames)
            self.stochastic_rnn.built = True
        if not self.head.built:
            self.head.build((batch, time, self.stochastic_rnn.units))
        if self._backward_head is not None:
            units = self.stochastic_rnn.evidence_units
            self._backward_head.build((batch, time, units))
        self.updates = schedules.add_counter(self)
        self.built = True

    def call(self, inputs, mask=None, training=False):
        sequences = self.read(inputs, mask)
        mask = sequences.mask
        outputs, parameters = self.infer(sequences, training)
        nll = -self.head.log_prob(parameters, sequences.values, mask)
        valid = ops.ones_like(nll)
        if mask is not None:
            valid = ops.cast(mask, "float32")
        terms = {
            "nll": nll,
            "kl": outputs.kl,
            "auxiliary": outputs.auxiliary,
            "backward_nll": ops.zeros_like(nll),
            "mask": valid,
        }
        if self._backward_head is not None:
            terms["backward_nll"] = self._backward_nll(outputs, sequences)
        if self._active_units is not None:
            terms["shift"] = self.stochastic_rnn.latents.shift(
                outputs.posterior, outputs.prior
            )
        return terms

    def compute_output_spec(self, inputs, mask=None, training=False):
        # On JAX, densities require static shapes.
        shape = self.read(inputs, mask).values.shape
        latents = (self.stochastic_rnn.latent_dim,)
        sizes: dict = {name: () for name in (*_STEP_COSTS, "mask")}
        sizes["kl"] = latents
        if self._active_units is not None:
            sizes["shift"] = latents
        return {
            name: keras.KerasTensor((*shape[:2], *size), "float32")
            for name, size in sizes.items()
        }

    def infer(self, sequences, training=False):
        dropped = None
        if training and self.word_dropout:
            shape = ops.shape(sequences.values)[:2]
            uniform = keras.random.uniform(shape, seed=self.seed_generator)
            dropped = uniform < self.word_dropout
        frames, inputs = sequences.embedded(
            self.embedding, self.stochastic_rnn.compute_dtype, dropped
        )
        outputs = self.stochastic_rnn.infer(
            inputs,
            targets=frames,
            mask=sequences.mask,
            training=training,
            stop_backward_gradient=self.stop_backward_gradient,
        )
        return outputs, self.head(outputs.hidden)

    def _backward_nll(self, outputs, sequences):
        """The backward likelihood of each step, from the state after it."""
        known = outputs.evidence[:, 1:]
        values, _, mask = sequences
        # It is held at padding, so it belongs to the next valid step.
        counts = None if mask is None else has_later_valid(mask)[:, :-1]
        head = self._backward_head
        nll = -head.log_prob(head(known), values[:, :-1], counts)
        return ops.pad(nll, [(0, 0), (0, 1)])

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del x, y
        # Free bits are averaged over replicas.
        added = self._added_losses()
        kl = y_pred["kl"]
        sums = {name: ops.sum(y_pred[name], axis=1) for name in _STEP_COSTS}
        sums["kl"] = ops.sum(kl, axis=(1, 2))
        sums["elbo"] = -sums["nll"] - sums["kl"]
        penalty = sums["kl"]
        if self.free_bits is not None:
            penalty = ops.sum(self.free_bits(kl, y_pred["mask"]), axis=1)
        updates = self.updates.value
        cost = (
            sums["nll"]
            + self.kl_weight(updates) * penalty
            + self.auxiliary_weight(updates) * sums["auxiliary"]
            + self.backward_weight(updates) * sums["backward_nll"]
        )
        loss = self._mean_cost(cost, sample_weight, added)
        sample_weight = example_weights(sample_weight)
        for name, values in sums.items():
            self._terms[name].update_state(values, sample_weight)
        if self._active_units is not None:
            steps = y_pred["mask"]
            if sample_weight is not None:
                steps = ops.cast(sample_weight, "float32")[:, None] * steps
            self._active_units.update_state(y_pred["shift"], steps)
        if training:
            self.updates.assign_add(1)
        return self._scaled_for_replicas(loss)

    def get_config(self):
        return {
            **super().get_config(),
            "seed": self.seed,
            "word_dropout": self.word_dropout,
            "stop_backward_gradient": self.stop_backward_gradient,
        }


_STEP_COSTS = ("nll", "auxiliary", "backward_nll")
