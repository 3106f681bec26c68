"""The weights of an attention score, as a separate layer."""

from typing import Any

import keras

from keras_seqcredit import backend
from keras_seqcredit.recurrence.attention import SCORES


class ScoreWeights(keras.layers.Layer):
    """Owns the weights of one of the scores in `recurrence.attention`.

    Each weight is an attribute under its name in `score.weight_shapes`. `build`
    takes the shape of the memory, `(batch, slots, units)`.
    """

    def __init__(
        self,
        score,
        attention_units,
        initializer,
        regularizer,
        constraint,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.score: Any = SCORES[score]
        self.attention_units = attention_units
        self._initializer = initializer
        self._regularizer = regularizer
        self._constraint = constraint

    def build(self, memory_shape):
        units = memory_shape[-1]
        shapes = self.score.weight_shapes(units, self.attention_units or units)
        initializer = self._initializer or keras.initializers.VarianceScaling(
            self.score.start**2, "fan_avg", "uniform"
        )
        # A clone, since an initializer returns equal values at each call.
        clone = getattr(initializer, "clone", lambda: initializer)
        for name, shape in shapes.items():
            bias = name == "attention_bias"
            weight = self.add_weight(
                shape=shape,
                name=name,
                initializer="zeros" if bias else clone(),
                regularizer=None if bias else self._regularizer,
                constraint=None if bias else self._constraint,
            )
            setattr(self, name, weight)

    def prepared(self) -> tuple:
        """The weights in the form that `recurrence.run` expects."""
        names = self.score.weight_shapes(1, 1)
        return self.score.prepare(
            [backend.read(getattr(self, name)) for name in names]
        )
