"""Variational Walkback: a Markov chain that learns to return to the data."""

import math
import sys
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit import schedules
from keras_seqcredit.backend import keras_private
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_number
from keras_seqcredit.checks import check_seed
from keras_seqcredit.checks import check_share
from keras_seqcredit.layers.transitions.noise_level import check_levels_of_walk
from keras_seqcredit.layers.transitions.transition import Transition
from keras_seqcredit.models.chain_model import ChainModel
from keras_seqcredit.models.generative_model import example_weights
from keras_seqcredit.models.markov_chain import step_size
from keras_seqcredit.models.readable_points import CLASSES
from keras_seqcredit.models.readable_points import DATA
from keras_seqcredit.models.readable_points import data_and_classes
from keras_seqcredit.models.readable_points import look_at
from keras_seqcredit.models.readable_points import readable_points
from keras_seqcredit.models.stationary_prior import StationaryPrior
from keras_seqcredit.models.temperature_schedule import AUTO
from keras_seqcredit.models.temperature_schedule import TemperatureSchedule
from keras_seqcredit.models.walkback_steps import WalkbackSteps
from keras_seqcredit.models.walkback_steps import can_score_in_walk
from keras_seqcredit.models.walkback_walkers import Walkers
from keras_seqcredit.models.walkback_walkers import WalkerSteps
from keras_seqcredit.saving import public
from keras_seqcredit.seeds import FixedSeed
from keras_seqcredit.seeds import ReplicaSeed
from keras_seqcredit.seeds import SavedSeed

# The range of float32 is checked for all steps together.
_FINITE = sys.float_info.max


@public
class VariationalWalkback(SavedSeed, ChainModel):
    """Generative Markov chain, trained to undo its own walk away from data.

    Fit it on data. From a point `s_0`, the chain walks away, hotter with each
    step, and learns to walk back: it maximizes the density of the previous
    state under the operator at the next state.

    ```
    s_t ~ p(s_t | s_{t-1}; T_t)        for t = 1 .. extra_steps + num_steps
    loss = - sum over t of log p(s_{t-1} | sg(s_t); T_t)
    T_{t+1} = temperature_factor * T_t if t > extra_steps, else T_t
    ```

    averaged over points. States are constants for the gradient. The last states
    are modeled by `p*`, independent features with the running moments of `s_K`;
    sampling starts there and cools down.

    On an accelerator, the whole walk is sampled first, and all its steps are
    scored in one call of the operator on `steps * batch` rows, which suits a
    device that computes many rows at once. A CPU walks and scores in the same
    loop where possible, which saves a pass of the network per step (see
    `steps_per_call`). With `online=True`, the weights are updated after each
    step, and the next step uses the new weights. The optimizer counts each of
    these updates, and each includes the full loss of the weight regularizers.

    Args:
        transition: A `Transition` whose network has no activity regularizers
            and no `add_loss`.
        num_steps: Positive integer, number of steps `K` of the walk on which
            the temperature rises; or `"auto"`, as many as the walk needs to
            span the data (see `adapt`).
        extra_steps: Non-negative integer, number of steps before these, at the
            initial temperature. Defaults to `0`.
        temperature_factor: Positive float. Defaults to `2.0`.
        initial_temperature: Positive float. Defaults to `1.0`.
        online: Boolean, whether to update after each step. Defaults to
            `False`.
        dequantize: Boolean, for images of integers from 0 to 255. Uniform noise
            turns them into continuous values, `(x + u) / 256`. Samples and
            likelihoods refer to the integer images. Defaults to `False`.
        momentum: Float in `[0, 1)`, momentum of the moments of `p*`. The first
            batches are averaged. Defaults to `0.99`.
        steps_per_call: Positive integer, number of steps scored in one call of
            the operator, `None` for all, or `"auto"`. The loss is the same,
            except for layers that normalize over the rows of a call. `"auto"`
            means all on an accelerator. On a CPU, it scores each step as soon
            as it is taken, in the memory of one step, with the network pass
            that the next step is drawn from, unless the network sees the step.
            On a CPU, `"auto"` also means all if devices share a batch, or if
            the network contains anything other than Keras layers that behave
            the same in training, without regularizers. Defaults to `"auto"`.
        seed: Integer or None, seed of walks and samples. Defaults to `None`.
        class_dropout: Float in `[0, 1)`, for an operator with `num_classes`,
            the share of training walks that hide the class from it, as
            `guidance` of samples needs. Defaults to `0.1`.
        num_walkers: Positive integer, number of walkers that persist from batch
            to batch. An update takes and scores one step of each walker in one
            pass; each is at its own step and temperature. Walkers that finish
            their walk restart at points of the batch: batches of
            `num_walkers / (extra_steps + num_steps)` points are used up; from
            larger batches, only the first points are used. `None` for whole
            walks from each point. Defaults to `None`.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: Data `(batch, ..., features)`; for an operator with
            `num_classes`, a dictionary of such `"data"` and `"classes"`,
            integers `(batch,)`.
        training: Boolean.

    Returns:
        A dictionary of float32 tensors of a walk from each point, in nats:
        `"forward"` and `"reverse"`, `(batch, steps)`, log-densities of each
        step and of its way back; `"prior"`, `(batch,)`, the log-density of the
        last state under `p*`; `"bound"`, `(batch,)`, a lower bound of the
        log-likelihood; `"step_size"`, `(batch, steps)`, the root mean square of
        each step; `"acceptance"`, `(batch,)`; `"last"`, the last state.

    `fit` and `evaluate` report `loss` and the means of `bound`,
    `reverse_log_prob` (per step), `step_size` and `acceptance`, the probability
    that the Metropolis-Hastings rule would accept a step from the data at the
    last temperature if `p*` were the target. Near 1, the hottest operator
    leaves `p*` unchanged, and `p*` covers the data. A non-finite loss ends
    `fit` with an error that names the batch. `sample_weight` weights points,
    also in the moments of `p*`.

    Raises:
        ValueError: if an argument or the data are invalid.

    Example:

    ```python
    import numpy as np

    from keras_seqcredit import layers
    from keras_seqcredit import models

    network = models.transition_mlp(2, units=(32, 32))
    model = models.VariationalWalkback(
        layers.GaussianTransition(network), num_steps=8
    )
    model.compile("adam")
    model.fit(np.random.normal(size=(64, 2)), batch_size=32)
    samples = model.sample(100, seed=0)
    assert samples.shape == (100, 2)
    ```

    References:
        - Goyal et al., "Variational Walkback: Learning a Transition Operator
          as a Stochastic Recurrent Net", NeurIPS 2017, arXiv:1711.02282.
    """

    _objects = ("transition",)

    def __init__(
        self,
        transition: Transition,
        num_steps: int | str,
        extra_steps: int = 0,
        temperature_factor: float = 2.0,
        initial_temperature: float = 1.0,
        online: bool = False,
        dequantize: bool = False,
        momentum: float = 0.99,
        steps_per_call: int | str | None = AUTO,
        seed: int | None = None,
        class_dropout: float = 0.1,
        num_walkers: int | None = None,
        **kwargs: Any,
    ) -> None:
        # Data are not rounded to half precision; see `Transition`.
        super().__init__(autocast=False, **kwargs)
        # Passed args.
        self.transition = transition
        self.num_steps: Any = num_steps
        self.extra_steps = extra_steps
        self.temperature_factor = check_number(
            "temperature_factor", temperature_factor, largest=_FINITE
        )
        self.initial_temperature = check_number(
            "initial_temperature", initial_temperature, largest=_FINITE
        )
        self.online = check_flag("online", online)
        self.dequantize = check_flag("dequantize", dequantize)
        self.momentum = check_share("momentum", momentum)
        self.steps_per_call: Any = steps_per_call
        self.seed = check_seed(seed)
        self.class_dropout = check_share("class_dropout", class_dropout)
        self.num_walkers = check_integer(
            "num_walkers", num_walkers, optional=True
        )
        self._check()

        # Other args.
        self.seed_generator = ReplicaSeed(self.seed)
        self._terms = {
            name: keras.metrics.Mean(name=name)
            for name in ("bound", "reverse_log_prob", "step_size", "acceptance")
        }
        self.prior_mean: Any = None
        self.prior_variance: Any = None
        self.updates: Any = None
        self.batches: Any = None
        self.walkers: Any = None

    def _check(self) -> None:
        if not isinstance(self.transition, Transition):
            raise ValueError(
                "Expected `transition` to be a `Transition`. "
                f"Received: transition={self.transition!r}"
            )
        check_integer("extra_steps", self.extra_steps, minimum=0)
        if not _is_auto(self.steps_per_call):
            check_integer("steps_per_call", self.steps_per_call, optional=True)
        if self.online and self.num_walkers is not None:
            raise ValueError(
                "Expected `num_walkers=None` with `online=True`, which updates "
                f"after each step. Received: num_walkers={self.num_walkers}"
            )
        variance = self.transition.smallest_variance
        if self.dequantize and variance is None:
            raise ValueError(
                "Expected an operator of real states for `dequantize=True`. "
                f"Received: {type(self.transition).__name__}"
            )
        if not _is_auto(self.num_steps):
            self._check_steps(check_integer("num_steps", self.num_steps))
        elif variance is None or self.temperature_factor <= 1:
            raise ValueError(
                "Expected an operator with a smallest variance and a "
                "`temperature_factor` above 1 for `num_steps='auto'`. "
                f"Received: {type(self.transition).__name__}, "
                f"temperature_factor={self.temperature_factor}"
            )

    def _check_steps(self, num_steps) -> None:
        """Checks the number of steps against the operator and float32."""
        known = self.transition.num_steps
        total = self.extra_steps + num_steps
        if known is not None and known < total:
            raise ValueError(
                "Expected an operator with `num_steps` of at least "
                f"{total}, `extra_steps + num_steps` of the walk. "
                f"Received: an operator with num_steps={known}"
            )
        schedule = self._schedule(num_steps)
        schedule.check_range()
        check_levels_of_walk(
            self.transition.level_temperatures, schedule.away()[0]
        )

    def _schedule(self, num_steps) -> TemperatureSchedule:
        return TemperatureSchedule(
            num_steps,
            self.extra_steps,
            self.temperature_factor,
            self.initial_temperature,
        )

    def schedule(self) -> TemperatureSchedule:
        return self._schedule(self.num_steps)

    def adapt(self, data: Any) -> None:
        """Chooses the number of steps for `num_steps="auto"`.

        `K = log(v_max / (initial_temperature * v_min)) /
        log(temperature_factor)`, rounded up and at least 1, with `v_max` the
        largest variance of a feature of the data and `v_min` the smallest
        variance of the operator: one more step would be as wide as the data.
        From then on, `num_steps` is this number, also in the saved model.

        Args:
            data: Array `(n, ..., features)`.

        Raises:
            ValueError: if `num_steps` is not `"auto"`, if the data vary only by
                rounding, or if this number of steps is not possible.
                `num_steps` then stays `"auto"`.
        """
        if self.num_steps != AUTO:
            raise ValueError(
                "Expected a model with `num_steps='auto'`. "
                f"Received: num_steps={self.num_steps}"
            )
        data = self._as_data(data)
        data = np.asarray(data, "float64") / (256 if self.dequantize else 1)
        rounding = np.finfo("float32").eps * np.abs(data).max(axis=0)
        varies = np.ptp(data, axis=0) > rounding
        largest = np.where(varies, data.var(axis=0), 0.0).max()
        if not largest > 0:
            raise ValueError(
                "Expected data whose features vary for `num_steps='auto'`. "
                f"Received: data with a largest variance of {largest}"
            )
        ratio = (
            largest
            / self.initial_temperature
            / self.transition.smallest_variance
        )
        steps = math.log(ratio) / math.log(self.temperature_factor)
        num_steps = max(1, math.ceil(steps))
        self._check_steps(num_steps)
        self.num_steps = num_steps

    @property
    def total_steps(self) -> int:
        """Steps of the walk, `extra_steps + num_steps`."""
        return self.schedule().total_steps

    @property
    def temperatures(self) -> np.ndarray:
        """Temperature of each step away from the data, `(total_steps,)`."""
        return self.schedule().away()[0]

    def build(self, inputs_shape) -> None:
        shape, *_ = data_and_classes(inputs_shape)
        event = tuple(shape[1:])
        if not event or None in event:
            raise ValueError(
                "Expected data of shape (batch, ..., features), all but the "
                f"batch known. Received: shape={tuple(shape)}"
            )
        if not self.transition.built:
            self.transition.build((None, *event))
            self.transition.built = True
        self.chain.check_losses(event)
        for name, initial in (("mean", "zeros"), ("variance", "ones")):
            variable = self.add_weight(
                shape=event,
                dtype="float32",
                autocast=False,
                initializer=initial,
                trainable=False,
                name=f"prior_{name}",
            )
            setattr(self, f"prior_{name}", variable)
        self.updates = schedules.add_counter(self)
        if self.transition.noise_levels is not None:
            self.batches = schedules.add_counter(self)
        if self.num_walkers is not None:
            self.walkers = Walkers(self.num_walkers, event, self.total_steps)
        self.built = True

    def call(self, inputs, training=False):
        split = self._classes_for_training if training else data_and_classes
        x, *given = split(inputs)
        chain = self.chain.given(*given)
        first, schedule = self._start_walk(
            x, self._walk_keys(self.seed_generator)
        )

        def step(state, given):
            after, forward = chain.advance(state, *given)
            return after, (after, forward)

        _, (states, forward) = backend.scan(
            step, first, schedule, self.total_steps
        )
        # Also here: a loop whose outputs are used would be differentiated.
        states, forward = map(ops.stop_gradient, (states, forward))
        before = ops.concatenate([first[None], states[:-1]], axis=0)
        size = self.steps_per_call
        if size in (None, AUTO):
            size = self.total_steps
        reverse = chain.go_back_all(
            before, states, schedule[1:], size, training
        )
        sizes = step_size(before, states, axis=2)
        return self._walk_summary(
            first, states[-1], forward, reverse, sizes, given
        )

    def _classes_for_training(self, inputs):
        """`[data]` or `[data, classes]`, with some classes dropped."""
        x, *classes = data_and_classes(inputs)
        dropout = self.class_dropout
        if not classes or not dropout:
            return [x, *classes]
        known = ops.cast(classes[0], "int32")
        chance = keras.random.uniform(
            ops.shape(known), seed=self.seed_generator
        )
        unknown = ops.full_like(known, self.transition.num_classes)
        return [x, ops.where(chance < dropout, unknown, known)]

    def _walk_summary(self, first, last, forward, reverse, sizes, given=()):
        """Summarizes a walk, with the steps of each point in a row."""
        prior = self.prior().score(last)
        bound = prior + ops.sum(reverse - forward, axis=0) + self._log_volume()
        walk = {
            "forward": ops.transpose(forward),
            "reverse": ops.transpose(reverse),
            "prior": prior,
            "bound": bound,
            "step_size": ops.transpose(sizes),
            "acceptance": self._acceptance(first, given),
            "last": last,
        }
        if self.transition.noise_levels is not None:
            walk["first"] = first
        return walk

    def _acceptance(self, state, given=()):
        """Acceptance of a step at the last temperature, with target p*."""
        key = FixedSeed.draw(self.seed_generator, 1, self.seed_generator)[0]
        temperature = self.temperatures[-1]
        step = self.total_steps - 1
        chain = self.chain.given(*given)
        after, forward = chain.advance(state, key, temperature, step)
        _, reverse = chain.go_back(state, after, temperature, step)
        prior = self.prior()
        ratio = prior.score(after) + reverse
        ratio = ratio - prior.score(state) - forward
        return ops.stop_gradient(ops.exp(ops.minimum(ratio, 0.0)))

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del x, y
        sample_weight = example_weights(sample_weight)
        cost = -ops.sum(y_pred["reverse"], axis=1)
        loss = self._mean_loss(cost, sample_weight)
        self._update_state(y_pred, sample_weight, training)
        return loss

    def _mean_loss(self, cost, sample_weight):
        """The replica's share of the mean over points."""
        return self._scaled_for_replicas(self._mean_cost(cost, sample_weight))

    def _update_state(
        self, walk, sample_weight, training, of_steps=None, of_last=None
    ) -> None:
        """Updates the metrics and, in training, the moments of p*.

        The weights of walkers differ from those of points; see `WalkerSteps`.
        """
        if of_steps is None:
            of_steps = of_last = sample_weight
        means = {
            "bound": (walk["bound"], of_last),
            "reverse_log_prob": (ops.mean(walk["reverse"], axis=1), of_steps),
            "step_size": (ops.mean(walk["step_size"], axis=1), of_steps),
            "acceptance": (walk["acceptance"], sample_weight),
        }
        for name, values in means.items():
            self._terms[name].update_state(*values)
        if training:
            rate = self.updates.value, self.momentum
            counts = self.prior().update(walk["last"], of_last, *rate)
            self.updates.assign_add(counts)
            if self.transition.noise_levels is not None:
                rate = self.batches.value, self.momentum
                data = StationaryPrior(
                    self.transition, *self.transition.noise_levels.moments
                )
                counts = data.update(walk["first"], sample_weight, *rate)
                self.batches.assign_add(counts)

    def train_step(self, *arguments):
        if not self.built:  # No `__call__` has built it.
            x, *_ = keras.utils.unpack_x_y_sample_weight(arguments[-1])
            self.build(keras.tree.map_structure(lambda leaf: leaf.shape, x))
        scores_in_walk = self.steps_per_call == AUTO and can_score_in_walk(self)
        if self.num_walkers is not None:
            return backend.train_in_steps(self, WalkerSteps(self), *arguments)
        if self.online or scores_in_walk:
            steps = WalkbackSteps(self)
            return backend.train_in_steps(self, steps, *arguments)
        return super().train_step(*arguments)

    def _report_walk(self, walk, sample_weight, loss, **weights):
        """The logs of a training step with a known loss."""
        self._update_state(walk, sample_weight, training=True, **weights)
        keras_private.loss_tracker(self).update_state(
            backend.num_replicas() * loss,
            sample_weight=ops.shape(walk["last"])[0],
        )
        return self.get_metrics_result()

    def train_on_batch(self, x, *args, **kwargs):
        """Like `keras.Model.train_on_batch`; checks the data."""
        return super().train_on_batch(self._checked(x), *args, **kwargs)

    def test_on_batch(self, x, *args, **kwargs):
        """Like `keras.Model.test_on_batch`; checks the data."""
        return super().test_on_batch(self._checked(x), *args, **kwargs)

    def _checked(self, data, name="data"):
        """Checks an array of data, or the first batch of a dataset."""
        _ = self.total_steps  # Raises if it is not known.
        return look_at(data, name, self._for_training, self._is_choosy())

    def _is_choosy(self) -> bool:
        """Whether there are finite numbers that are invalid as data."""
        possible = self.transition.is_possible(np.zeros(1))
        has_classes = self.transition.num_classes is not None
        return self.dequantize or possible is not None or has_classes

    def _for_training(self, inputs, name):
        """Data, with their classes if the operator has classes."""
        x, *classes = self._as_inputs(inputs, name)
        if self.transition.num_classes is None:
            return x
        if not classes:
            raise ValueError(
                f"Expected {name} to be a dictionary of {DATA!r} and "
                f"{CLASSES!r}, as the operator has "
                f"num_classes={self.transition.num_classes}. Received: an "
                "array"
            )
        return {DATA: x, CLASSES: classes[0]}

    def _as_data(self, x, name="data"):
        """Returns the data as an array, checked as far as possible."""
        shape = self.prior_mean.shape if self.built else None
        return readable_points(x, name, self.transition, shape, self.dequantize)

    def get_config(self):
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return {**super().get_config(), **numbers}


_NUMBERS = (
    "num_steps",
    "extra_steps",
    "temperature_factor",
    "initial_temperature",
    "online",
    "dequantize",
    "momentum",
    "steps_per_call",
    "seed",
    "class_dropout",
    "num_walkers",
)


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == AUTO
