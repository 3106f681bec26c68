"""Compiled methods of models, and random numbers for them."""

from typing import Any

import keras

from keras_seqcredit import backend


class CompiledMethods:
    """A mixin of models whose methods are compiled, once for each shape."""

    built: bool
    seed_generator: keras.random.SeedGenerator

    def _compiled(self, key: tuple, function: Any) -> Any:
        """`function`, compiled the first time that `key` is asked for."""
        cache = self.__dict__.setdefault("_compiled_functions", {})
        if key not in cache:
            cache[key] = backend.compiled(function, self)
        return cache[key]

    def _generator(self, seed: Any) -> keras.random.SeedGenerator:
        """What draws from a seed: the model's own generator for None."""
        if seed is None:
            return self.seed_generator
        if isinstance(seed, keras.random.SeedGenerator):
            return seed
        return keras.random.SeedGenerator(seed)

    def _check_built(self) -> None:
        if not self.built:
            raise ValueError(
                "The model has not seen data. Expected a model that was "
                "trained, loaded or called once. Received: an unbuilt "
                f"{type(self).__name__}"
            )
