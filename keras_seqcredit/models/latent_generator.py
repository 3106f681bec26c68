"""Generation, encoding and likelihoods of models with latents."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.checks import check_array
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_number
from keras_seqcredit.checks import fits
from keras_seqcredit.layers.recurrent.stochastic_inference import (
    StochasticOutputs,
)
from keras_seqcredit.layers.recurrent.stochastic_rnn import StochasticRNN
from keras_seqcredit.models.generative_model import log_mean
from keras_seqcredit.models.sequence_generator import SequenceGenerator
from keras_seqcredit.models.sequences import Sequences
from keras_seqcredit.models.sequences import of_each_step
from keras_seqcredit.models.sequences import read_sequences
from keras_seqcredit.seeds import FixedSeed
from keras_seqcredit.types import Tensor


class LatentGenerator(SequenceGenerator):
    """Abstract base of sequence models with a latent at each step.

    A subclass has a `stochastic_rnn` and implements `infer`. Everything is
    compiled, once per shape.
    """

    stochastic_rnn: StochasticRNN

    def read(self, inputs: Any, mask: Any = None) -> Sequences:
        """Returns the inputs of the model as `Sequences`."""
        return read_sequences(inputs, mask, self.name, self.embedding)

    def infer(
        self, sequences: Sequences, training: bool = False
    ) -> tuple[StochasticOutputs, Tensor]:
        """Runs over sequences with latents from the posterior.

        Args:
            sequences: See `read`.
            training: Boolean. Defaults to `False`.

        Returns:
            Everything that the recurrence computes, and the head's parameters
            for each step.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `infer`."
        )

    def generate(
        self,
        prompt=None,
        *,
        length: int,
        num_samples: int = 1,
        conditions=None,
        temperature: float = 1.0,
        seed=None,
    ):
        """Draws sequences, latents from the prior and steps from the head.

        Args:
            prompt: `(batch, steps, features)` or integers `(batch, steps)`, the
                start of the sequences. Defaults to `None`.
            length: Positive integer, number of steps of each sequence.
            num_samples: Positive integer, number of sequences; per prompt or
                per condition, if given. Defaults to `1`.
            conditions: `(batch, features)` or `(batch, length, features)`, for
                a model that was trained with them. Defaults to `None`.
            temperature: Positive float, temperature of the steps; see
                `DistributionHead`. Defaults to `1.0`.
            seed: Integer or `keras.random.SeedGenerator`, or None for the
                model's own. Defaults to `None`.

        Returns:
            Numpy array `(batch * num_samples, length, ...)`, with the samples
            of one prompt next to each other.

        Raises:
            ValueError: if the prompt or the conditions have the wrong shape, or
                an argument is invalid.
        """
        self._check_built()
        check_integer("length", length)
        check_integer("num_samples", num_samples)
        check_number("temperature", temperature)
        start = 0
        if prompt is not None:
            prompt = check_array("prompt", prompt)
            self._check_prompt(prompt.shape)
        if conditions is not None:
            conditions = check_array("conditions", conditions)
            if not conditions.ndim:
                self._check_conditions((), length)
        given = [x for x in (prompt, conditions) if x is not None]
        batch = len(given[0]) if given else 1
        if len(given) == 2 and len(prompt) != len(conditions):
            raise ValueError(
                "Expected one condition for each prompt. Received: "
                f"{len(prompt)} prompts, {len(conditions)} conditions"
            )
        if prompt is not None:
            prompt = np.repeat(prompt, num_samples, axis=0)
            start = prompt.shape[1]
            if not 0 < start <= length:
                raise ValueError(
                    "Expected a prompt of 1 to `length` steps. Received: "
                    f"{start} steps, length={length}"
                )
        conditions = self._as_conditions(conditions, batch, length)
        if conditions is not None:
            conditions = np.repeat(conditions, num_samples, axis=0)
        total = batch * num_samples
        generator = self._generator(seed)
        noise = self.stochastic_rnn.latents.noise((length, total), generator)
        keys = FixedSeed.draw(generator, length, self.seed_generator)
        key = ("generate", length, start, conditions is None)
        run = self._compiled(
            key, lambda *args: self._generate(length, start, *args)
        )
        arguments = [noise, keys, np.float32(temperature)]
        arguments += [x for x in (prompt, conditions) if x is not None]
        return ops.convert_to_numpy(run(*map(ops.convert_to_tensor, arguments)))

    def _check_prompt(self, shape) -> None:
        size = self.head.event_size
        event = () if size is None else (size,)
        if not fits(shape, (None, None, *event)):
            raise ValueError(
                "Expected a prompt of shape "
                f"{('batch', 'steps', *event)}. Received: shape={shape}"
            )

    def _as_conditions(self, conditions, batch, time):
        """Returns the conditions of a batch as an array, or None."""
        shape = None
        if conditions is not None:
            conditions = np.asarray(conditions)
            shape = conditions.shape
        self._check_conditions(shape, time)
        if shape is not None and shape[0] != batch:
            raise ValueError(
                f"Expected conditions of {batch} sequences. Received: "
                f"shape={shape}"
            )
        return conditions

    def _generate(self, length, start, noise, keys, temperature, *given):
        prompt = given[0] if start else None
        conditions = given[-1] if len(given) > bool(start) else None
        batch = ops.shape(noise)[1]
        frame, state = self._after_prompt(prompt, conditions, batch, keys[0])
        steps = length - start
        xs = [noise[start:], keys[start:]]
        if conditions is not None:
            xs.append(of_each_step(conditions, length)[start:])

        def step(carry, x):
            frame, state = carry
            inputs = _with(x[2:], frame)
            output, state = self.stochastic_rnn.step(inputs, state, x[0])
            sample = self.head.sample(
                self.head(output), FixedSeed(x[1]), temperature
            )
            return (self._frame(sample), state), sample

        parts = [] if prompt is None else [prompt]
        if steps:
            _, samples = backend.scan(step, (frame, state), tuple(xs), steps)
            samples = ops.swapaxes(samples, 0, 1)
            parts = [*(ops.cast(p, samples.dtype) for p in parts), samples]
        return ops.concatenate(parts, axis=1)

    def _after_prompt(self, prompt, conditions, batch, key=None):
        """The last frame of a prompt, and the recurrence's states after it.

        The prompt's latents are drawn from `key`.
        """
        rnn = self.stochastic_rnn
        if prompt is None:
            features = rnn.target_units
            frame = ops.zeros((batch, features), rnn.compute_dtype)
            return frame, rnn.get_initial_state(batch)
        if conditions is not None and len(conditions.shape) == 3:
            conditions = conditions[:, : prompt.shape[1]]
        given = Sequences(prompt, conditions)
        outputs, _ = self._infer_from(key, given)
        frames, _ = given.embedded(self.embedding, rnn.compute_dtype)
        return frames[:, -1], outputs.states

    def _infer_from(self, key, sequences):
        """Runs `infer` with latents drawn from a key."""
        mapping = [(v, backend.read(v)) for v in self.variables]
        mapping.append((self.stochastic_rnn.seed_generator.state, key))
        with keras.StatelessScope(state_mapping=mapping):
            return self.infer(sequences)

    def _frame(self, sample):
        """A step as the recurrence sees it, `(batch, features)`."""
        if self.embedding is None:
            return ops.cast(sample, self.stochastic_rnn.compute_dtype)
        return self.embedding(sample[:, None])[:, 0]

    def encode(self, x, batch_size: int = 32, seed=None):
        """Returns the means of the posterior of each step.

        The posterior depends on the state, and the state on the latents of the
        previous steps, which are drawn at random.

        Args:
            x: Array of sequences, or a dictionary of arrays: `"sequences"`
                and, optionally, `"conditions"` and `"mask"`.
            batch_size: Positive integer. Defaults to `32`.
            seed: Integer or `keras.random.SeedGenerator`, or None for the
                model's own. Defaults to `None`.

        Returns:
            Numpy array `(batch, time, latent_size)`; probabilities for
            categorical latents.
        """

        def means(inputs, key):
            outputs, _ = self._infer_from(key, self.read(inputs))
            return self.stochastic_rnn.latents.mean(outputs.posterior)

        generator = self._generator(seed)
        return self._in_batches("encode", means, x, batch_size, generator)

    def interpolate(self, a, b, *, steps: int = 8, conditions=None, seed=None):
        """Interpolates between two sequences, by way of `encode` and `decode`.

        Steps are not drawn; they are the most likely ones. Only the means of
        the latents contain noise (see `encode`).

        Args:
            a: One sequence, `(time, features)` or integers `(time,)`.
            b: Another of the same length.
            steps: Integer of at least 2, number of sequences, both ends
                included. Defaults to `8`.
            conditions: `(2, features)` or `(2, time, features)`, the conditions
                of `a` and of `b`, for a model that was trained with them. They
                are interpolated, too. Defaults to `None`.
            seed: Integer or `keras.random.SeedGenerator`, or None for the
                model's own. Defaults to `None`.

        Returns:
            Numpy array `(steps, time, ...)`.

        Raises:
            ValueError: if the sequences differ in shape, or the conditions have
                the wrong shape.
        """
        self._check_built()
        check_integer("steps", steps, minimum=2)
        a, b = check_array("a", a), check_array("b", b)
        if a.shape != b.shape:
            raise ValueError(
                "Expected two sequences of one shape. Received: "
                f"a.shape={a.shape}, b.shape={b.shape}"
            )
        data = {"sequences": np.stack([a, b])}
        conditions = self._as_conditions(conditions, 2, a.shape[0])
        if conditions is not None:
            data["conditions"] = conditions.astype("float32")
            conditions = _between(data["conditions"], steps)
        latents = _between(self.encode(data, seed=seed), steps)
        return self.decode(latents, conditions)

    def decode(self, latents, conditions=None):
        """Returns the most likely steps for given latents.

        Args:
            latents: `(batch, time, latent_size)`.
            conditions: `(batch, features)` or `(batch, time, features)`, for a
                model that was trained with them. Defaults to `None`.

        Returns:
            Numpy array `(batch, time, ...)`: classes, or means.

        Raises:
            ValueError: if latents or conditions have the wrong shape.
        """
        self._check_built()
        latents = check_array("latents", latents).astype("float32")
        size = self.stochastic_rnn.latents.size
        if not fits(latents.shape, (None, None, size)):
            raise ValueError(
                f"Expected latents of shape {('batch', 'time', size)}. "
                f"Received: shape={latents.shape}"
            )
        conditions = self._as_conditions(conditions, *latents.shape[:2])
        given = [x for x in (latents, conditions) if x is not None]
        run = self._compiled(("decode",), self._decode)
        return ops.convert_to_numpy(run(*map(ops.convert_to_tensor, given)))

    def _decode(self, latents, conditions=None):
        batch, time = latents.shape[:2]
        frame, state = self._after_prompt(None, None, batch)

        xs = [ops.swapaxes(latents, 0, 1)]
        if conditions is not None:
            xs.append(of_each_step(conditions, time))

        def step(carry, x):
            frame, state = carry
            output, state = self.stochastic_rnn.step(
                _with(x[1:], frame), state, latent=x[0]
            )
            parameters = self.head(output)
            sample = (
                self.head.mode(parameters)
                if self.head.gives_integers
                else self.head.mean(parameters)
            )
            return (self._frame(sample), state), sample

        _, samples = backend.scan(step, (frame, state), tuple(xs), time)
        return ops.swapaxes(samples, 0, 1)

    def log_likelihood(
        self,
        x,
        num_samples: int = 50,
        batch_size: int = 32,
        return_error: bool = False,
        seed=None,
    ):
        """Computes the importance-weighted log-likelihood of sequences.

        `log 1/K sum_k p(x, z_k) / q(z_k | x)` with `K` samples of the
        posterior, a lower bound that rises toward the log-likelihood as `K`
        grows. Samples are drawn for `batch_size` sequences at a time: memory
        does not grow with `K`.

        Args:
            x: As for `encode`.
            num_samples: Positive integer, `K`. Defaults to `50`.
            batch_size: Positive integer. Defaults to `32`.
            return_error: Boolean, whether to also return the Monte Carlo error.
                Defaults to `False`.
            seed: Integer or `keras.random.SeedGenerator`, or None for the
                model's own. Defaults to `None`.

        Returns:
            Float32 array `(batch,)`, in nats per sequence; with `return_error`,
            a pair of such arrays. The second is the standard error by the delta
            method, NaN for a single sample.
        """
        check_integer("num_samples", num_samples)
        generator = self._generator(seed)
        weights = np.stack(
            [
                self._in_batches(
                    "weights", self._log_weights, x, batch_size, generator
                )
                for _ in range(num_samples)
            ]
        ).astype("float64")
        return log_mean(weights, return_error)

    def _log_weights(self, inputs, key):
        sequences = self.read(inputs)
        values, _, mask = sequences
        outputs, parameters = self._infer_from(key, sequences)
        latents = self.stochastic_rnn.latents
        prior = latents.log_prob(outputs.prior, outputs.latents)
        posterior = latents.log_prob(outputs.posterior, outputs.latents)
        log_ratio = prior - posterior
        if mask is not None:
            log_ratio = ops.where(mask, log_ratio, 0.0)
        nll = -self.head.log_prob(parameters, values, mask)
        return ops.sum(log_ratio - nll, axis=1)


def _with(conditions, frame):
    """A frame `(batch, features)`, concatenated with conditions, if any."""
    conditions = [ops.cast(x, frame.dtype) for x in conditions]
    return ops.concatenate([frame, *conditions], axis=-1)


def _between(ends, steps):
    """Interpolates between two arrays, both included."""
    first, last = ends
    share = np.linspace(0, 1, steps, dtype="float32")
    share = share.reshape(-1, *[1] * first.ndim)
    return (1 - share) * first + share * last
