"""Professor Forcing: generators that run freely as they run on data."""

import functools
from typing import Any

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit import schedules
from keras_seqcredit.backend import keras_private
from keras_seqcredit.checks import check_choice
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_layer
from keras_seqcredit.checks import check_number
from keras_seqcredit.layers.recurrent.behavior_discriminator import (
    BehaviorDiscriminator,
)
from keras_seqcredit.metrics import mean_discrepancy
from keras_seqcredit.models import gradient_norms
from keras_seqcredit.models.autoregressive_net import Runs
from keras_seqcredit.models.autoregressive_net import check_two_steps
from keras_seqcredit.models.autoregressive_rnn import AutoregressiveRNN
from keras_seqcredit.models.discriminator_game import DiscriminatorGame
from keras_seqcredit.models.discriminator_game import check_accuracy_range
from keras_seqcredit.models.generative_model import GenerativeModel
from keras_seqcredit.models.generative_model import example_weights
from keras_seqcredit.models.readable_sequences import readable_sequences
from keras_seqcredit.models.two_optimizers import apply_gated
from keras_seqcredit.models.two_optimizers import combined
from keras_seqcredit.models.two_optimizers import optimizer_pair
from keras_seqcredit.saving import public

# Metrics of training only.
_GATES = ("discriminator_open", "generator_open")
_OF_TRAINING = (*_GATES, "discriminator_slope", "adversarial_ratio")


@public
class ProfessorForcing(schedules.ScheduledWeights, GenerativeModel):
    """Trains a generator to behave when free running as it does on data.

    In each training step, the generator runs twice: on the data, and freely on
    its own samples. A discriminator reads the behaviors (hidden states and the
    head's parameters) and learns to distinguish the two runs. The generator
    learns to predict the data and to make the discriminator mistake its free
    run for a run on data:

    ```
    discriminator:  - log D(b_data) - log(1 - D(b_free))
    generator:      - log p(data) - adversarial_weight * log D(b_free)
    ```

    Samples are constants: the gradient reaches the generator through the states
    and the parameters of every step. With `sample_gradient`, which is not in
    the paper, it also passes through the samples. The discriminator is updated
    only while its accuracy on the batch is below the upper end of
    `discriminator_accuracy_range`, and the generator receives its gradient only
    while the accuracy is above the lower end.

    Args:
        generator: An `AutoregressiveRNN`. After training, it can be used on its
            own, as `model.generator`.
        discriminator: A Keras layer that turns behaviors `(batch, time,
            features)` into logits `(batch,)`, with a `mask` argument if there
            are masks. Defaults to `BehaviorDiscriminator()` in float32.
        adversarial_weight: Non-negative float or a schedule. Defaults to `1.0`.
            The effect of 1 differs a lot between datasets; see
            `relative_weight`.
        match_teacher: Boolean, whether to also train behaviors on data to be
            mistaken for free ones. Defaults to `False`.
        discriminator_accuracy_range: Pair of floats in `[0, 1]`; see above.
            Defaults to `(0.75, 0.99)`.
        matching: `"adversarial"`, or `"mse"` for the squared distance between
            free states and states on data, without a discriminator. Defaults to
            `"adversarial"`.
        free_running_steps: Integer of at least 2, number of steps of the free
            run, or None for the length of the data. Defaults to `None`.
        discriminator_penalty: Positive float, or None for no penalty. Weight in
            the discriminator's loss of the squared norm of the logit's gradient
            with respect to a run on data (R1), against a discriminator that
            wins the more, the harder it pulls. Start with 10, and use
            `Adam(..., beta_1=0.5)` for the discriminator. A step takes several
            times as long, and longer to compile. Defaults to `None`.
        relative_weight: Boolean, whether `adversarial_weight` is the norm of
            the adversarial gradient relative to the norm of the likelihood's
            gradient, in each step. Requires a second backward pass. Defaults to
            `False`.
        ratio_every: Positive integer, number of training steps between
            measurements of `adversarial_ratio`, or None for never. A measuring
            step takes more than twice the time. Defaults to `None`.
        sample_gradient: Boolean, whether the free run is differentiated through
            its samples; see `AutoregressiveRNN` for the supported heads and
            cores. Defaults to `False`.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: As for the generator.

    Returns:
        A tuple that describes both runs of the generator: `nats`,
        `(batch, time)`, the negative log-likelihood of the data; `hidden` and
        `parameters`, `(2 * batch, steps, ...)`, the states and the head's
        parameters, with the run on data first; and a `mask` of these, or None.
        The discriminator is not called.

    `compile` takes `optimizer` and `discriminator_optimizer`; by default, the
    second is a copy of the first. `fit` and `evaluate` report `loss`; `nll`, in
    nats per sequence; `free_running_gap`, the maximum mean discrepancy between
    states on data and free states, 0 if they have the same distribution; and
    with a discriminator, `discriminator_loss`, `discriminator_accuracy`,
    `adversarial_loss` and, for `fit`, `discriminator_open` and
    `generator_open`, the shares of steps in which each gate lets the gradient
    pass. With `discriminator_penalty`, `fit` reports `discriminator_slope`, the
    squared gradient norm. With `relative_weight` or `ratio_every`, it reports
    `adversarial_ratio`, the ratio of gradient norms with respect to the
    generator's weights, adversarial over likelihood, at a weight of 1. A
    non-finite loss of either network ends `fit` with an error that names the
    batch.

    `loss` is `nll` plus the losses that layers of the generator add, such as
    regularizers. The adversarial term is left out, because it also rises and
    falls with the discriminator. With `matching="mse"`, the matching term is
    included. Regularizers of the discriminator affect only its gradient.

    Raises:
        ValueError: if an argument or the data are invalid.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit import layers
    from keras_seqcredit import models

    generator = models.AutoregressiveRNN(
        keras.layers.GRUCell(16),
        layers.CategoricalHead(5),
        embedding=keras.layers.Embedding(5, 8),
    )
    model = models.ProfessorForcing(generator, layers.BehaviorDiscriminator(8))
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    model.fit(np.random.randint(0, 5, (32, 10)), batch_size=16)
    samples = model.generator.generate(length=40)
    ```

    References:
        - Lamb et al., "Professor Forcing: A New Algorithm for Training
          Recurrent Networks", NeurIPS 2016, arXiv:1610.09038.
        - Mescheder et al., "Which Training Methods for GANs do actually
          Converge?", ICML 2018, arXiv:1801.04406: the penalty.
    """

    _objects = ("generator", "discriminator", "adversarial_weight")

    def __init__(
        self,
        generator: AutoregressiveRNN,
        discriminator=None,
        adversarial_weight=1.0,
        match_teacher: bool = False,
        discriminator_accuracy_range: tuple[float, float] = (0.75, 0.99),
        matching: str = "adversarial",
        free_running_steps: int | None = None,
        discriminator_penalty: float | None = None,
        relative_weight: bool = False,
        ratio_every: int | None = None,
        sample_gradient: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Passed args.
        self.generator = generator
        self.discriminator = discriminator
        self.adversarial_weight = schedules.get_weight(
            "adversarial_weight", adversarial_weight
        )
        self.match_teacher = check_flag("match_teacher", match_teacher)
        self.discriminator_accuracy_range = check_accuracy_range(
            discriminator_accuracy_range
        )
        self.matching = matching
        self.free_running_steps = free_running_steps
        self.discriminator_penalty = check_number(
            "discriminator_penalty", discriminator_penalty, optional=True
        )
        self.relative_weight = check_flag("relative_weight", relative_weight)
        self.ratio_every = check_integer(
            "ratio_every", ratio_every, optional=True
        )
        self.sample_gradient = check_flag("sample_gradient", sample_gradient)
        self._check()

        # Other args.
        if discriminator is None and matching == "adversarial":
            # The generator's gradient passes through probabilities near 0.
            self.discriminator = BehaviorDiscriminator(dtype="float32")
        names = ["nll", "free_running_gap", "adversarial_loss"]
        if matching == "adversarial":
            names += ["discriminator_loss", "discriminator_accuracy", *_GATES]
        if self.discriminator_penalty is not None:
            names.append("discriminator_slope")
        if self.relative_weight or self.ratio_every:
            names.append("adversarial_ratio")
        self._terms = {name: keras.metrics.Mean(name=name) for name in names}
        self._evaluates = False
        self.updates: Any = None

    def _check(self) -> None:
        if not isinstance(self.generator, AutoregressiveRNN):
            raise ValueError(
                "Expected `generator` to be an `AutoregressiveRNN`. Received: "
                f"generator={self.generator!r}"
            )
        check_choice("matching", self.matching, ("adversarial", "mse"))
        check_integer(
            "free_running_steps", self.free_running_steps, 2, optional=True
        )
        if self.matching == "mse" and (
            self.discriminator is not None or self.match_teacher
        ):
            raise ValueError(
                "With `matching='mse'` there is no discriminator. Expected "
                "`discriminator=None` and `match_teacher=False`. Received: "
                f"discriminator={self.discriminator}, "
                f"match_teacher={self.match_teacher}"
            )
        settings = (
            self.discriminator_penalty, self.relative_weight, self.ratio_every
        )  # fmt: skip
        if self.matching == "mse" and any(settings):
            raise ValueError(
                "With `matching='mse'` there is no discriminator. Expected "
                "`discriminator_penalty=None`, `relative_weight=False` and "
                "`ratio_every=None`. Received: "
                f"discriminator_penalty={settings[0]}, "
                f"relative_weight={settings[1]}, ratio_every={settings[2]}"
            )
        if self.sample_gradient:
            self.generator.check_sample_gradient()
        check_layer("discriminator", self.discriminator, optional=True)
        dtype = getattr(self.discriminator, "compute_dtype", None)
        if dtype == "float16":
            raise ValueError(
                "The gradient of a discriminator that is sure of itself "
                "vanishes in float16. Expected a discriminator with "
                "`dtype='float32'`. Received: "
                f"discriminator.compute_dtype={dtype!r}"
            )

    def build(self, inputs_shape) -> None:
        if not self.generator.built:
            self.generator.build(inputs_shape)
        shape = inputs_shape
        if isinstance(shape, dict):
            shape = shape["sequences"]
        check_two_steps(shape)
        features = self.generator.units + self.generator.head.num_parameters
        if self.discriminator is not None:
            # Called as a user would call it, so that it checks its input.
            spec = keras.KerasTensor((None, None, features), "float32")
            logits = self.discriminator(spec).shape
            if len(logits) != 1:
                raise ValueError(
                    "Expected `discriminator` to turn behaviors of shape "
                    f"{tuple(spec.shape)} into logits (batch,). Received: "
                    f"shape={tuple(logits)}"
                )
        self.updates = schedules.add_counter(self)
        self.built = True

    def compile(
        self,
        optimizer="rmsprop",
        discriminator_optimizer=None,
        **kwargs: Any,
    ) -> None:
        """Like `keras.Model.compile`, with an optimizer for each network.

        Args:
            optimizer: A Keras optimizer for the generator. Defaults to
                `"rmsprop"`.
            discriminator_optimizer: A Keras optimizer for the discriminator, or
                None for a copy of the other one. Defaults to `None`.
            **kwargs: `jit_compile`, `run_eagerly`, `steps_per_execution`,
                `auto_scale_loss`.
        """
        wrong = set(kwargs) & {"loss", "loss_weights", "metrics"}
        if wrong:
            raise ValueError(
                "The model has its own loss and metrics. Expected none in "
                f"`compile`. Received: {sorted(wrong)}"
            )
        self._optimizers = optimizer_pair(optimizer, discriminator_optimizer)
        self._compile_arguments = kwargs
        super().compile(
            combined(self._optimizers, self.discriminator), **kwargs
        )

    def get_compile_config(self):
        if not self.compiled:
            return None
        first, second = map(
            keras.saving.serialize_keras_object, self._optimizers
        )
        return {
            "optimizer": first,
            "discriminator_optimizer": second,
            **self._compile_arguments,
        }

    def compile_from_config(self, config):
        optimizers = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("optimizer", "discriminator_optimizer")
        }
        self.compile(**{**config, **optimizers})
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def call(self, inputs, mask=None, training=False) -> Runs:
        net = self.generator.net
        return net.run_both(
            net.read(inputs, mask),
            training,
            self.free_running_steps,
            self.sample_gradient and training,
        )

    def _game(self) -> DiscriminatorGame:
        return DiscriminatorGame(
            self.discriminator,
            self.match_teacher,
            self.discriminator_accuracy_range,
            self.discriminator_penalty,
        )

    def train_step(self, *args):
        if not self.built:  # Keras does not: there is no loss in `compile`.
            inputs, *_ = keras.utils.unpack_x_y_sample_weight(args[-1])
            self.build(keras.tree.map_structure(lambda x: x.shape, inputs))
        return backend.train(self, self._train, *args)

    def _train(self, data):
        """One update of both networks, with one forward and backward pass each.

        With a relative weight, the generator needs two backward passes.
        """
        inputs, _, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.generator.trainable_variables
        weight = self.adversarial_weight(backend.read(self.updates))
        before = [(v, backend.read(v)) for v in self.variables]

        def run(*weights):
            mapping = [*before, *zip(variables, weights, strict=True)]
            with keras.StatelessScope(mapping, collect_losses=True) as scope:
                runs = self(inputs, training=True)
                cost = self._mean_cost(_nats(runs), sample_weight)
            others = self.non_trainable_variables
            after = [scope.get_current_value(v) for v in others]
            match = runs.squared_distance() if self.matching == "mse" else 0.0
            return (cost + weight * match, runs.behaviors), (runs, after, match)

        weights = [backend.read(v) for v in variables]
        (loss, behaviors), pull_back, (runs, after, match) = backend.vjp(
            run, *weights, has_aux=True, often=self.relative_weight
        )
        for variable, value in zip(
            self.non_trainable_variables, after, strict=True
        ):
            variable.assign(value)
        by_behaviors = ops.zeros_like(behaviors)
        of_discriminator: list = []
        learns: Any = True
        if self.matching == "mse":
            self._report({"adversarial_loss": match}, runs)
        else:
            turn = self._game().play(behaviors, runs.mask, weight)
            by_behaviors, of_discriminator = turn.by_behaviors, turn.by_weights
            learns = turn.learns
            self._report(turn.score._asdict(), runs)
            self._report_gates(turn.listens, learns)
            if self.discriminator_penalty is not None:
                self._report({"discriminator_slope": turn.penalty}, runs)
            if self.ratio_every and not self.relative_weight:
                self._report_ratio(run, weights, turn.pull)
        scale = self.optimizer.scale_loss(ops.ones_like(loss))
        scale = self._scaled_for_replicas(scale)
        if self.relative_weight:
            nothing = ops.zeros_like(scale)
            of_generator, ratio = gradient_norms.pulled_by(
                pull_back((scale, ops.zeros_like(behaviors))),
                pull_back((nothing, scale * turn.pull)),
                weight,
                turn.listens,
            )
            self._report({"adversarial_ratio": ratio}, runs)
        else:
            of_generator = pull_back((scale, scale * by_behaviors))
        gradients = {
            id(v): g for v, g in zip(variables, of_generator, strict=True)
        }
        if self.discriminator is not None:
            for variable, gradient in zip(
                self.discriminator.trainable_variables,
                of_discriminator,
                strict=True,
            ):
                gradients[id(variable)] = scale * gradient
        self._update(
            [gradients[id(v)] for v in self.trainable_variables], learns
        )
        keras_private.loss_tracker(self).update_state(
            loss, _num_rows(runs.nats)
        )
        self._report_runs(runs, sample_weight)
        self.updates.assign_add(1)
        return self.get_metrics_result()

    def _update(self, gradients, learns) -> None:
        """Updates the weights; the discriminator's only if its gate is open."""
        gated: list = []
        if self.discriminator is not None:
            gated = [
                *self.discriminator.trainable_variables,
                *self._optimizers[1].variables,
            ]
        apply_gated(
            self.optimizer, gradients, self.trainable_variables, gated, learns
        )

    def _report(self, figures, runs) -> None:
        """Updates metrics with the means of a batch."""
        for name, value in figures.items():
            self._terms[name].update_state(value, _num_rows(runs.nats))

    def _report_gates(self, listens, learns) -> None:
        self._terms["generator_open"].update_state(listens)
        self._terms["discriminator_open"].update_state(
            ops.cast(learns, "float32")
        )

    def _report_ratio(self, run, weights, pull) -> None:
        """Measures the gradients of both terms every `ratio_every` steps."""
        updates = backend.read(self.updates)
        is_due = ops.equal(updates % self.ratio_every, 0)
        ratio = ops.cond(
            is_due,
            lambda: gradient_norms.measured_ratio(run, weights, pull),
            lambda: ops.zeros(()),
        )
        self._terms["adversarial_ratio"].update_state(
            ratio, ops.cast(is_due, "float32")
        )

    def _report_runs(self, runs, sample_weight) -> None:
        rows = _num_rows(runs.nats)
        self._terms["nll"].update_state(
            _nats(runs), example_weights(sample_weight)
        )
        on_data, free = ops.split(ops.cast(runs.hidden, "float32"), 2)
        mask = runs.mask
        if mask is not None:
            mask = mask[: ops.shape(on_data)[0]]
        # It compares rows: a single row is not enough.
        self._terms["free_running_gap"].update_state(
            mean_discrepancy(on_data, free, mask), ops.where(rows > 1, rows, 0)
        )

    @property
    def losses(self) -> list:
        """Losses of the generator; the discriminator's are in its gradient."""
        # On JAX, Keras passes on here the losses added in `call`.
        return keras_private.losses_of_call(self) or self.generator.losses

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=False
    ):
        """The loss of `evaluate`."""
        del x, y
        runs = y_pred
        loss = self._mean_cost(_nats(runs), sample_weight)
        if self.matching == "mse":
            match = runs.squared_distance()
            self._report({"adversarial_loss": match}, runs)
            loss = loss + self.adversarial_weight(self.updates.value) * match
        else:
            score = self._game().evaluate(runs.behaviors, runs.mask)
            self._report(score._asdict(), runs)
        # Keras tracks the loss itself.
        self._report_runs(runs, sample_weight)
        return self._scaled_for_replicas(loss)

    def generating_model(self) -> AutoregressiveRNN:
        return self.generator

    def _checked(self, data, name="x"):
        return readable_sequences(data, name, self.generator.embedding)

    @functools.wraps(GenerativeModel.evaluate)
    def evaluate(self, *args, **kwargs):  # type: ignore[override]
        # There are no gates in evaluation, so none are reported.
        self._evaluates = True
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            self._evaluates = False

    def get_metrics_result(self):
        results = super().get_metrics_result()
        if self._evaluates:
            return {k: x for k, x in results.items() if k not in _OF_TRAINING}
        return results

    def generate(self, *args, **kwargs):
        """See `AutoregressiveRNN.generate`."""
        return self.generator.generate(*args, **kwargs)

    def log_likelihood(self, *args, **kwargs):
        """See `AutoregressiveRNN.log_likelihood`."""
        return self.generator.log_likelihood(*args, **kwargs)

    def get_config(self):
        return {
            **super().get_config(),
            "match_teacher": self.match_teacher,
            "discriminator_accuracy_range": self.discriminator_accuracy_range,
            "matching": self.matching,
            "free_running_steps": self.free_running_steps,
            "discriminator_penalty": self.discriminator_penalty,
            "relative_weight": self.relative_weight,
            "ratio_every": self.ratio_every,
            "sample_gradient": self.sample_gradient,
        }


def _nats(runs):
    """Negative log-likelihood of each sequence."""
    return ops.sum(runs.nats, axis=1)


def _num_rows(x):
    return ops.cast(ops.shape(x)[0], "float32")
