"""A random key that was drawn before a loop."""

import keras

from keras_seqcredit.backend.keras_private import SeedWithoutState


class GivenKey(SeedWithoutState):
    """Hands out one key, for `seed=` inside a loop, where none may be drawn.

    Draw the keys of all steps outside: `GivenKey.draw`.
    """

    def __init__(self, key):
        self._key = key

    def next(self, ordered=True):
        del ordered
        return self._key

    @staticmethod
    def draw(seed, num, like):
        """Keys `(num, 2)`, from what Keras takes as a seed, typed as `like`."""
        keys = keras.random.randint((num, 2), 0, 2**31 - 1, "int32", seed=seed)
        return keras.ops.cast(keys, like.state.dtype)
