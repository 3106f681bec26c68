"""Professor Forcing: generators that run freely as they run on data."""

import functools
import inspect
from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit import schedules
from keras_seqcredit.checks import check_choice
from keras_seqcredit.checks import check_integer
from keras_seqcredit.layers.behavior_discriminator import BehaviorDiscriminator
from keras_seqcredit.metrics import mean_discrepancy
from keras_seqcredit.models.autoregressive_rnn import AutoregressiveRNN
from keras_seqcredit.models.generative_model import GenerativeModel
from keras_seqcredit.models.generative_model import example_weights
from keras_seqcredit.models.readable_sequences import readable_sequences
from keras_seqcredit.models.sequences import twice
from keras_seqcredit.registration import public
from keras_seqcredit.types import Tensor

# Where exp of a logit, or of its opposite, is still a float32.
_LARGEST_LOGIT = 60.0

# Metrics of training alone.
_GATES = ("discriminator_open", "generator_open")


class Runs(NamedTuple):
    """What a generator does on data and on its own samples.

    Attributes:
        nats: `(batch, time)`, negative log-likelihood of the data.
        hidden: `(2 * batch, steps, units)`, states on data, then free ones.
        parameters: `(2 * batch, steps, num_parameters)`, the same of the head.
        mask: Boolean `(2 * batch, steps)` or None.
    """

    nats: Tensor
    hidden: Tensor
    parameters: Tensor
    mask: Any

    @property
    def behaviors(self) -> Tensor:
        """`(2 * batch, steps, units + num_parameters)`, float32."""
        hidden = ops.cast(self.hidden, self.parameters.dtype)
        return ops.concatenate([hidden, self.parameters], axis=-1)


@public
class ProfessorForcing(schedules.ScheduledWeights, GenerativeModel):
    """Trains a generator to behave on its own samples as it does on data.

    In each step of training the generator runs twice: on the data, and freely
    on its own samples. A discriminator reads the behaviors, hidden states and
    the head's parameters, and learns to tell the two; the generator learns to
    predict the data, and to be mistaken for a run on data when it runs freely:

    ```
    discriminator:  - log D(b_data) - log(1 - D(b_free))
    generator:      - log p(data) - adversarial_weight * log D(b_free)
    ```

    Samples are constants: the gradient reaches the generator through the states
    and the parameters of every step. The discriminator learns only while its
    accuracy on the batch is below the upper end of
    `discriminator_accuracy_range`, the generator listens to it only while it is
    above the lower end.

    Args:
        generator: An `AutoregressiveRNN`. After training it is an ordinary one,
            `model.generator`.
        discriminator: A Keras layer that turns behaviors `(batch, time,
            features)` into logits `(batch,)`, with a `mask` argument if there
            are masks. Defaults to `BehaviorDiscriminator()` in float32.
        adversarial_weight: Non-negative float or a schedule.
        match_teacher: Boolean, whether behaviors on data are to be mistaken for
            free ones, too.
        discriminator_accuracy_range: Pair of floats in `[0, 1]`, see above.
        matching: `"adversarial"`, or `"mse"` for the squared distance of free
            states to those on data, without a discriminator.
        free_running_steps: Integer of at least 2, steps of the free run, or
            None for as many as the data have.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: As those of the generator.

    Returns:
        `Runs`, see there. The discriminator is not asked.

    `compile` takes `optimizer` and `discriminator_optimizer`; by default the
    second is a copy of the first. `fit` and `evaluate` report `loss`; `nll`, in
    nats a sequence; `free_running_gap`, the maximum mean discrepancy between
    states on data and free ones, 0 where they are distributed alike; and with a
    discriminator `discriminator_loss`, `discriminator_accuracy`,
    `adversarial_loss` and, for `fit`, the shares of steps in which the
    `discriminator_open` and the `generator_open` gate let a gradient pass. A
    loss that is not finite, of either net, ends `fit` with the batch it came
    from.

    `loss` is `nll` and what layers of the generator add, such as regularizers.
    The adversarial term is left out: it rises and falls with the discriminator,
    too. With `matching="mse"` its term is in. Regularizers of the discriminator
    count in its gradient only.

    Raises:
        ValueError: if an argument or the data do not fit.

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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Passed args.
        self.generator = generator
        self.discriminator = discriminator
        self.adversarial_weight = schedules.get_weight(
            "adversarial_weight", adversarial_weight
        )
        self.match_teacher = match_teacher
        self.discriminator_accuracy_range = tuple(discriminator_accuracy_range)
        self.matching = matching
        self.free_running_steps = free_running_steps
        self._check()

        # Other args.
        if discriminator is None and matching == "adversarial":
            # The generator's gradient passes through probabilities near 0.
            self.discriminator = BehaviorDiscriminator(dtype="float32")
        names = ["nll", "free_running_gap", "adversarial_loss"]
        if matching == "adversarial":
            names += ["discriminator_loss", "discriminator_accuracy", *_GATES]
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
                "With `matching='mse'` nothing is told apart. Expected "
                "`discriminator=None` and `match_teacher=False`. Received: "
                f"discriminator={self.discriminator}, "
                f"match_teacher={self.match_teacher}"
            )
        limits = self.discriminator_accuracy_range
        if len(limits) != 2 or not 0 <= limits[0] <= limits[1] <= 1:
            raise ValueError(
                "Expected `discriminator_accuracy_range` to be two numbers in "
                "[0, 1], the lower one first. Received: "
                f"discriminator_accuracy_range={limits}"
            )
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
        _check_steps(shape)
        features = self.generator.units + self.generator.head.num_parameters
        if self.discriminator is not None:
            # Called as a user would, so that it checks its input.
            spec = keras.KerasTensor((None, None, features), "float32")
            found = self.discriminator(spec).shape
            if len(found) != 1:
                raise ValueError(
                    "Expected `discriminator` to turn behaviors of shape "
                    f"{tuple(spec.shape)} into logits (batch,). Received: "
                    f"shape={tuple(found)}"
                )
        self.updates = schedules.add_counter(self)
        self.built = True

    def compile(
        self,
        optimizer="rmsprop",
        discriminator_optimizer=None,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.compile`, with an optimizer for each of two nets.

        Args:
            optimizer: A Keras optimizer, of the generator.
            discriminator_optimizer: A Keras optimizer, of the discriminator, or
                None for a copy of the other one.
            **kwargs: `jit_compile`, `run_eagerly`, `steps_per_execution`,
                `auto_scale_loss`.
        """
        wrong = set(kwargs) & {"loss", "loss_weights", "metrics"}
        if wrong:
            raise ValueError(
                "The model has a loss and metrics of its own. Expected none in "
                f"`compile`. Received: {sorted(wrong)}"
            )
        first = keras.optimizers.get(optimizer)
        second = keras.optimizers.get(discriminator_optimizer)
        if second is None:
            second = type(first).from_config(first.get_config())
        if second is first:
            raise ValueError(
                "Each net needs an optimizer of its own. Expected "
                "`discriminator_optimizer` to be another object, or None for a "
                f"copy. Received: {second} twice"
            )
        self._optimizers = [first, second]
        self._compile_arguments = kwargs

        def choose(variable):
            # By identity: paths change when a model is loaded.
            return self._optimizers[id(variable) in self._discriminator_ids()]

        super().compile(keras.optimizers.MultiOptimizer(choose), **kwargs)

    def _discriminator_ids(self) -> set:
        if self.discriminator is None:
            return set()
        return {id(v) for v in self.discriminator.trainable_variables}

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
        sequences = net.read(inputs, mask)
        values, _, mask = sequences
        _check_steps(values.shape)
        steps = self.free_running_steps
        if steps is None:
            # One scan for both runs: a free run is a run on its own samples.
            hidden, parameters = net.run_freely(
                sequences, training, with_data=True
            )
            on_data = parameters[: ops.shape(values)[0]]
        else:
            own = net.sample(sequences.cut(steps))
            runs = net.run(sequences, training), net.run(own, training)
            on_data = runs[0].parameters
            hidden, parameters = (
                ops.concatenate([first[:, :steps], free], axis=0)
                for first, free in zip(*runs, strict=True)
            )
        nats = -net.head.log_prob(on_data, values, mask)
        return Runs(nats, hidden, parameters, twice(sequences.cut(steps).mask))

    def train_step(self, *args):
        if not self.built:  # Not by Keras: there is no loss in `compile`.
            inputs, *_ = keras.utils.unpack_x_y_sample_weight(args[-1])
            self.build(keras.tree.map_structure(lambda x: x.shape, inputs))
        return backend.train(self, self._train, *args)

    def _train(self, data):
        """One update of both nets; each is run forward and back once."""
        inputs, _, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        sample_weight = example_weights(sample_weight)
        variables = self.generator.trainable_variables

        def run(*weights):
            mapping = [(v, backend.read(v)) for v in self.variables]
            mapping += zip(variables, weights, strict=True)
            with keras.StatelessScope(mapping, collect_losses=True) as scope:
                runs = self(inputs, training=True)
                added = self._added_losses()
            others = self.non_trainable_variables
            after = [scope.get_current_value(v) for v in others]
            nll = _weighted(ops.sum(runs.nats, axis=1), sample_weight)
            match = self._distance(runs) if self.matching == "mse" else 0.0
            weight = self.adversarial_weight(backend.read(self.updates))
            loss = nll + weight * match + added
            return (loss, runs.behaviors), (runs, after, match)

        weights = [backend.read(v) for v in variables]
        (loss, behaviors), pull_back, (runs, after, match) = backend.vjp(
            run, *weights, has_aux=True
        )
        for variable, value in zip(
            self.non_trainable_variables, after, strict=True
        ):
            variable.assign(value)
        if self.matching == "adversarial":
            found = self._judge(behaviors, runs.mask)
            into_behaviors, gradients, is_open = found
        else:
            into_behaviors, gradients = ops.zeros_like(behaviors), []
            is_open = True
            self._terms["adversarial_loss"].update_state(
                match, _num_rows(runs.nats)
            )
        scale = self.optimizer.scale_loss(ops.ones_like(loss))
        scale = self._scaled_for_replicas(scale)
        into_generator = pull_back((scale, scale * into_behaviors))
        by_id = {
            id(v): g for v, g in zip(variables, into_generator, strict=True)
        }
        if self.discriminator is not None:
            by_id |= {
                id(v): scale * g
                for v, g in zip(
                    self.discriminator.trainable_variables,
                    gradients,
                    strict=True,
                )
            }
        self._update([by_id[id(v)] for v in self.trainable_variables], is_open)
        self._report(loss, runs, sample_weight)
        self.updates.assign_add(1)
        return self.get_metrics_result()

    def _judge(self, behaviors, mask):
        """What the discriminator makes of the behaviors.

        Returns:
            Gradients of the generator's loss by the behaviors, and of the
            discriminator's by its weights; whether it is to learn.
        """
        judge = self.discriminator
        given = {} if mask is None else {"mask": mask}
        takes = inspect.signature(judge.call).parameters
        if "training" in takes:
            given["training"] = True
        batch = behaviors.shape[0]
        if (
            batch
            and "constant_rows" in takes
            and not self.match_teacher
            # Devices that share a batch have other rows first.
            and keras.distribution.distribution() is None
        ):
            given["constant_rows"] = batch // 2

        adds_losses = False

        def discriminate(behaviors, *weights):
            nonlocal adds_losses
            others = [backend.read(v) for v in judge.non_trainable_variables]
            logits, after, losses = judge.stateless_call(
                list(weights), others, behaviors, return_losses=True, **given
            )
            adds_losses = bool(losses)
            added = sum(map(ops.sum, losses), ops.zeros(()))
            return (logits, ops.cast(added, "float32")), after

        weights = [backend.read(v) for v in judge.trainable_variables]
        (logits, added), pull_back, after = backend.vjp(
            discriminate, behaviors, *weights, has_aux=True
        )
        on_data, free = ops.split(logits, 2)
        share = 1.0 / ops.cast(ops.shape(free)[0], "float32")
        own = share * ops.concatenate(
            [-ops.sigmoid(-on_data), ops.sigmoid(free)]
        )
        one = ops.ones_like(added)
        if isinstance(judge, BehaviorDiscriminator) and not adds_losses:
            # A row of the gradient is linear in what comes back to its logit,
            # so that one way back serves the losses of both nets.
            into_behaviors, *gradients = pull_back((own, one))
            ratio = -ops.exp(
                ops.clip(
                    ops.concatenate([on_data, -free]),
                    -_LARGEST_LOGIT,
                    _LARGEST_LOGIT,
                )
            )
            into_behaviors = ratio[:, None, None] * into_behaviors
        else:
            _, *gradients = pull_back((own, one))
            _, pull_back, _ = backend.vjp(
                discriminate, behaviors, *weights, has_aux=True
            )
            mistaken = share * ops.concatenate(
                [ops.sigmoid(on_data), -ops.sigmoid(-free)]
            )
            into_behaviors, *_ = pull_back((mistaken, ops.zeros_like(added)))
        low, high = self.discriminator_accuracy_range
        accuracy = backend.replica_mean(self._measure(on_data, free))
        listens = ops.cast(accuracy > low, "float32")
        learns = accuracy < high
        weights_of = set(map(id, judge.non_trainable_weights))
        for variable, value in zip(
            judge.non_trainable_variables, after, strict=True
        ):
            if id(variable) in weights_of:  # Not the state of a seed.
                value = ops.where(learns, value, backend.read(variable))
            variable.assign(value)
        self._terms["generator_open"].update_state(listens)
        self._terms["discriminator_open"].update_state(
            ops.cast(learns, "float32")
        )
        weight = self.adversarial_weight(backend.read(self.updates)) * listens
        rows = ops.concatenate(
            [
                ops.ones_like(on_data) * float(self.match_teacher),
                ops.ones_like(free),
            ]
        )
        passes = (weight * rows)[:, None, None]
        into_behaviors = ops.where(passes > 0, passes * into_behaviors, 0.0)
        return into_behaviors, gradients, learns

    def _measure(self, on_data, free):
        """Updates the metrics of the discriminator; returns its accuracy."""
        right = ops.concatenate([on_data > 0, free <= 0])
        accuracy = ops.mean(ops.cast(right, "float32"))
        mistaken = ops.mean(ops.softplus(-free))
        if self.match_teacher:
            mistaken = mistaken + ops.mean(ops.softplus(on_data))
        loss = ops.mean(ops.softplus(-on_data)) + ops.mean(ops.softplus(free))
        rows = _num_rows(free)
        self._terms["discriminator_accuracy"].update_state(accuracy, rows)
        self._terms["discriminator_loss"].update_state(loss, rows)
        self._terms["adversarial_loss"].update_state(mistaken, rows)
        return accuracy

    def _update(self, gradients, is_open) -> None:
        """Moves the weights; a closed gate leaves all of the discriminator."""
        gated: list = []
        if self.discriminator is not None:
            gated = [
                *self.discriminator.trainable_variables,
                *self._optimizers[1].variables,
            ]
        before = [backend.read(v) for v in gated]
        backend.apply_gradients(
            self.optimizer, gradients, self.trainable_variables
        )
        for variable, value in zip(gated, before, strict=True):
            variable.assign(ops.where(is_open, backend.read(variable), value))

    def _distance(self, runs):
        """Squared distance of free states to those on data, a sequence."""
        on_data, free = ops.split(ops.cast(runs.hidden, "float32"), 2)
        square = (free - ops.stop_gradient(on_data)) ** 2
        if runs.mask is not None:
            mask = runs.mask[: ops.shape(square)[0], :, None]
            square = ops.where(mask, square, 0.0)
        return ops.mean(ops.sum(square, axis=(1, 2)))

    def _report(self, loss, runs, sample_weight) -> None:
        rows = _num_rows(runs.nats)
        if loss is not None:
            self._loss_tracker.update_state(loss, rows)
        nll = ops.sum(runs.nats, axis=1)
        self._terms["nll"].update_state(nll, sample_weight)
        on_data, free = ops.split(ops.cast(runs.hidden, "float32"), 2)
        mask = runs.mask
        if mask is not None:
            mask = mask[: ops.shape(on_data)[0]]
        # It compares rows: one alone says nothing.
        self._terms["free_running_gap"].update_state(
            mean_discrepancy(on_data, free, mask), ops.where(rows > 1, rows, 0)
        )

    @property
    def losses(self) -> list:
        """Those of the generator; the discriminator's are in its gradient."""
        # Keras on JAX hands on here what was added in `call`.
        return self._losses_override or self.generator.losses

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=False
    ):
        """The loss of `evaluate`."""
        del x, y
        runs = y_pred
        added = self._added_losses()
        sample_weight = example_weights(sample_weight)
        loss = _weighted(ops.sum(runs.nats, axis=1), sample_weight)
        if self.matching == "mse":
            match = self._distance(runs)
            self._terms["adversarial_loss"].update_state(
                match, _num_rows(runs.nats)
            )
        else:
            given = {} if runs.mask is None else {"mask": runs.mask}
            logits = self.discriminator(runs.behaviors, **given)
            self._measure(*ops.split(logits, 2))
            match = 0.0
        weight = self.adversarial_weight(self.updates.value)
        # Keras tracks the loss itself.
        self._report(None, runs, sample_weight)
        return self._scaled_for_replicas(loss + weight * match + added)

    def _checked(self, data, name="x"):
        return readable_sequences(data, name, self.generator.embedding)

    @functools.wraps(GenerativeModel.evaluate)
    def evaluate(self, *args, **kwargs):  # type: ignore[override]
        # No gate is asked, none is reported.
        self._evaluates = True
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            self._evaluates = False

    def get_metrics_result(self):
        found = super().get_metrics_result()
        if self._evaluates:
            return {k: x for k, x in found.items() if k not in _GATES}
        return found

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
        }


def _num_rows(x):
    return ops.cast(ops.shape(x)[0], "float32")


def _check_steps(shape) -> None:
    if shape[1] is not None and shape[1] < 2:
        raise ValueError(
            "A run differs from a free one from its second step on. Expected "
            f"sequences of at least 2 steps. Received: shape={tuple(shape)}"
        )


def _weighted(values, sample_weight):
    if sample_weight is not None:
        values = ops.cast(sample_weight, values.dtype) * values
    return ops.mean(values)
