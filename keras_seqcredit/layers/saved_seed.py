"""Random numbers that go on where they were when a model was saved."""

import keras

from keras_seqcredit import backend


class ReplicaSeed(keras.random.SeedGenerator):
    """Other random numbers for each replica of `tf.distribute`.

    The state is the same in all: Keras' own generator would give each replica
    the noise of the others.
    """

    def next(self, ordered=True):
        return backend.replica_seed(super().next(ordered))


class SavedSeed:
    """A mixin of layers: the state of `seed_generator` is saved with them.

    Keras saves weights only: a layer loaded from a file, or a training that
    is resumed, would draw the noise of the first steps again.
    """

    seed_generator: keras.random.SeedGenerator

    def save_own_variables(self, store) -> None:
        super().save_own_variables(store)  # type: ignore[misc]
        store["seed"] = self.seed_generator.state.numpy()

    def load_own_variables(self, store) -> None:
        names = [name for name in store.keys() if name != "seed"]
        super().load_own_variables({n: store[n] for n in names})  # type: ignore[misc]
        if "seed" in store.keys():
            self.seed_generator.state.assign(store["seed"])
