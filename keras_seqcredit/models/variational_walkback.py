"""Variational Walkback: a Markov chain that learns to return to the data."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit import schedules
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_number
from keras_seqcredit.checks import fits
from keras_seqcredit.layers.saved_seed import ReplicaSeed
from keras_seqcredit.layers.saved_seed import SavedSeed
from keras_seqcredit.layers.side_effects import added_losses
from keras_seqcredit.layers.transition import Transition
from keras_seqcredit.models.chain_model import ChainModel
from keras_seqcredit.models.generative_model import example_weights
from keras_seqcredit.models.given_key import GivenKey
from keras_seqcredit.registration import public

AUTO = "auto"


@public
class VariationalWalkback(SavedSeed, ChainModel):
    """A generative Markov chain, trained to undo its own walk away from data.

    Fit it on data. From a point `s_0` the chain walks away, hotter with each
    step, and learns to walk back: the density of the state before, under the
    operator at the state after.

    ```
    s_t ~ p(s_t | s_{t-1}; T_t)        for t = 1 .. extra_steps + num_steps
    loss = - sum over t of log p(s_{t-1} | sg(s_t); T_t)
    T_{t+1} = temperature_factor * T_t if t > extra_steps, else T_t
    ```

    averaged over points. States are constants for the gradient. The last ones
    are described by `p*`, independent features with the running moments of
    `s_K`; sampling starts there and cools down.

    On an accelerator the whole walk is sampled first, and all its steps are
    scored in one call of the operator on `steps * batch` rows: what a device
    does best that computes many rows at once. A processor walks and scores in
    the same loop where it can, which spares a pass of the network for each
    step, see `steps_per_call`. With `online=True` the weights are updated after
    each step instead, which the next step then uses; the optimizer counts each
    of these updates, and each has the whole loss of the weights' regularizers.

    Args:
        transition: A `Transition`, its network without activity regularizers
            or `add_loss`.
        num_steps: Positive integer, steps of the walk on which the temperature
            rises, `K`; or `"auto"`, so many that the walk spans the data: see
            `adapt`.
        extra_steps: Non-negative integer, steps before those, at the initial
            temperature. Defaults to `0`.
        temperature_factor: Positive float. Defaults to `2.0`.
        initial_temperature: Positive float. Defaults to `1.0`.
        online: Boolean, whether to update after each step. Defaults to
            `False`.
        dequantize: Boolean, for images of integers from 0 to 255: uniform
            noise makes densities of them, `(x + u) / 256`. Samples are such
            images again, and likelihoods are of them. Defaults to `False`.
        momentum: Float in `[0, 1)`, of the moments of `p*`. The first batches
            are averaged. Defaults to `0.99`.
        steps_per_call: Positive integer, steps that are scored in one call of
            the operator, `None` for all, or `"auto"`. The loss is the same, but
            for layers that normalise over the rows of a call. `"auto"` is all
            on an accelerator; on a processor a step is scored as soon as it is
            taken, in the memory of one step, by the pass of the network that
            the next one is drawn from, unless it sees which step it is. It is
            all there, too, if devices share a batch, and for a network with
            anything but layers of Keras that are the same in training, without
            regularizers. Defaults to `"auto"`.
        seed: Integer or None, of walks and samples.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: Data `(batch, ..., features)`.
        training: Boolean.

    Returns:
        A dictionary of float32 tensors of a walk from each point, in nats:
        `"forward"` and `"reverse"`, `(batch, steps)`, log-densities of each
        step and of its way back; `"prior"`, `(batch,)`, that of the last state
        under `p*`; `"bound"`, `(batch,)`, a lower bound of the log-likelihood;
        `"step_size"`, `(batch, steps)`, the root mean square of each step;
        `"acceptance"`, `(batch,)`; `"last"`, the last state.

    `fit` and `evaluate` report `loss` and the means of `bound`,
    `reverse_log_prob` (a step), `step_size` and `acceptance`: the probability
    that a step from the data at the last temperature would be accepted by the
    rule of Metropolis and Hastings, were `p*` the target. Near 1 the hottest
    operator leaves `p*` as it is, and `p*` covers the data. A loss that is not
    finite ends `fit` with the batch it came from. `sample_weight` weights
    points, in the moments of `p*` too.

    Raises:
        ValueError: if an argument or the data do not fit.

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
        **kwargs: Any,
    ) -> None:
        # Data are not rounded to half precision, see `Transition`.
        super().__init__(autocast=False, **kwargs)
        # Passed args.
        self.transition = transition
        self.num_steps: Any = num_steps
        self.extra_steps = extra_steps
        self.temperature_factor = check_number(
            "temperature_factor", temperature_factor
        )
        self.initial_temperature = check_number(
            "initial_temperature", initial_temperature
        )
        self.online = online
        self.dequantize = dequantize
        self.momentum = check_number(
            "momentum", momentum, "a number in [0, 1)", lambda x: 0 <= x < 1
        )
        self.steps_per_call: Any = steps_per_call
        self.seed = seed
        self._check()

        # Other args.
        self.seed_generator = ReplicaSeed(seed)
        self._terms = {
            name: keras.metrics.Mean(name=name)
            for name in ("bound", "reverse_log_prob", "step_size", "acceptance")
        }
        self.prior_mean: Any = None
        self.prior_variance: Any = None
        self.updates: Any = None

    def _check(self) -> None:
        if not isinstance(self.transition, Transition):
            raise ValueError(
                "Expected `transition` to be a `Transition`. "
                f"Received: transition={self.transition!r}"
            )
        check_integer("extra_steps", self.extra_steps, minimum=0)
        if self.steps_per_call != AUTO:
            check_integer("steps_per_call", self.steps_per_call, optional=True)
        variance = self.transition.smallest_variance
        if self.dequantize and variance is None:
            raise ValueError(
                "Expected an operator of real states for `dequantize=True`. "
                f"Received: {type(self.transition).__name__}"
            )
        if self.num_steps != AUTO:
            self._check_steps(check_integer("num_steps", self.num_steps))
        elif variance is None or self.temperature_factor <= 1:
            raise ValueError(
                "Expected an operator with a smallest variance and a "
                "`temperature_factor` above 1 for `num_steps='auto'`. "
                f"Received: {type(self.transition).__name__}, "
                f"temperature_factor={self.temperature_factor}"
            )

    def _check_steps(self, num_steps) -> None:
        """Whether there can be so many, for the operator and in float32."""
        known = self.transition.num_steps
        total = self.extra_steps + num_steps
        if known is not None and known < total:
            raise ValueError(
                "Expected an operator with `num_steps` of at least "
                f"{total}, `extra_steps + num_steps` of the walk. "
                f"Received: an operator with num_steps={known}"
            )
        # Logarithms do not overflow.
        first = math.log10(self.initial_temperature)
        last = first + (num_steps - 1) * math.log10(self.temperature_factor)
        if min(first, last) < -37 or max(first, last) > 38:
            raise ValueError(
                "Expected temperatures between 1e-37 and 1e38, as float32 has "
                f"them. Received: 1e{first:.3g} to 1e{last:.3g}, for "
                f"initial_temperature={self.initial_temperature}, "
                f"temperature_factor={self.temperature_factor}, "
                f"num_steps={num_steps}"
            )

    def adapt(self, data: Any) -> None:
        """Chooses the number of steps for `num_steps="auto"`.

        `K = log(v_max / (initial_temperature * v_min)) /
        log(temperature_factor)`, rounded up and at least 1, with `v_max` the
        largest variance of a feature of the data and `v_min` the smallest
        variance of the operator: one step more would be as wide as the data.
        `num_steps` is that number from then on, also in the saved model.

        Args:
            data: Array `(n, ..., features)`.

        Raises:
            ValueError: if the number of steps is not left open, if the data
                have no variance but that of rounding, or if so many steps
                cannot be; `num_steps` is left open then.
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
    def total_steps(self) -> int:  # type: ignore[override]
        """Steps of the walk, `extra_steps + num_steps`."""
        if self.num_steps == AUTO:
            raise ValueError(
                "The number of steps is not known yet. Expected a call of "
                "`adapt(data)` first. Received: num_steps='auto'"
            )
        return self.extra_steps + self.num_steps

    @property
    def temperatures(self) -> np.ndarray:  # type: ignore[override]
        """Temperature of each step away from the data, `(total_steps,)`."""
        rises = np.maximum(np.arange(self.total_steps) - self.extra_steps, 0)
        # Not of integers, whose powers overflow.
        found = float(self.temperature_factor) ** rises
        return (self.initial_temperature * found).astype("float32")

    def build(self, inputs_shape) -> None:
        event = tuple(inputs_shape[1:])
        if not event or None in event:
            raise ValueError(
                "Expected data of shape (batch, ..., features), all but the "
                f"batch known. Received: shape={tuple(inputs_shape)}"
            )
        if not self.transition.built:
            self.transition.build((None, *event))
            self.transition.built = True
        self._check_losses(event)
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
        self.built = True

    def _check_losses(self, event) -> None:
        """Losses that a call adds would count every call of the network.

        A walk calls it more often than it scores a step, and in a loop.
        """
        for layer in self.transition._flatten_layers():
            regularizer = getattr(layer, "activity_regularizer", None)
            if regularizer is not None:
                raise ValueError(
                    "Expected a network without activity regularizers; those "
                    "of weights may be there. Received: a layer "
                    f"{layer.name!r} with activity_regularizer={regularizer}"
                )
        found = added_losses(
            lambda state, step: self.transition(state, step, training=True),
            keras.KerasTensor((1, *event), self.transition.parameter_dtype),
            keras.KerasTensor((1,), "int32"),
        )
        if found:
            raise ValueError(
                "Expected a network whose layers add no losses; regularizers "
                "of weights may be there. Received: a network "
                f"{self.transition.network.name!r} with `add_loss`, "
                f"{found} times a call"
            )

    def call(self, inputs, training=False):
        first, schedule = self._start(inputs, self._keys(self.seed_generator))
        _, (states, forward) = backend.scan(
            lambda state, given: self._twice(self._advance(state, *given)),
            first,
            schedule,
            self.total_steps,
        )
        # Here too: a loop whose outputs are used would be differentiated.
        states, forward = map(ops.stop_gradient, (states, forward))
        before = ops.concatenate([first[None], states[:-1]], axis=0)
        reverse = self._reverse_all(before, states, schedule, training)
        sizes = _step_size(before, states, axis=2)
        return self._walked(first, states[-1], forward, reverse, sizes)

    def _keys(self, generator):
        """Those of the steps of a walk, and one for the data."""
        return GivenKey.draw(
            generator, self.total_steps + 1, self.seed_generator
        )

    def _start(self, inputs, keys):
        """The data as states, and what each step of the walk is given."""
        steps = ops.arange(self.total_steps, dtype="int32")
        temperatures = ops.convert_to_tensor(self.temperatures)
        first = self._to_states(inputs, keys[-1])
        return first, (keys[:-1], temperatures, steps)

    @staticmethod
    def _twice(found):
        """The state goes on, and out."""
        return found[0], found

    def _advance(self, state, key, temperature, step):
        """A step of the chain: the next state, a constant, and its density."""
        steps = ops.broadcast_to(step, ops.shape(state)[:1])
        parameters = self.transition(state, steps, training=False)
        return self._draw(parameters, state, key, temperature)

    def _draw(self, parameters, state, key, temperature):
        """`_advance`, where the parameters at the state are known."""
        noise = self.transition.noise(ops.shape(state), GivenKey(key))
        after = self.transition.sample(parameters, noise, temperature)
        after = ops.stop_gradient(after)
        return after, self.transition.log_prob(parameters, after, temperature)

    def _back(self, before, after, steps, training=False):
        """Parameters of the way back: those of the operator AT states after.

        Not at those before: that would reward an operator that stands still.
        """
        del before
        return self.transition(after, steps, training=training)

    def _reverse(self, before, after, temperature, steps, training=False):
        """Log-density of the states before, on the way back to them."""
        parameters = self._back(before, after, steps, training)
        return self.transition.log_prob(parameters, before, temperature)

    def _reverse_all(self, before, after, schedule, training):
        """`_reverse` of all steps, `(steps, batch)`."""
        _, temperatures, steps = schedule
        size = self.steps_per_call
        if size in (None, AUTO):
            size = self.total_steps
        pieces = [slice(i, i + size) for i in range(0, self.total_steps, size)]
        found = [
            self._reverse_some(
                before[piece],
                after[piece],
                temperatures[piece],
                steps[piece],
                training,
            )
            for piece in pieces
        ]
        return found[0] if len(found) == 1 else ops.concatenate(found, axis=0)

    def _reverse_some(self, before, after, temperatures, steps, training):
        """`_reverse` of some steps in one call, `(steps, batch)`."""
        # Steps of a point side by side, so that devices can share the points.
        before, after = (ops.swapaxes(x, 0, 1) for x in (before, after))
        shape = ops.shape(after)[:2]
        event = after.shape[2:]
        temperature, step = (
            ops.reshape(ops.broadcast_to(x[None], shape), (-1,))
            for x in (temperatures, steps)
        )
        before = ops.reshape(before, (-1, *event))
        after = ops.reshape(after, (-1, *event))
        reverse = self._reverse(before, after, temperature, step, training)
        return ops.transpose(ops.reshape(reverse, shape))

    def _walked(self, first, last, forward, reverse, sizes):
        """What is known of a walk, steps of each point in a row."""
        prior = self.transition.score(self._prior(), last)
        bound = prior + ops.sum(reverse - forward, axis=0) + self._volume()
        return {
            "forward": ops.transpose(forward),
            "reverse": ops.transpose(reverse),
            "prior": prior,
            "bound": bound,
            "step_size": ops.transpose(sizes),
            "acceptance": self._acceptance(first),
            "last": last,
        }

    def _prior(self):
        return self.transition.prior(
            ops.cast(self.prior_mean, self.transition.parameter_dtype),
            ops.cast(self.prior_variance, self.transition.parameter_dtype),
        )

    def _volume(self) -> float:
        """From densities of states to those of the data, in nats."""
        if not self.dequantize:
            return 0.0
        return -math.log(256) * math.prod(self.prior_mean.shape)

    def _acceptance(self, state):
        """Of a step at the last temperature, were p* the target."""
        key = GivenKey.draw(self.seed_generator, 1, self.seed_generator)[0]
        temperature = self.temperatures[-1]
        step = self.total_steps - 1
        after, forward = self._advance(state, key, temperature, step)
        steps = ops.broadcast_to(step, ops.shape(state)[:1])
        reverse = self._reverse(state, after, temperature, steps)
        prior = self._prior()
        ratio = self.transition.score(prior, after) + reverse
        ratio = ratio - self.transition.score(prior, state) - forward
        return ops.stop_gradient(ops.exp(ops.minimum(ratio, 0.0)))

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del x, y
        sample_weight = example_weights(sample_weight)
        loss = self._loss(-ops.sum(y_pred["reverse"], axis=1), sample_weight)
        self._observe(y_pred, sample_weight, training)
        return loss

    def _loss(self, cost, sample_weight):
        """The mean over points, and the losses that layers have added."""
        added = self._added_losses()
        if sample_weight is not None:
            cost = cost * ops.cast(sample_weight, cost.dtype)
        return self._scaled_for_replicas(ops.mean(cost) + added)

    def _observe(self, walked, sample_weight, training) -> None:
        """Updates the metrics and, in training, the moments of p*."""
        means = {
            "bound": walked["bound"],
            "reverse_log_prob": ops.mean(walked["reverse"], axis=1),
            "step_size": ops.mean(walked["step_size"], axis=1),
            "acceptance": walked["acceptance"],
        }
        for name, values in means.items():
            self._terms[name].update_state(values, sample_weight)
        if not training:
            return
        last = ops.cast(walked["last"], "float32")
        weight = ops.ones(ops.shape(last)[:1])
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
        total = backend.replica_mean(ops.sum(weight))
        weight = ops.reshape(weight, (-1,) + (1,) * (len(last.shape) - 1))

        def average(values):
            found = backend.replica_mean(ops.sum(weight * values, axis=0))
            return ops.divide_no_nan(found, total)

        count = ops.cast(self.updates.value, "float32")
        rate = ops.maximum(1 / (count + 1), 1 - self.momentum)
        # A batch without weight says nothing.
        rate = ops.where(total > 0, rate, 0.0)
        mean = average(last)
        variance = average(ops.square(last - mean))
        gap = mean - self.prior_mean.value
        variance = variance - self.prior_variance.value
        variance = variance + (1 - rate) * ops.square(gap)
        self.prior_mean.assign_add(rate * gap)
        self.prior_variance.assign_add(rate * variance)
        self.updates.assign_add(ops.cast(total > 0, "int32"))

    def train_step(self, *arguments):
        if self.online or self._scores_in_walk():
            return backend.train_in_steps(self, *arguments)
        return super().train_step(*arguments)

    def _scores_in_walk(self) -> bool:
        """Whether to score each step as soon as it is taken."""
        return (
            self.steps_per_call == AUTO
            and backend.on_processor()
            and backend.num_shares(self) == 1
            and keras.distribution.distribution() is None
            # Nor has it anything that training changes, or random numbers.
            and not self.transition.non_trainable_variables
            and all(map(_is_plain, self.transition.network._flatten_layers()))
        )

    @property
    def _shares_passes(self) -> bool:
        """Whether the next step is drawn from the pass that scored one.

        Not with new weights, nor where the network sees which step it is.
        """
        return not self.online and self.transition.num_steps is None

    @property
    def convolves(self) -> bool:
        """Whether the network has convolutions, see `train_in_steps`."""
        found = self.transition._flatten_layers()
        return any(isinstance(layer, _CONVOLUTIONS) for layer in found)

    def start_steps(self, data):
        """Before the loop of `backend.train_in_steps`."""
        x, _, weight = keras.utils.unpack_x_y_sample_weight(data)
        if not self.built:  # No `__call__` has done it.
            self.build(x.shape)
        first, schedule = self._start(x, self._keys(self.seed_generator))
        weight = example_weights(weight)
        if weight is None:
            weight = ops.ones(ops.shape(first)[:1])
        known = self.transition(first) if self._shares_passes else ()
        return (first, first, weight, known), schedule, self.total_steps

    def step(self, carry, given):
        """One step of the walk, and the loss of its way back."""
        before, first, weight, known = carry
        key, temperature, step = given
        if self._shares_passes:
            after, forward = self._draw(known, before, key, temperature)
        else:
            after, forward = self._advance(before, *given)
        steps = ops.broadcast_to(step, ops.shape(before)[:1])
        parameters = self._back(before, after, steps, training=True)
        reverse = self.transition.log_prob(parameters, before, temperature)
        loss = self._loss(-reverse, weight)
        if self._shares_passes:
            known = ops.stop_gradient(parameters)
        size = _step_size(before, after, axis=1)
        carry = after, first, weight, known
        return loss, (carry, (loss, forward, reverse, size))

    def end_steps(self, carry, ys):
        """After the loop; returns the logs."""
        last, first, weight, _ = carry
        losses, *found = ys
        self._observe(self._walked(first, last, *found), weight, training=True)
        self._loss_tracker.update_state(
            backend.num_replicas() * ops.sum(losses),
            sample_weight=ops.shape(first)[0],
        )
        return self.get_metrics_result()

    def train_on_batch(self, x, *args, **kwargs):
        """As `keras.Model.train_on_batch`; checks the data."""
        return super().train_on_batch(self._checked(x), *args, **kwargs)

    def test_on_batch(self, x, *args, **kwargs):
        """As `keras.Model.test_on_batch`; checks the data."""
        return super().test_on_batch(self._checked(x), *args, **kwargs)

    def _checked(self, data, name="data"):
        """An array that is one of data; of a data set the first batch is."""
        _ = self.total_steps  # Raises if it is not known.
        if hasattr(data, "shape"):
            return self._as_data(data, name)
        # No batch is drawn for an operator that takes any.
        if self._is_choosy():
            batch: Any = None
            if isinstance(data, keras.utils.PyDataset):
                batch = data[0]
            elif hasattr(data, "element_spec") and hasattr(data, "take"):
                batch = next(iter(data.take(1)), None)
            inputs, *_ = keras.utils.unpack_x_y_sample_weight(batch)
            if inputs is not None:
                self._as_data(inputs, f"{name}, the first batch,")
        return data

    def _is_choosy(self) -> bool:
        """Whether there are finite numbers that data may not be."""
        possible = self.transition.is_possible(np.zeros(1))
        return self.dequantize or possible is not None

    def _as_data(self, x, name="data"):
        """An array, checked as far as the model knows what it must be."""
        x = np.asarray(x)
        if self.built and not fits(x.shape[1:], self.prior_mean.shape):
            raise ValueError(
                f"Expected {name} of shape "
                f"{('batch', *self.prior_mean.shape)}. "
                f"Received: shape={x.shape}"
            )
        if self.dequantize and not _is_grey_level(x).all():
            raise ValueError(
                f"Expected {name} of integers from 0 to 255 for "
                f"`dequantize=True`. Received: values from {x.min()} to "
                f"{x.max()}, dtype={x.dtype}"
            )
        possible = self.transition.is_possible(x)
        # NaN is for `FiniteLoss`, which knows its batch.
        if possible is not None and not (possible | np.isnan(x)).all():
            wrong = x[~(possible | np.isnan(x))]
            raise ValueError(
                f"Expected {name} that {type(self.transition).__name__} can "
                f"make, such as 0 and 1. Received: {len(wrong)} other values, "
                f"such as {wrong[0]}"
            )
        return x

    def _to_states(self, inputs, key):
        """Data as states; without a key in the middle of its interval."""
        x = ops.cast(inputs, self.transition.parameter_dtype)
        if not self.dequantize:
            return x
        # `fit` checks the first batch of a data set, this the others.
        x = ops.where(_is_grey_level(x), x, math.nan)
        noise: Any = 0.5
        if key is not None:
            noise = keras.random.uniform(
                ops.shape(x), seed=GivenKey(key), dtype=x.dtype
            )
        return (x + noise) / 256

    def get_config(self):
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return {**super().get_config(), **numbers}


_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3D,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)

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
)


def _is_grey_level(x):
    """Where numbers, of any library, are integers from 0 to 255."""
    return (x >= 0) & (x <= 255) & (x % 1 == 0)


def _is_plain(layer) -> bool:
    """Whether a layer without state is the same in training."""
    regularizers = (v for k, v in vars(layer).items() if "regularizer" in k)
    return _is_of_keras(layer) and not any(regularizers)


def _is_of_keras(layer) -> bool:
    """Whether it is not of another library, which may do anything."""
    return type(layer).__module__.startswith("keras.")


def _step_size(before, after, axis):
    """Root mean square over features."""
    axes = tuple(range(axis, len(after.shape)))
    return ops.sqrt(ops.mean(ops.square(after - before), axis=axes))
