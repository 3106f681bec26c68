"""Fitting of models that need no targets."""

import keras

from keras_seqcredit.models.finite_loss import FiniteLoss


class FittedOnInputs:
    """A mixin of models that learn from their inputs alone."""

    def fit(self, x=None, y=None, *args, callbacks=None, **kwargs):
        """As `keras.Model.fit`; a loss that is not finite raises."""
        y = _or_placeholder(y, kwargs)
        # First: no other callback shall save what a bad batch has left.
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.callbacks.insert(0, FiniteLoss())
        else:
            callbacks = [FiniteLoss(), *keras.tree.flatten(callbacks or [])]
        return super().fit(x, y, *args, callbacks=callbacks, **kwargs)  # type: ignore[misc]

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As `keras.Model.evaluate`."""
        y = _or_placeholder(y, kwargs)
        return super().evaluate(x, y, *args, **kwargs)  # type: ignore[misc]


def _or_placeholder(y, arguments):
    """Keras drops the weights of examples that have no targets."""
    return arguments.get("sample_weight") if y is None else y
