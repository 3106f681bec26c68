"""A denoising diffusion model, for comparison with Markov chains.

The network is a transition operator's, and sees its step. It predicts the
noise of a point after `num_steps` of a fixed diffusion.

References:
    - Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020,
      arXiv:2006.11239.
    - Song et al., "Denoising Diffusion Implicit Models", ICLR 2021,
      arXiv:2010.02502.
"""

import json
import pathlib
import time

import common
import keras
import numpy as np
from keras import ops
from rivals import Rival

from keras_seqcredit import backend
from keras_seqcredit.seeds import FixedSeed


class DDPM(Rival):
    """`network([x, step])` predicts the noise in `x`."""

    def __init__(self, network, num_steps, seed=None):
        super().__init__(network, seed)
        self.num_steps = num_steps
        # The betas of 1,000 steps, spread over `num_steps`.
        betas = np.linspace(1e-4, 0.02, num_steps) * 1000 / num_steps
        betas = np.minimum(betas, 0.999)
        self.betas = betas.astype("float32")
        self.kept = np.cumprod(1 - betas).astype("float32")

    def call(self, inputs, training=False):
        x = ops.cast(inputs, "float32")
        shape = ops.shape(x)
        step = keras.random.randint(
            shape[:1], 0, self.num_steps, seed=self.seed_generator
        )
        noise = keras.random.normal(shape, seed=self.seed_generator)
        kept = ops.take(ops.convert_to_tensor(self.kept), step)
        kept = ops.reshape(kept, (-1,) + (1,) * (len(shape) - 1))
        noisy = ops.sqrt(kept) * x + ops.sqrt(1 - kept) * noise
        return ops.square(self.network([noisy, step]) - noise)

    def sample(self, num_samples, extra_steps=0, seed=0):
        """Samples; `extra_steps` repeats the last step of the chain."""
        generator = keras.random.SeedGenerator(seed)
        first = keras.random.normal((num_samples, *self.event), seed=generator)
        steps = np.arange(self.num_steps, dtype="int32")[::-1]
        steps = np.pad(steps, (0, extra_steps))
        length = len(steps)
        keys = FixedSeed.draw(generator, length, generator)

        def body(state, given):
            key, step = given
            beta = ops.take(ops.convert_to_tensor(self.betas), step)
            kept = ops.take(ops.convert_to_tensor(self.kept), step)
            batch = ops.broadcast_to(step, (num_samples,))
            noise = self.network([state, batch], training=False)
            mean = state - beta / ops.sqrt(1 - kept) * noise
            new = keras.random.normal(ops.shape(state), seed=FixedSeed(key))
            return mean / ops.sqrt(1 - beta) + ops.sqrt(beta) * new, ()

        def run(first, keys, steps):
            return backend.scan(body, first, (keys, steps), length)[0]

        run = self._compiled(("sample", num_samples, extra_steps), run)
        return np.asarray(run(first, keys, ops.convert_to_tensor(steps)))

    def sample_in(self, num_steps, num_samples, seed=0, limit=np.inf):
        """Samples in fewer steps, without noise (DDIM).

        `limit` is the largest absolute value of data. Predictions of the clean
        point are clipped there, as is usual for images.
        """
        first = keras.random.normal((num_samples, *self.event), seed=seed)
        steps = np.linspace(self.num_steps - 1, 0, num_steps).round()
        steps = steps.astype("int32")
        kept = self.kept[steps]
        after = np.append(kept[1:], np.float32(1))

        def body(state, given):
            step, kept, after = given
            batch = ops.broadcast_to(step, (num_samples,))
            noise = self.network([state, batch], training=False)
            clean = (state - ops.sqrt(1 - kept) * noise) / ops.sqrt(kept)
            clean = ops.clip(clean, -limit, limit)
            noise = (state - ops.sqrt(kept) * clean) / ops.sqrt(1 - kept)
            state = ops.sqrt(after) * clean + ops.sqrt(1 - after) * noise
            return state, ()

        def run(first, *given):
            return backend.scan(body, first, given, num_steps)[0]

        run = self._compiled(("sample_in", num_samples, num_steps, limit), run)
        given = map(ops.convert_to_tensor, (steps, kept, after))
        return np.asarray(run(first, *given))


class StopAfter(keras.callbacks.Callback):
    """Ends training after `seconds`, counted from the second batch."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        if self.steps == 0:  # The first one compiles.
            self.start = time.perf_counter()
        self.steps += 1
        if time.perf_counter() - self.start > self.seconds:
            self.model.stop_training = True


# A `Stopwatch` keeps this file in a run's folder.
STOPWATCH = "training_time.json"


class Stopwatch(keras.callbacks.Callback):
    """Seconds of training batches, except each run's first, which compiles.

    Kept in a file for runs that resume or had already ended.
    """

    def __init__(self, path):
        super().__init__()
        self.path = pathlib.Path(path)
        self.seconds = 0.0
        self.steps = 0
        self.compiled = False
        if self.path.exists():
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            self.seconds, self.steps = kept["seconds"], kept["steps"]

    def on_train_batch_begin(self, batch, logs=None):
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if self.compiled:
            self.seconds += time.perf_counter() - self._start
            self.steps += 1
        self.compiled = True

    def on_epoch_end(self, epoch, logs=None):
        kept = {"seconds": self.seconds, "steps": self.steps}
        common.write_json(self.path, kept)

    def seconds_of(self, steps):
        """Seconds of `steps` steps, at the mean of the timed ones."""
        return self.seconds * steps / max(self.steps, 1)
