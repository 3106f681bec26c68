"""What a trained model of sequences with latents can do."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.checks import check_integer
from keras_seqcredit.models.given_key import GivenKey
from keras_seqcredit.models.importance_weights import log_mean
from keras_seqcredit.models.sequence_model import SequenceModel
from keras_seqcredit.models.sequence_model import each_step


class LatentSampling(SequenceModel):
    """A mixin of `ZForcing`: generation, encoding and likelihoods.

    Everything is compiled, once for each shape.
    """

    # What the model has.
    stochastic_rnn: Any
    head: Any
    variables: Any
    _infer: Any
    _frames: Any

    def generate(
        self,
        length: int,
        num_samples: int = 1,
        prompt=None,
        conditions=None,
        temperature: float = 1.0,
        seed=None,
    ):
        """Draws sequences, latents from the prior and steps from the head.

        Args:
            length: Positive integer, steps of each sequence.
            num_samples: Positive integer, sequences; those of a prompt or of
                conditions each, if given.
            prompt: `(batch, steps, features)` or integers `(batch, steps)`,
                what the sequences begin with.
            conditions: `(batch, features)` or `(batch, length, features)`, for
                a model that was trained with them.
            temperature: Positive float, of the steps; see `DistributionHead`.
            seed: Integer or `keras.random.SeedGenerator`; the model's own
                where None.

        Returns:
            Numpy array `(batch * num_samples, length, ...)`, the samples of one
            prompt next to each other.

        Raises:
            ValueError: if the prompt is longer than `length`, or an argument
                is wrong.
        """
        check_integer("length", length)
        check_integer("num_samples", num_samples)
        if not temperature > 0:
            raise ValueError(
                "Expected `temperature` to be a positive number. Received: "
                f"temperature={temperature!r}"
            )
        start = 0
        given = [x for x in (prompt, conditions) if x is not None]
        batch = len(given[0]) if given else 1
        if len(given) == 2 and len(prompt) != len(conditions):
            raise ValueError(
                "Expected one condition for each prompt. Received: "
                f"{len(prompt)} prompts, {len(conditions)} conditions"
            )
        if prompt is not None:
            prompt = np.repeat(np.asarray(prompt), num_samples, axis=0)
            start = prompt.shape[1]
            if not 0 < start <= length:
                raise ValueError(
                    "Expected a prompt of 1 to `length` steps. Received: "
                    f"{start} steps, length={length}"
                )
        if conditions is not None:
            conditions = np.repeat(np.asarray(conditions), num_samples, axis=0)
        self._check_built()
        total = batch * num_samples
        generator = self._generator(seed)
        noise = self.stochastic_rnn.latents.noise((length, total), generator)
        keys = GivenKey.draw(generator, length, self.seed_generator)
        key = ("generate", length, start, conditions is None)
        run = self._compiled(
            key, lambda *args: self._generate(length, start, *args)
        )
        arguments = [noise, keys, np.float32(temperature)]
        arguments += [x for x in (prompt, conditions) if x is not None]
        return ops.convert_to_numpy(run(*map(ops.convert_to_tensor, arguments)))

    def _generate(self, length, start, noise, keys, temperature, *given):
        prompt = given[0] if start else None
        conditions = given[-1] if len(given) > bool(start) else None
        batch = ops.shape(noise)[1]
        frame, state = self._after_prompt(prompt, conditions, batch, keys[0])
        steps = length - start
        xs = [noise[start:], keys[start:]]
        if conditions is not None:
            xs.append(each_step(conditions, length)[start:])

        def step(carry, x):
            frame, state = carry
            inputs = frame
            if conditions is not None:
                inputs = ops.concatenate([frame, x[2]], axis=-1)
            output, state = self.stochastic_rnn.step(inputs, state, x[0])
            sample = self.head.sample(
                self.head(output), GivenKey(x[1]), temperature
            )
            return (self._frame(sample), state), sample

        parts = [] if prompt is None else [prompt]
        if steps:
            _, samples = backend.scan(step, (frame, state), tuple(xs), steps)
            order = [1, 0, *range(2, len(samples.shape))]
            samples = ops.transpose(samples, order)
            parts = [*(ops.cast(p, samples.dtype) for p in parts), samples]
        return ops.concatenate(parts, axis=1)

    def _after_prompt(self, prompt, conditions, batch, key=None):
        """The last frame, and the states of the recurrence after it.

        The prompt's latents are drawn from `key`.
        """
        rnn = self.stochastic_rnn
        if prompt is None:
            features = rnn.target_units
            frame = ops.zeros((batch, features), rnn.compute_dtype)
            return frame, rnn.get_initial_state(batch)
        if conditions is not None and len(conditions.shape) == 3:
            conditions = conditions[:, : prompt.shape[1]]
        mapping = [(v, backend.read(v)) for v in self.variables]
        mapping.append((rnn.seed_generator.state, key))
        with keras.StatelessScope(state_mapping=mapping):
            found, _ = self._infer(prompt, conditions, None)
        return self._frames(prompt)[:, -1], found.states

    def _frame(self, sample):
        """A step as the recurrence sees it, `(batch, features)`."""
        return self._frames(sample[:, None])[:, 0]

    def encode(self, x, batch_size: int = 32):
        """Means of the posterior of each step.

        Args:
            x: Sequences, as `fit` takes them.
            batch_size: Positive integer.

        Returns:
            Numpy array `(batch, time, latent_size)`.
        """

        def means(inputs):
            found, _ = self._infer(*self._unpack(inputs))
            return self.stochastic_rnn.latents.mean(found.posterior)

        return self._in_batches("encode", means, x, batch_size)

    def interpolate(self, a, b, steps: int = 8):
        """Sequences between two, by their latents, without noise.

        Args:
            a: One sequence, `(time, features)` or integers `(time,)`.
            b: Another of the same length.
            steps: Integer of at least 2, how many, both ends included.

        Returns:
            Numpy array `(steps, time, ...)`.

        Raises:
            ValueError: if the sequences differ in shape.
        """
        check_integer("steps", steps, minimum=2)
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            raise ValueError(
                "Expected two sequences of one shape. Received: "
                f"a.shape={a.shape}, b.shape={b.shape}"
            )
        first, last = self.encode(np.stack([a, b]))
        share = np.linspace(0, 1, steps, dtype="float32")[:, None, None]
        return self.decode((1 - share) * first + share * last)

    def decode(self, latents):
        """The most likely steps for latents that are given.

        Args:
            latents: `(batch, time, latent_size)`.

        Returns:
            Numpy array `(batch, time, ...)`: classes, or means.
        """
        latents = np.asarray(latents, "float32")
        self._check_built()
        run = self._compiled(("decode",), self._decode)
        return ops.convert_to_numpy(run(ops.convert_to_tensor(latents)))

    def _decode(self, latents):
        batch, time = latents.shape[:2]
        frame, state = self._after_prompt(None, None, batch)

        def step(carry, latent):
            frame, state = carry
            output, state = self.stochastic_rnn.step(
                frame, state, latent=latent
            )
            parameters = self.head(output)
            sample = (
                self.head.mode(parameters)
                if self.head.gives_integers
                else self.head.mean(parameters)
            )
            return (self._frame(sample), state), sample

        latents = ops.transpose(latents, (1, 0, 2))
        _, samples = backend.scan(step, (frame, state), latents, time)
        return ops.transpose(samples, [1, 0, *range(2, len(samples.shape))])

    def log_likelihood(
        self,
        x,
        num_samples: int = 50,
        batch_size: int = 32,
        return_error: bool = False,
    ):
        """Importance-weighted log-likelihood of sequences.

        `log 1/K sum_k p(x, z_k) / q(z_k | x)` with `K` samples of the
        posterior, a lower bound that rises to the log-likelihood with `K`.
        Samples are drawn `batch_size` sequences at a time: memory does not grow
        with `K`.

        Args:
            x: Sequences, as `fit` takes them.
            num_samples: Positive integer, `K`.
            batch_size: Positive integer.
            return_error: Boolean, whether to return the Monte-Carlo error too.

        Returns:
            Float32 array `(batch,)`, nats a sequence; with `return_error` a
            pair of those, the second the standard error by the delta method.
        """
        check_integer("num_samples", num_samples)
        weights = np.stack(
            [
                self._in_batches("weights", self._log_weights, x, batch_size)
                for _ in range(num_samples)
            ]
        ).astype("float64")
        return log_mean(weights, return_error)

    def _log_weights(self, inputs):
        sequences, conditions, mask = self._unpack(inputs)
        found, parameters = self._infer(sequences, conditions, mask)
        latents = self.stochastic_rnn.latents
        log_ratio = latents.log_prob(found.prior, found.latents)
        log_ratio = log_ratio - latents.log_prob(found.posterior, found.latents)
        if mask is not None:
            log_ratio = ops.where(mask, log_ratio, 0.0)
        nll = -self.head.log_prob(parameters, sequences, mask)
        return ops.sum(log_ratio - nll, axis=1)
