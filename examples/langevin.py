"""Annealed Langevin dynamics, for comparison with chains that continue.

The network is a transition operator's, and sees its step. It predicts the
noise of a point at each of several levels. Unlike the chain of a diffusion
model, the dynamics at one level have a stationary distribution: the chain may
continue at the last level for any number of steps.

References:
    - Song, Ermon, "Generative Modeling by Estimating Gradients of the Data
      Distribution", NeurIPS 2019, arXiv:1907.05600.
"""

import keras
import numpy as np
from keras import ops
from rivals import Rival

from keras_seqcredit import backend
from keras_seqcredit.seeds import FixedSeed


class Langevin(Rival):
    """`network([x / sqrt(1 + level^2), step])` predicts the noise in `x`.

    Args:
        network: Takes states and steps.
        levels: Standard deviations of the noise, smallest first, for data with
            a standard deviation of about 1.
        step_size: Step size at a level, in units of the level's variance.
        steps: Number of steps at each level.
    """

    def __init__(self, network, levels, step_size=0.2, steps=5, seed=None):
        super().__init__(network, seed)
        self.levels = np.asarray(levels, "float32")
        self.step_size = step_size
        self.steps = steps
        self.num_steps = steps * len(self.levels)

    def noise_in(self, x, step):
        level = ops.take(ops.convert_to_tensor(self.levels), step)
        level = ops.reshape(level, (-1,) + (1,) * len(self.event))
        return self.network([x / ops.sqrt(1 + level**2), step]), level

    def call(self, inputs, training=False):
        x = ops.cast(inputs, "float32")
        shape = ops.shape(x)
        step = keras.random.randint(
            shape[:1], 0, len(self.levels), seed=self.seed_generator
        )
        noise = keras.random.normal(shape, seed=self.seed_generator)
        level = ops.take(ops.convert_to_tensor(self.levels), step)
        level = ops.reshape(level, (-1,) + (1,) * (len(shape) - 1))
        return ops.square(self.noise_in(x + level * noise, step)[0] - noise)

    def sample(self, num_samples, extra_steps=0, seed=0):
        """Samples; `extra_steps` continue at the last level."""
        generator = keras.random.SeedGenerator(seed)
        shape = (num_samples, *self.event)
        first = keras.random.normal(shape, seed=generator)
        first = first * float(np.sqrt(1 + self.levels[-1] ** 2))
        steps = np.arange(len(self.levels), dtype="int32")[::-1]
        steps = np.pad(np.repeat(steps, self.steps), (0, extra_steps))
        length = len(steps)
        keys = FixedSeed.draw(generator, length, generator)

        def body(state, given):
            key, step = given
            batch = ops.broadcast_to(step, (num_samples,))
            noise, level = self.noise_in(state, batch)
            new = keras.random.normal(shape, seed=FixedSeed(key))
            move = self.step_size / 2 * noise - self.step_size**0.5 * new
            return state - level * move, ()

        def run(first, keys, steps):
            last = backend.scan(body, first, (keys, steps), length)[0]
            noise, level = self.noise_in(
                last, ops.zeros((num_samples,), "int32")
            )
            return last - level * noise  # The mean of the data given it.

        run = self._compiled(("sample", num_samples, extra_steps), run)
        return np.asarray(run(first, keys, ops.convert_to_tensor(steps)))
