"""Samples, walks and likelihoods of a Markov chain."""

import math
from typing import Any

import numpy as np
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_non_negative
from keras_seqcredit.checks import check_number
from keras_seqcredit.layers.transitions.transition import Transition
from keras_seqcredit.models.generative_model import GenerativeModel
from keras_seqcredit.models.generative_model import log_mean
from keras_seqcredit.models.grey_levels import levels_of
from keras_seqcredit.models.grey_levels import log_volume
from keras_seqcredit.models.grey_levels import states_of
from keras_seqcredit.models.markov_chain import MarkovChain
from keras_seqcredit.models.readable_points import CLASSES
from keras_seqcredit.models.readable_points import DATA
from keras_seqcredit.models.readable_points import data_and_classes
from keras_seqcredit.models.readable_points import readable_classes
from keras_seqcredit.models.sampling_schedule import way_back
from keras_seqcredit.models.stationary_prior import StationaryPrior
from keras_seqcredit.models.temperature_schedule import TemperatureSchedule
from keras_seqcredit.seeds import FixedSeed


class ChainModel(GenerativeModel):
    """Abstract base of Markov chain models with a known end distribution.

    A subclass implements `schedule` and `_as_data`. Everything is compiled,
    once per shape.

    Attributes:
        transition: The `Transition`.
        dequantize: Boolean, whether data are gray levels.
        prior_mean: Variable, mean of `p*`.
        prior_variance: Variable, variance of `p*`.
    """

    transition: Transition
    dequantize: bool
    prior_mean: Any
    prior_variance: Any

    @property
    def chain(self) -> MarkovChain:
        """The chain of the operator."""
        return MarkovChain(self.transition)

    def prior(self) -> StationaryPrior:
        """`p*` with its current moments."""
        return StationaryPrior(
            self.transition, self.prior_mean, self.prior_variance
        )

    def schedule(self) -> TemperatureSchedule:
        """The temperature of each step of a walk."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `schedule`."
        )

    def _as_data(self, x, name="data"):
        """Returns the data as an array, checked as far as possible."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `_as_data`."
        )

    def sample(
        self,
        num_samples: int = 1,
        *,
        extra_steps: int = 0,
        return_trajectory: bool = False,
        seed: Any = None,
        schedule: Any = None,
        steps: Any = None,
        repeats: int = 1,
        denoise: bool = False,
        classes: Any = None,
        guidance: float | None = None,
        start: Any = None,
    ) -> np.ndarray:
        """Draws from `p*`, then walks while the operator cools down.

        Args:
            num_samples: Positive integer, number of samples; with `start`,
                there are as many as it has states. Defaults to `1`.
            extra_steps: Non-negative integer, additional steps after the way
                back, at its last temperature, which is the initial temperature
                unless `schedule` is given. Defaults to `0`.
            return_trajectory: Boolean, whether to return all states. Defaults
                to `False`.
            seed: Integer or `keras.random.SeedGenerator`, or None for the
                model's own. Defaults to `None`.
            schedule: Sequence of positive, non-increasing numbers, the
                temperatures of the way back, or None for the temperatures of
                training. Defaults to `None`.
            steps: Sequence of as many integers, the step passed at each
                temperature to an operator that sees its step; or None for the
                step of the walk with the nearest temperature. Defaults to
                `None`.
            repeats: Positive integer, number of steps at each temperature.
                Defaults to `1`.
            denoise: Boolean, whether to finish with a noiseless step, as in
                `denoise`. Defaults to `False`.
            classes: Integer, or integers `(num_samples,)`, classes of the
                samples for an operator with `num_classes`, or None for any
                class. Defaults to `None`.
            guidance: Number, factor by which to amplify the effect of a class
                on the operator; 1 if None. Above 1, samples are more typical of
                their class and less diverse. Defaults to `None`.
            start: Array `(n, ..., features)`, states to cool down from, such as
                the output of `walk`, or None for draws from `p*`. If samples
                from the output of `walk` are better, `p*` is at fault. A model
                that dequantizes clips states to 0 and 255. Defaults to `None`.

        Returns:
            Numpy array `(num_samples, ..., features)`; with
            `return_trajectory`, `(steps + 1, num_samples, ..., features)`, the
            first states from `p*`. Float32, or uint8 for a model that
            dequantizes.

        Raises:
            ValueError: if an argument is invalid.
        """
        check_integer("num_samples", num_samples)
        way = self._way_back(extra_steps, schedule, steps, repeats)
        first = None
        if start is not None:
            first, _ = self._given(start)
            num_samples = len(first)
        given = self._given_classes(classes, guidance, num_samples)
        generator = self._generator(seed)
        if first is None:
            first = self._from_prior(num_samples, generator)
        return self._chain(
            first, way, generator, return_trajectory, given, denoise=denoise
        )

    def walk(
        self,
        x: Any,
        *,
        num_steps: int | None = None,
        temperature: float | None = None,
        return_trajectory: bool = False,
        seed: Any = None,
    ) -> np.ndarray:
        """Walks from given points.

        Args:
            x: Array `(n, ..., features)`, or a dictionary of such `"data"` and
                `"classes"`, integers `(n,)`, as in training. This holds for all
                methods.
            num_steps: Positive integer, number of steps at one temperature, or
                None for the walk of training, away from the data. Defaults to
                `None`.
            temperature: Positive float, temperature of the `num_steps` steps.
                Defaults to the initial temperature.
            return_trajectory: See `sample`; the first states are `x`.
            seed: See `sample`.

        Returns:
            Numpy array; see `sample`.

        Raises:
            ValueError: if an argument is invalid.
        """
        if num_steps is None:
            if temperature is not None:
                raise ValueError(
                    "Expected a temperature together with `num_steps`. "
                    f"Received: temperature={temperature}, num_steps=None"
                )
            schedule = self.schedule().away()
        else:
            check_integer("num_steps", num_steps)
            if temperature is None:
                temperature = self.schedule().first
            check_number("temperature", temperature)
            schedule = (
                np.full(num_steps, temperature, "float32"),
                np.zeros(num_steps, "int32"),
            )
        first, given = self._given(x)
        generator = self._generator(seed)
        return self._chain(first, schedule, generator, return_trajectory, given)

    def inpaint(
        self,
        x: Any,
        mask: Any,
        *,
        extra_steps: int = 0,
        return_trajectory: bool = False,
        seed: Any = None,
    ) -> np.ndarray:
        """Fills in unknown features, holding the known ones at each step.

        Args:
            x: Array `(n, ..., features)`; unknown features may hold any value
                that is valid in data.
            mask: Boolean array of the shape of `x` or of one of its elements,
                True where a feature is known.
            extra_steps: See `sample`.
            return_trajectory: See `sample`.
            seed: See `sample`.

        Returns:
            Numpy array; see `sample`. Known features are those of `x`.

        Raises:
            ValueError: if the shapes do not match.
        """
        states, given = self._given(x)
        shape = tuple(states.shape)
        mask = np.asarray(mask)
        if mask.shape not in (shape, shape[1:]) or mask.dtype != bool:
            raise ValueError(
                f"Expected a boolean mask of shape {shape} or {shape[1:]}. "
                f"Received: shape={mask.shape}, dtype={mask.dtype}"
            )
        mask = np.broadcast_to(mask, shape)
        schedule = self._way_back(extra_steps)
        generator = self._generator(seed)
        first = self._from_prior(len(states), generator)
        filled = self._chain(
            first, schedule, generator, return_trajectory, given, (mask, states)
        )
        x = np.asarray(data_and_classes(x)[0], filled.dtype)
        return np.where(mask, x, filled)

    def denoise(self, x: Any, num_steps: int = 1) -> np.ndarray:
        """Returns the mean of the operator at given points, at the first step.

        The mean is taken at the initial temperature, which matters only for
        binary data.

        Args:
            x: Array `(n, ..., features)`.
            num_steps: Positive integer, how many times the points are replaced
                by the mean. Defaults to `1`.

        Returns:
            Float32 array `(n, ..., features)`, or uint8 for a model that
            dequantizes.

        Raises:
            ValueError: if an argument is invalid.
        """
        check_integer("num_steps", num_steps)
        states, given = self._given(x)

        def run(states, given):
            chain = self.chain.given(*given)
            for _ in range(num_steps):
                states = self._without_noise(chain, states)
            return states

        run = self._compiled(("denoise", num_steps, len(given)), run)
        return self._to_data(run(states, given))

    def _without_noise(self, chain, states):
        """The mean of the operator, at its first step."""
        parameters = chain.parameters(states, None, training=False)
        return self.transition.mean(parameters, self.schedule().first)

    def log_likelihood_bound(
        self,
        x: Any,
        num_samples: int = 1,
        batch_size: int = 32,
        seed: Any = None,
    ) -> np.ndarray:
        """Computes the lower bound given by a walk from each point.

        `log p*(s_K) + sum_t log p(s_{t-1} | s_t; T_t) - log p(s_t | s_{t-1};
        T_t)`, averaged over walks.

        Args:
            x: Array `(n, ..., features)`.
            num_samples: Positive integer, number of walks from each point.
                Defaults to `1`.
            batch_size: Positive integer. Defaults to `32`.
            seed: See `sample`.

        Returns:
            Float32 array `(n,)`, nats.

        Raises:
            ValueError: if an argument is invalid.
        """
        bounds = [
            weights.mean(axis=0).astype("float32")
            for weights in self._log_weights(x, num_samples, batch_size, seed)
        ]
        return np.concatenate(bounds)

    def log_likelihood(
        self,
        x: Any,
        num_samples: int = 50,
        batch_size: int = 32,
        return_error: bool = False,
        seed: Any = None,
    ) -> Any:
        """Computes the importance-weighted log-likelihood.

        `log 1/K sum_k p(x, walk_k) / q(walk_k | x)` with `K` walks from each
        point, a lower bound that rises toward the log-likelihood as `K` grows.
        Walks start from `batch_size` points at a time, and only one number is
        kept per walk: memory grows neither with the number of points nor with
        the number of steps.

        Args:
            x: Array `(n, ..., features)`.
            num_samples: Positive integer, `K`. Defaults to `50`.
            batch_size: Positive integer. Defaults to `32`.
            return_error: Boolean, whether to also return the Monte Carlo error.
                Defaults to `False`.
            seed: See `sample`.

        Returns:
            Float32 array `(n,)`, in nats; with `return_error`, a pair of such
            arrays. The second is the standard error by the delta method, NaN
            for a single sample.
        """
        estimates = [
            log_mean(weights, return_error)
            for weights in self._log_weights(x, num_samples, batch_size, seed)
        ]
        if not check_flag("return_error", return_error):
            return np.concatenate(estimates)
        return tuple(map(np.concatenate, zip(*estimates, strict=True)))

    def _log_weights(self, x, num_samples, batch_size, seed):
        """Log-weights, float64 `(num_samples, batch)`, per batch of points."""
        check_integer("num_samples", num_samples)
        check_integer("batch_size", batch_size)
        self._check_built()
        x, *given = self._as_inputs(x)
        generator = self._generator(seed)
        run = self._compiled(("log_weight", len(given)), self._log_weight)
        for i in range(0, max(len(x), 1), batch_size):
            part = slice(i, i + batch_size)
            batch = ops.convert_to_tensor(x[part])
            classes = tuple(ops.convert_to_tensor(c[part]) for c in given)
            weights = np.empty((num_samples, len(batch)))
            for row in weights if len(batch) else ():
                keys = self._walk_keys(generator)
                row[:] = ops.convert_to_numpy(run(batch, keys, classes))
            yield weights

    def _log_weight(self, inputs, keys, given=()):
        """The log-weight of one walk from each point, `(batch,)`."""
        chain = self.chain.given(*given)
        first, schedule = self._start_walk(inputs, keys)

        def body(carry, given):
            before, weight = carry
            after, forward = chain.advance(before, *given)
            _, reverse = chain.go_back(before, after, *given[1:])
            return (after, weight + reverse - forward), ()

        weight = ops.zeros(ops.shape(first)[:1], first.dtype)
        (last, weight), _ = backend.scan(
            body, (first, weight), schedule, self.schedule().total_steps
        )
        return weight + self.prior().score(last) + self._log_volume()

    def _walk_keys(self, generator):
        """The keys of the steps of a walk, and one for the data."""
        number = self.schedule().total_steps + 1
        return FixedSeed.draw(generator, number, self.seed_generator)

    def _start_walk(self, inputs, keys):
        """The data as states, and the inputs of each step of the walk."""
        temperatures, steps = map(ops.convert_to_tensor, self.schedule().away())
        first = self._as_states(inputs, keys[-1])
        return first, (keys[:-1], temperatures, steps)

    def _as_states(self, inputs, key):
        """Data as states; without a key, in the middle of their intervals."""
        x = ops.cast(inputs, self.transition.parameter_dtype)
        return states_of(x, key) if self.dequantize else x

    def _log_volume(self) -> float:
        """Converts densities of states to densities of the data, in nats."""
        if not self.dequantize:
            return 0.0
        return log_volume(math.prod(self.prior_mean.shape))

    def _way_back(self, extra_steps, schedule=None, steps=None, repeats=1):
        """Temperatures and steps of the way back, then extra steps."""
        return way_back(self.schedule(), extra_steps, schedule, steps, repeats)

    def _given_classes(self, classes, guidance, length):
        """`()`, classes, or classes and guidance, for `length` states."""
        if classes is None:
            if guidance is not None:
                raise ValueError(
                    "Expected `classes` together with `guidance`. Received: "
                    f"guidance={guidance}, classes=None"
                )
            return ()
        classes = readable_classes(classes, self.transition.num_classes, length)
        if guidance is None:
            return (ops.convert_to_tensor(classes),)
        guidance = check_non_negative("guidance", guidance)
        dtype = self.transition.parameter_dtype
        return tuple(
            map(ops.convert_to_tensor, (classes, np.asarray(guidance, dtype)))
        )

    def _from_prior(self, num_samples, generator):
        self._check_built()
        shape = (num_samples, *self.prior_mean.shape)
        noise = self.transition.noise(shape, generator)
        run = self._compiled(("prior",), lambda noise: self.prior().draw(noise))
        return run(noise)

    def _chain(
        self,
        first,
        schedule,
        generator,
        return_trajectory,
        given=(),
        known=(),
        denoise=False,
    ):
        """Runs the operator and holds known features, if any."""
        check_flag("return_trajectory", return_trajectory)
        check_flag("denoise", denoise)
        keys = FixedSeed.draw(generator, len(schedule[0]), self.seed_generator)
        run = self._compiled(
            ("chain", return_trajectory, denoise, len(given), bool(known)),
            lambda *arguments: self._run_chain(
                return_trajectory, denoise, *arguments
            ),
        )
        schedule = tuple(map(ops.convert_to_tensor, schedule))
        known = tuple(map(ops.convert_to_tensor, known))
        return self._to_data(run(first, (keys, *schedule), given, known))

    def _run_chain(
        self, return_trajectory, denoise, first, schedule, given=(), known=()
    ):
        def hold(state):
            return ops.where(*known, state) if known else state

        chain = self.chain.given(*given)

        def body(state, given):
            state = hold(chain.advance(state, *given)[0])
            return state, state if return_trajectory else ()

        first = hold(first)
        last, states = backend.scan(body, first, schedule, schedule[0].shape[0])
        end = [self._without_noise(chain, last)] if denoise else []
        if not return_trajectory:
            return end[0] if denoise else last
        end = [state[None] for state in end]
        return ops.concatenate([first[None], states, *end], axis=0)

    def _given(self, x):
        """Points as states, and the class inputs of the chain."""
        self._check_built()
        x, *classes = self._as_inputs(x, name="points")
        states = self._as_states(x, None)
        return states, tuple(map(ops.convert_to_tensor, classes))

    def _as_inputs(self, inputs, name="data"):
        """Returns `[data]` or `[data, classes]`, checked."""
        if isinstance(inputs, dict) and inputs.keys() != {DATA, CLASSES}:
            raise ValueError(
                f"Expected an array, or a dictionary of {DATA!r} and "
                f"{CLASSES!r}. Received: {sorted(inputs)}"
            )
        x, *classes = data_and_classes(inputs)
        x = self._as_data(x, name)
        number = self.transition.num_classes
        return [x, *(readable_classes(c, number, len(x)) for c in classes)]

    def _to_data(self, states):
        states = ops.convert_to_numpy(states)
        if self.dequantize:
            return levels_of(states)
        return states.astype("float32")
