"""A generative stochastic network for black and white, for comparison.

The chain corrupts its state, then draws each feature from a network's
probabilities given the corrupted state. It is trained by walking back: the
chain runs from the data, and the network learns to restore the data from each
state on the way. The corruption is the same at each step, where Variational
Walkback raises a temperature.

References:
    - Bengio et al., "Generalized Denoising Auto-Encoders as Generative Models",
      NeurIPS 2013, arXiv:1305.6663 (walking back).
    - Bengio et al., "Deep Generative Stochastic Networks Trainable by
      Backprop", ICML 2014, arXiv:1306.1091.
"""

import keras
import numpy as np
from keras import ops
from rivals import Rival

from keras_seqcredit import backend
from keras_seqcredit.seeds import FixedSeed


class GSN(Rival):
    """`network(x)` gives logits of the data, `x` a corrupted state.

    Args:
        network: Takes states and gives logits of the same shape.
        corruption: Share of features that a fair coin replaces.
        steps: Length of the training walk.
        seed: Integer.
    """

    def __init__(self, network, corruption=0.4, steps=5, seed=None):
        super().__init__(network, seed)
        self.corruption = corruption
        self.steps = steps

    def _logits(self, state, seed):
        # One draw chooses features and the coins that replace them.
        chance = keras.random.uniform(ops.shape(state), seed=seed)
        coin = ops.cast(chance < self.corruption / 2, state.dtype)
        return self.network(ops.where(chance < self.corruption, coin, state))

    def call(self, inputs, training=False):
        state = x = ops.cast(inputs, "float32")
        loss = 0.0
        for _ in range(self.steps):
            logits = self._logits(state, self.seed_generator)
            loss = loss + keras.losses.binary_crossentropy(
                x, logits, from_logits=True
            )
            chance = keras.random.uniform(
                ops.shape(x), seed=self.seed_generator
            )
            state = ops.cast(chance < ops.sigmoid(logits), "float32")
            state = ops.stop_gradient(state)
        return loss / self.steps

    def sample(self, num_steps, num_samples, seed=0):
        """Probabilities after `num_steps` steps from fair coins."""
        generator = keras.random.SeedGenerator(seed)
        shape = (num_samples, *self.event)
        first = keras.random.uniform(shape, seed=generator)
        keys = FixedSeed.draw(generator, 2 * num_steps, generator)
        keys = ops.reshape(keys, (num_steps, 2, 2))

        def body(state, keys):
            corrupt, draw = (FixedSeed(keys[i]) for i in range(2))
            logits = self._logits(state, corrupt)
            chance = keras.random.uniform(shape, seed=draw)
            probabilities = ops.sigmoid(logits)
            return ops.cast(chance < probabilities, "float32"), probabilities

        def run(first, keys):
            state = ops.cast(first < 0.5, "float32")
            return backend.scan(body, state, keys, num_steps)[1][-1]

        run = self._compiled(("sample", num_samples, num_steps), run)
        return np.asarray(run(first, keys))
