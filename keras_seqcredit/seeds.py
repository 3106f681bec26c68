"""Random seeds: saved with a model, per replica, or drawn before a loop."""

import keras

from keras_seqcredit import backend
from keras_seqcredit.backend.keras_private import SeedWithoutState


class ReplicaSeed(keras.random.SeedGenerator):
    """Different random numbers for each replica of `tf.distribute`.

    The state is the same in all replicas: Keras' own generator would give all
    of them the same noise.
    """

    def next(self, ordered=True):
        return backend.replica_seed(super().next(ordered))


class SavedSeed(keras.layers.Layer):
    """A mixin for layers that saves the state of `seed_generator` with them.

    Keras saves only weights: a layer loaded from a file, or a resumed training
    run, would draw the noise of the first steps again.
    """

    seed_generator: keras.random.SeedGenerator

    def save_own_variables(self, store) -> None:
        super().save_own_variables(store)
        store["seed"] = self.seed_generator.state.numpy()

    def load_own_variables(self, store) -> None:
        names = [name for name in store.keys() if name != "seed"]
        super().load_own_variables({n: store[n] for n in names})
        if "seed" in store.keys():
            self.seed_generator.state.assign(store["seed"])


class FixedSeed(SeedWithoutState):
    """Returns one fixed key, for `seed=` in a loop, where none may be drawn.

    Draw the keys of all steps outside of the loop with `FixedSeed.draw`.
    """

    def __init__(self, key):
        self._key = key

    def next(self, ordered=True):
        del ordered
        return self._key

    @staticmethod
    def draw(seed, num, like):
        """Draws keys `(num, 2)` from a Keras seed, with the type of `like`."""
        keys = keras.random.randint((num, 2), 0, 2**31 - 1, "int32", seed=seed)
        return keras.ops.cast(keys, like.state.dtype)
