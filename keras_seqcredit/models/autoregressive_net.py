"""The network of an autoregressive model, as one value."""

import dataclasses
import functools
from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.backend import keras_private
from keras_seqcredit.layers.recurrent.replay import as_returned
from keras_seqcredit.layers.recurrent.replay import can_replay
from keras_seqcredit.layers.recurrent.replay import replay
from keras_seqcredit.layers.recurrent.replay import step_for_replay
from keras_seqcredit.models.sequences import Sequences
from keras_seqcredit.models.sequences import mixed
from keras_seqcredit.models.sequences import of_each_step
from keras_seqcredit.models.sequences import read_sequences
from keras_seqcredit.seeds import FixedSeed
from keras_seqcredit.types import Tensor


class Behavior(NamedTuple):
    """The behavior of a generator during a run over sequences.

    Attributes:
        hidden: `(batch, time, units)`, states of the core.
        parameters: `(batch, time, num_parameters)`, parameters of the head.
    """

    hidden: Any
    parameters: Tensor


class Runs(NamedTuple):
    """The behavior of a generator on data and on its own samples.

    Attributes:
        nats: `(batch, time)`, negative log-likelihood of the data.
        hidden: `(2 * batch, steps, units)`, states on data, then free-running
            states.
        parameters: `(2 * batch, steps, num_parameters)`, the head's parameters
            in the same order.
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

    def squared_distance(self) -> Tensor:
        """Distance of free states to constant ones on data, per sequence."""
        on_data, free = ops.split(ops.cast(self.hidden, "float32"), 2)
        square = (free - ops.stop_gradient(on_data)) ** 2
        if self.mask is not None:
            mask = self.mask[: ops.shape(square)[0], :, None]
            square = ops.where(mask, square, 0.0)
        return ops.mean(ops.sum(square, axis=(1, 2)))


@dataclasses.dataclass(frozen=True)
class AutoregressiveNet:
    """A core and a head with their surroundings, built; see `model.net`.

    Attributes:
        name: String, name of the model.
        core: The recurrent layer.
        head: The `DistributionHead`.
        embedding: The layer that turns steps into vectors, or None.
        condition_network: The layer that turns conditions into vectors, or
            None.
        seed_generator: Seed generator of samples.
        frame_size: Integer, number of features of a step as the core reads it.
        dtype: String, dtype of such steps.
    """

    name: str
    core: Any
    head: Any
    embedding: Any
    condition_network: Any
    seed_generator: keras.random.SeedGenerator
    frame_size: int
    dtype: str

    def with_core(self, core: Any) -> "AutoregressiveNet":
        """Returns the same network around another core, such as a wrapper."""
        return dataclasses.replace(self, core=core)

    def read(self, inputs: Any, mask: Any = None) -> Sequences:
        """Returns the model's inputs as `Sequences`, with condition vectors."""
        sequences = read_sequences(inputs, mask, self.name, self.embedding)
        conditions = self.prepared(sequences.conditions)
        return sequences._replace(conditions=conditions)

    def prepared(self, conditions: Any) -> Any:
        """Returns conditions as vectors, or None."""
        if conditions is None or self.condition_network is None:
            return conditions
        return self.condition_network(conditions)

    def run(self, sequences: Sequences, training: bool = False) -> Behavior:
        """Runs over sequences with teacher forcing.

        Args:
            sequences: See `read`.
            training: Boolean. Defaults to `False`.
        """
        _, inputs = sequences.embedded(self.embedding, self.dtype)
        hidden = self.core(inputs, mask=sequences.mask, training=training)
        return Behavior(hidden, self.head(hidden))

    def run_freely(
        self,
        sequences: Sequences,
        training: bool = False,
        own: Any = None,
        with_data: bool = False,
        sample_gradient: bool = False,
    ) -> Behavior:
        """Runs on its own samples, which are constants for the gradient.

        Args:
            sequences: See `read`. Without `own`, only their shape matters.
            training: Boolean. Defaults to `False`.
            own: Boolean `(time, batch)`, True where a step reads the sample
                drawn before it, False where it reads the data; floats for the
                share of the sample in the frame that it reads; None for samples
                everywhere. Defaults to `None`.
            with_data: Boolean, whether to also run over the sequences, in the
                same loop. Defaults to `False`.
            sample_gradient: Boolean, whether samples have the gradient of
                `DistributionHead.sample_with_gradient` instead of being
                constants. Not supported for all cores; see
                `check_steps_have_gradient`. Defaults to `False`.

        Returns:
            A `Behavior`. With `with_data`, its batch is twice as large, with
            the run over the data first.
        """
        core = self.core
        if sample_gradient:
            free = self._run_with_gradient(sequences, own)
            if not with_data:
                return free
            forced = self.run(sequences, training)
            return Behavior(*map(_joined, forced, free))
        keeps_steps = can_replay(core, training) and (
            not training or _is_stateless(self.embedding)
        )
        samples, steps = self._loop(
            sequences, own, keeps_steps, with_data and keeps_steps
        )
        drawn = sequences._replace(values=samples)
        if with_data:
            drawn = sequences.followed_by(samples)
        mixed_with = None
        if own is not None and keras.backend.is_float_dtype(own.dtype):
            data, _ = sequences.embedded(self.embedding, self.dtype)
            mixed_with = data, ops.transpose(own)
        _, inputs = drawn.embedded(
            self.embedding, self.dtype, mixed_with=mixed_with
        )
        if keeps_steps:
            hidden = replay(core, inputs, drawn.mask, *steps)
        else:
            hidden = core(inputs, mask=drawn.mask, training=training)
        return Behavior(hidden, self.head(hidden))

    def run_both(
        self,
        sequences: Sequences,
        training: bool = False,
        steps: int | None = None,
        sample_gradient: bool = False,
    ) -> Runs:
        """Runs both over sequences and freely.

        Args:
            sequences: See `read`; at least two steps.
            training: Boolean. Defaults to `False`.
            steps: Integer, number of steps of the free run, or None for the
                length of the sequences. Defaults to `None`.
            sample_gradient: See `run_freely`. Defaults to `False`.

        Raises:
            ValueError: if there is only one step.
        """
        values, _, mask = sequences
        check_two_steps(values.shape)
        if steps is None:
            # One scan for both runs: a free run is a run on its own samples.
            behavior = self.run_freely(
                sequences,
                training,
                with_data=True,
                sample_gradient=sample_gradient,
            )
            on_data = behavior.parameters[: ops.shape(values)[0]]
        else:
            cut = sequences.cut(steps)
            own = cut if sample_gradient else self.sample(cut)
            forced = self.run(sequences, training)
            if sample_gradient:
                free = self._run_with_gradient(cut, None)
            else:
                free = self.run(own, training)
            on_data = forced.parameters
            behavior = Behavior(
                *(
                    ops.concatenate([first[:, :steps], second])
                    for first, second in zip(forced, free, strict=True)
                )
            )
        nats = -self.head.log_prob(on_data, values, mask)
        if mask is not None:
            mask = ops.concatenate([mask[:, :steps]] * 2)
        return Runs(nats, *behavior, mask)

    def sample(self, sequences: Sequences, own: Any = None) -> Sequences:
        """Returns the sequences that `run_freely` runs over.

        Args:
            sequences: See `read`.
            own: See `run_freely`. Defaults to `None`.
        """
        samples, _ = self._loop(sequences, own, False, False)
        return sequences._replace(values=samples)

    def _loop(self, sequences, own, keeps_steps, with_data):
        """Samples, and with `keeps_steps` what `replay` needs of the steps."""
        values, conditions, mask = sequences
        batch, time = ops.shape(values)[:2]
        keys = FixedSeed.draw(self.seed_generator, time, self.seed_generator)
        if conditions is not None:
            conditions = ops.stop_gradient(conditions)
        # Without a gradient: nothing is kept for a backward pass of the loop.
        parts = [self.core, self.head, self.embedding]
        variables = [v for part in parts if part for v in part.variables]
        frozen = [(v, ops.stop_gradient(v.value)) for v in variables]
        # A share of the sample instead of a choice.
        mixes = own is not None and keras.backend.is_float_dtype(own.dtype)
        take_step: Any = self.core.step
        if keeps_steps:
            take_step = functools.partial(step_for_replay, self.core)

        def step(carry, x):
            frame, before = carry
            inputs = ops.concatenate([frame, *x["conditions"]], axis=-1)
            if with_data:
                inputs = ops.concatenate([x["data_inputs"], inputs])
            if mask is not None:  # Padding may hold anything.
                inputs = _select(x["mask"], inputs, ops.zeros_like(inputs))
            hidden, state, *gates = take_step(inputs, before)
            if mask is not None:
                state = _hold(x["mask"], state, before)
            valid = x.get("mask")
            if with_data:  # The rows of the free run come second.
                hidden = hidden[batch:]
                valid = None if mask is None else valid[batch:]
            key = FixedSeed(x["key"])
            parameters = self.head(hidden, training=False)
            sample = self.head.sample(parameters, key)
            sample = ops.cast(sample, values.dtype)
            if own is not None and not mixes:
                sample = _select(x["own"], sample, x["data"])
            after = self.frame(sample)
            if mixes:
                after = mixed(x["own"], after, x["data"])
            if mask is not None:
                after = _select(valid, after, frame)
            kept = (state, *gates) if keeps_steps else ()
            return (after, state), (sample, *kept)

        with keras.StatelessScope(state_mapping=frozen):
            rows = 2 * batch if with_data else batch
            frame, state = self.start(rows, time)
            xs = {"key": keys, "conditions": ()}
            if conditions is not None:
                conditions = ops.cast(conditions, frame.dtype)
                xs["conditions"] = (of_each_step(conditions, time),)
            if mask is not None:
                xs["mask"] = ops.transpose(mask)
            if own is not None:
                data = values
                if mixes:
                    data, _ = sequences.embedded(self.embedding, self.dtype)
                xs |= {"own": own, "data": ops.swapaxes(data, 0, 1)}
            if with_data:
                data = Sequences(values, conditions, mask)
                _, inputs = data.embedded(self.embedding, self.dtype)
                xs["data_inputs"] = ops.swapaxes(inputs, 0, 1)
                if mask is not None:
                    xs["mask"] = ops.concatenate([xs["mask"]] * 2, axis=1)
            _, (samples, *steps) = backend.scan(
                step, (frame[:batch], state), xs, time
            )
        return ops.stop_gradient(ops.swapaxes(samples, 0, 1)), steps

    def _run_with_gradient(self, sequences, own):
        """A free run that is differentiated through its samples."""
        values, conditions, mask = sequences
        batch, time = ops.shape(values)[:2]
        keys = FixedSeed.draw(self.seed_generator, time, self.seed_generator)
        xs: dict = {"key": keys, "conditions": ()}
        if conditions is not None:
            conditions = ops.cast(conditions, self.dtype)
            xs["conditions"] = (of_each_step(conditions, time),)
        if mask is not None:
            xs["mask"] = ops.transpose(mask)
        if own is not None:
            data, _ = sequences.embedded(self.embedding, self.dtype)
            xs |= {
                "own": ops.cast(own, self.dtype),
                "data": ops.swapaxes(data, 0, 1),
            }
        parts = [self.core, self.head, self.embedding]
        read = [
            (v, backend.read(v)) for part in parts if part
            for v in part.variables
        ]  # fmt: skip
        # Losses that layers add inside a loop must stay there.
        with keras.StatelessScope(state_mapping=read):
            frame_of = self._frame_with_gradient()

            def step(carry, x):
                frame, before = carry
                inputs = ops.concatenate([frame, *x["conditions"]], axis=-1)
                if mask is not None:
                    inputs = _select(x["mask"], inputs, ops.zeros_like(inputs))
                hidden, state = self.core.step(inputs, before)
                if mask is not None:
                    state = _hold(x["mask"], state, before)
                parameters = self.head(hidden, training=False)
                after = frame_of(parameters, FixedSeed(x["key"]))
                if own is not None:
                    after = mixed(x["own"], after, x["data"])
                if mask is not None:
                    after = _select(x["mask"], after, frame)
                return (after, state), hidden

            _, hidden = backend.scan(step, self.start(batch, time), xs, time)
        hidden = ops.swapaxes(hidden, 0, 1)
        hidden = as_returned(self.core, hidden, mask)
        return Behavior(hidden, self.head(hidden))

    def _frame_with_gradient(self):
        """A function of parameters and a seed that draws a frame."""
        head, embedding = self.head, self.embedding
        if head.event_size is not None:
            return lambda parameters, seed: self.frame(
                head.sample_with_gradient(parameters, seed)
            )
        # A one-hot sample selects the vector of its class.
        classes = ops.arange(head.num_parameters, dtype="int32")
        table = embedding(classes[None], training=False)[0]

        def of_class(parameters, seed):
            sample = head.sample_with_gradient(parameters, seed)
            return ops.matmul(ops.cast(sample, table.dtype), table)

        return of_class

    def start(self, batch: int, time: int) -> tuple:
        """Returns the frame before the first step and the core's state.

        Args:
            batch: Integer.
            time: Integer, number of steps to come.
        """
        slots = None
        if self.core.k_top != 0 and self.core.memory_size is None:
            slots = time + 1
        frame = ops.zeros((batch, self.frame_size), self.dtype)
        return frame, self.core.get_initial_state(batch, slots)

    def step(
        self, frame: Tensor, state: list, conditions: Any = None
    ) -> tuple[Tensor, list]:
        """Returns the parameters of the step after a frame, and the state.

        Args:
            frame: `(batch, features)`; see `frame`.
            state: From `start` or the previous step.
            conditions: `(batch, features)` or None. Defaults to `None`.
        """
        if conditions is not None:
            conditions = ops.cast(conditions, frame.dtype)
            frame = ops.concatenate([frame, conditions], axis=-1)
        output, state = self.core.step(frame, state)
        return self.head(output), state

    def generate(
        self, carry: tuple, xs: dict, temperature: Any, top_k: int | None
    ) -> tuple:
        """Draws steps one after the other.

        Args:
            carry: From `start` or a previous call.
            xs: For each step, `"key"` and optionally `"conditions"`,
                `"is_given"` and `"given"`, its value if it is given.
            temperature: Positive number; see `DistributionHead`.
            top_k: Positive integer or None; see `AutoregressiveGenerator`.

        Returns:
            The carry, and samples `(time, batch, ...)`.
        """

        def step(carry, x):
            frame, state = carry
            parameters, state = self.step(frame, state, x.get("conditions"))
            if top_k is not None:
                parameters = self.head.keep_top(parameters, top_k)
            sample = self.head.sample(
                parameters, FixedSeed(x["key"]), temperature
            )
            if "given" in x:
                given = ops.cast(x["given"], sample.dtype)
                is_given = x["is_given"]  # For all rows, or for each row.
                if len(is_given.shape):
                    sample = _select(is_given, given, sample)
                else:
                    sample = ops.where(is_given, given, sample)
            return (self.frame(sample), state), sample

        return backend.scan(step, carry, xs, xs["key"].shape[0])

    def frame(self, sample: Tensor) -> Tensor:
        """Returns a step as the core reads it, `(batch, features)`.

        Always in inference mode: in a loop, a step has no noise of its own.
        """
        if self.embedding is None:
            return ops.cast(sample, self.dtype)
        return self.embedding(sample[:, None], training=False)[:, 0]


def check_two_steps(shape: tuple) -> None:
    """Checks that a shape `(batch, time, ...)` has at least two steps."""
    if shape[1] is not None and shape[1] < 2:
        raise ValueError(
            "A free run differs only from the second step on. Expected "
            f"sequences of at least 2 steps. Received: shape={tuple(shape)}"
        )


def _joined(first, second):
    return ops.concatenate([first, second])


def _is_stateless(layer) -> bool:
    """Whether a layer, or None, computes the same at each call."""
    return layer is None or not any(
        keras_private.own_non_trainable_variables(part)
        or keras_private.own_seed_generators(part)
        for part in keras_private.flat_layers(layer)
    )


def _select(mask, chosen, other):
    """Rows of `chosen` where `mask (batch,)` is True, else of `other`."""
    mask = ops.reshape(mask, (-1, *[1] * (len(chosen.shape) - 1)))
    return ops.where(mask, chosen, other)


def _hold(mask, states, before):
    """States after a step; padded rows keep the states before it."""
    return [
        _select(mask, new, old) if len(new.shape) else new
        for new, old in zip(states, before, strict=True)
    ]
