"""Generation and likelihoods of autoregressive models."""

from collections.abc import Iterator

import numpy as np
from keras import ops

from keras_seqcredit.checks import check_array
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_number
from keras_seqcredit.models.autoregressive_net import AutoregressiveNet
from keras_seqcredit.models.sequence_generator import SequenceGenerator
from keras_seqcredit.models.sequences import of_each_step
from keras_seqcredit.seeds import FixedSeed

# Steps between checks whether all sequences have ended.
_STOP_CHECK = 64


class AutoregressiveGenerator(SequenceGenerator):
    """Abstract base of models that draw each step given the previous ones.

    A subclass provides a `net`, which this class uses to generate and to
    compute likelihoods. Everything is compiled, once per shape.
    """

    @property
    def net(self) -> AutoregressiveNet:
        """The network as one value, which can also run step by step."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `net`."
        )

    def generate(
        self,
        prompt=None,
        *,
        length: int,
        num_samples: int = 1,
        prompt_mask=None,
        conditions=None,
        temperature: float = 1.0,
        top_k: int | None = None,
        stop: int | None = None,
        seed=None,
    ) -> np.ndarray:
        """Draws sequences.

        Args:
            prompt: `(batch, steps, features)` or integers `(batch, steps)`, the
                start of the sequences. Defaults to `None`.
            length: Positive integer, number of steps of each sequence.
            num_samples: Positive integer, number of sequences; per prompt or
                per condition, if given. Defaults to `1`.
            prompt_mask: Boolean `(batch, steps)`, True at the steps of a prompt
                and False at padding, which comes last. For prompts of different
                lengths: each sequence continues where its prompt ends. Defaults
                to `None`.
            conditions: As in training, for a batch; conditions that vary by
                step need `length` steps.
            temperature: Positive float; see `DistributionHead`. Defaults to
                `1.0`.
            top_k: Positive integer or None, number of most likely classes to
                draw from; for a `CategoricalHead`. Defaults to `None`.
            stop: Integer or None, the class that ends a sequence when it is
                drawn after the prompt. The rest of the sequence is filled with
                it. Defaults to `None`.
            seed: Integer or `keras.random.SeedGenerator`, or None for the
                model's own. Defaults to `None`.

        Returns:
            Numpy array `(batch * num_samples, length, ...)`, with the samples
            of one prompt next to each other.

        Raises:
            ValueError: if an argument is invalid or the model has not seen
                data.
        """
        chunks = list(
            self.stream(
                prompt,
                length=length,
                num_samples=num_samples,
                prompt_mask=prompt_mask,
                conditions=conditions,
                temperature=temperature,
                top_k=top_k,
                stop=stop,
                seed=seed,
                chunk_size=length if stop is None else _STOP_CHECK,
            )
        )
        samples = np.concatenate(chunks, axis=1)
        missing = length - samples.shape[1]
        if missing:  # All sequences have ended.
            samples = np.pad(
                samples, [(0, 0), (0, missing)], constant_values=stop or 0
            )
        return samples

    def stream(
        self,
        prompt=None,
        *,
        length: int,
        num_samples: int = 1,
        prompt_mask=None,
        conditions=None,
        temperature: float = 1.0,
        top_k: int | None = None,
        stop: int | None = None,
        seed=None,
        chunk_size: int = 64,
    ) -> Iterator[np.ndarray]:
        """Draws the same sequences as `generate`, a few steps at a time.

        Args:
            prompt: See `generate`.
            length: See `generate`.
            num_samples: See `generate`.
            prompt_mask: See `generate`.
            conditions: See `generate`.
            temperature: See `generate`.
            top_k: See `generate`.
            stop: See `generate`. The iterator ends after the chunk in which the
                last sequence ended.
            seed: See `generate`.
            chunk_size: Positive integer, number of steps per chunk. Defaults to
                `64`.

        Returns:
            Iterator of numpy arrays `(batch * num_samples, chunk_size, ...)`.
            The last one may be shorter.

        Raises:
            ValueError: as in `generate`, when called.
        """
        check_integer("length", length)
        check_integer("num_samples", num_samples)
        check_integer("chunk_size", chunk_size)
        check_number("temperature", temperature)
        self._check_classes(top_k, stop)
        self._check_built()
        prompt_mask = _checked_prompt_mask(prompt, prompt_mask)
        prompt = self._checked_prompt(prompt, length, prompt_mask)
        if conditions is not None:
            conditions = check_array("conditions", conditions)
            if not conditions.ndim:
                self._check_conditions((), length)
        given = [x for x in (prompt, conditions) if x is not None]
        if len({len(x) for x in given}) > 1:
            raise ValueError(
                "Expected one condition for each prompt. Received: "
                f"{len(prompt)} prompts, {len(conditions)} conditions"
            )
        self._check_conditions(
            None if conditions is None else conditions.shape, length
        )
        prompt, prompt_mask, conditions = (
            None if x is None else np.repeat(x, num_samples, axis=0)
            for x in (prompt, prompt_mask, conditions)
        )
        total = (len(given[0]) if given else 1) * num_samples
        generator = self._generator(seed)
        # Whole chunks, so that only one program is compiled.
        steps = -(-length // chunk_size) * chunk_size
        keys = ops.convert_to_numpy(
            FixedSeed.draw(generator, length, self.seed_generator)
        )
        keys = np.pad(keys, [(0, steps - length), (0, 0)])
        return self._chunks(
            length, total, (prompt, prompt_mask), conditions, temperature,
            top_k, stop, keys, chunk_size,
        )  # fmt: skip

    def _check_classes(self, top_k, stop):
        check_integer("top_k", top_k, optional=True)
        check_integer("stop", stop, minimum=None, optional=True)
        for name, value in [("top_k", top_k), ("stop", stop)]:
            # Other heads have events of several numbers.
            if value is not None and self.head.event_size is not None:
                raise ValueError(
                    f"`{name}` applies to classes. Expected a model with a "
                    f"`CategoricalHead`. Received: {name}={value}, "
                    f"head={self.head}"
                )
        if stop is None:
            return
        possible = self.head.is_possible(ops.convert_to_tensor(float(stop)))
        if not possible:
            raise ValueError(
                f"Expected `stop` to be a class that {self.head.name} can "
                f"draw, a {type(self.head).__name__} with "
                f"{self.head.num_parameters} parameters. Received: stop={stop}"
            )

    def _checked_prompt(self, prompt, length, mask):
        if prompt is None:
            return None
        prompt = check_array("prompt", prompt)
        axes = 2 if self.head.event_size is None else 3
        if prompt.ndim != axes or not 0 < prompt.shape[1] <= length:
            names = (
                "(batch, steps, features)" if axes == 3 else "(batch, steps)"
            )
            raise ValueError(
                f"Expected a prompt {names} of 1 to `length` steps; without "
                "one, sequences start from a step of zeros. Received: "
                f"prompt.shape={prompt.shape}, length={length}"
            )
        possible = self.head.is_possible(
            ops.convert_to_tensor(prompt.astype(self.head.parameter_dtype))
        )
        if possible is not None:
            possible = np.array(ops.convert_to_numpy(possible))
            if mask is not None:  # Padding may hold anything.
                possible[~mask] = True
            if not possible.all():
                raise ValueError(
                    f"Expected a prompt that {self.head.name} can draw, a "
                    f"{type(self.head).__name__} with "
                    f"{self.head.num_parameters} parameters. Received: "
                    f"{np.unique(prompt[~possible])[:5].tolist()}"
                )
        return prompt

    def _chunks(
        self, length, total, prompts, conditions, temperature, top_k, stop,
        keys, chunk_size,
    ):  # fmt: skip
        prompt, prompt_mask = prompts
        start = self._compiled(
            ("start", total, length), lambda: self.net.start(total, length)
        )
        carry = start()
        prepared = None
        if conditions is not None:
            prepare = self._compiled(
                ("conditions", length),
                lambda x: of_each_step(self.net.prepared(x), length),
            )
            prepared = ops.convert_to_numpy(prepare(conditions))
            extra = [(0, len(keys) - length), (0, 0), (0, 0)]
            prepared = np.pad(prepared, extra)
        ended = np.zeros(total, bool)
        run = self._compiled(
            ("generate", top_k),
            lambda carry, xs, heat: self.net.generate(carry, xs, heat, top_k),
        )
        for first in range(0, length, chunk_size):
            part = slice(first, first + chunk_size)
            xs = {"key": keys[part]}
            if prompt is not None and first < prompt.shape[1]:
                rest = np.moveaxis(prompt[:, part], 1, 0)
                missing = chunk_size - len(rest)
                xs["is_given"] = np.arange(chunk_size) < len(rest)
                if prompt_mask is not None:
                    given = prompt_mask[:, part].T
                    xs["is_given"] = np.pad(given, [(0, missing), (0, 0)])
                xs["given"] = np.pad(
                    rest, [(0, missing)] + [(0, 0)] * (rest.ndim - 1)
                )
            if prepared is not None:
                xs["conditions"] = prepared[part]
            xs = {k: ops.convert_to_tensor(x) for k, x in xs.items()}
            carry, samples = run(
                carry, xs, ops.convert_to_tensor(np.float32(temperature))
            )
            samples = np.moveaxis(ops.convert_to_numpy(samples), 0, 1)
            samples = samples[:, : length - first]
            if stop is not None:
                is_stop = samples == stop
                if prompt is not None:  # The prompt itself ends nothing.
                    given = prompt_mask
                    if given is None:
                        given = np.ones(prompt.shape[:2], bool)
                    given = given[:, part]
                    is_stop[:, : given.shape[1]] &= ~given
                at_end = np.cumsum(is_stop, axis=1) > 0
                samples = np.where(at_end | ended[:, None], stop, samples)
                ended |= at_end[:, -1]
            yield samples
            if ended.all():
                return

    def forecast(
        self,
        context,
        *,
        horizon: int,
        num_samples: int = 100,
        context_mask=None,
        conditions=None,
        temperature: float = 1.0,
        seed=None,
    ) -> np.ndarray:
        """Draws possible continuations of sequences.

        Args:
            context: `(batch, steps, features)` or integers `(batch, steps)`.
            horizon: Positive integer, number of steps to draw.
            num_samples: Positive integer, number of samples per sequence.
                Defaults to `100`.
            context_mask: Boolean `(batch, steps)`, False at padding, which
                comes last. For contexts of different lengths: the horizon of
                each starts at its own end, so its conditions must cover the
                steps after that end. Defaults to `None`.
            conditions: As in training. Conditions that vary by step need
                `steps + horizon` steps and can hold what is known about the
                future, such as the weekday.
            temperature: See `generate`.
            seed: See `generate`.

        Returns:
            Numpy array `(batch, num_samples, horizon, ...)`.

        Raises:
            ValueError: if an argument is invalid.
        """
        check_integer("horizon", horizon)
        context = np.asarray(context)
        if context.ndim < 2 or context.shape[1] == 0:
            raise ValueError(
                "Expected a context of at least one step. Received: "
                f"context.shape={context.shape}"
            )
        steps = context.shape[1]
        samples = self.generate(
            context,
            length=steps + horizon,
            num_samples=num_samples,
            prompt_mask=context_mask,
            conditions=conditions,
            temperature=temperature,
            seed=seed,
        )
        shape = (len(context), num_samples, horizon, *samples.shape[2:])
        if context_mask is None:
            return samples[:, steps:].reshape(shape)
        ends = np.sum(np.asarray(context_mask, bool), axis=1)
        ends = np.repeat(ends, num_samples)[:, None]
        ahead = ends + np.arange(horizon)
        return samples[np.arange(len(samples))[:, None], ahead].reshape(shape)

    def log_likelihood(self, x, batch_size: int = 32) -> np.ndarray:
        """Computes the log-likelihood of sequences.

        Args:
            x: Sequences, as `fit` takes them.
            batch_size: Positive integer. Defaults to `32`.

        Returns:
            Float32 array `(batch,)`, in nats per sequence.
        """

        def log_prob(inputs):
            sequences = self.net.read(inputs)
            parameters = self.net.run(sequences).parameters
            nats = self.head.log_prob(
                parameters, sequences.values, sequences.mask
            )
            return ops.sum(nats, axis=1)

        return self._in_batches("log_prob", log_prob, x, batch_size)


def _checked_prompt_mask(prompt, mask):
    """Checks a prompt mask and returns it as booleans, or None."""
    if mask is None:
        return None
    mask = check_array("prompt_mask", mask).astype(bool)
    shape = None if prompt is None else np.shape(prompt)[:2]
    fits = mask.shape == shape and mask[:, 0].all()
    if not fits or (mask[:, 1:] > mask[:, :-1]).any():
        raise ValueError(
            "Expected a mask (batch, steps) of the prompt, True at one step or "
            "more of each and then False at padding. Received: mask.shape="
            f"{mask.shape}, prompt.shape={shape}, mask={mask.tolist()}"
        )
    return mask
