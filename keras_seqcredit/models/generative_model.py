"""Fitting of models that need no targets."""

import contextlib
import copy
import math
from typing import Any

import keras

from keras_seqcredit import backend
from keras_seqcredit.backend import keras_private
from keras_seqcredit.models.finite_loss import FiniteLoss
from keras_seqcredit.utils.check_batches import check_batches


class GenerativeModel:
    """A mixin of models that learn from their inputs alone."""

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
    ):
        """As `keras.Model.fit`; a loss that is not finite raises.

        Raises:
            NonFiniteLossError: at the first batch whose loss is not finite.
        """
        x = self._checked(x)
        if validation_data is not None:
            inputs, *_ = keras.utils.unpack_x_y_sample_weight(validation_data)
            self._checked(inputs, "validation_data")
        self._build_for(x)
        _check_shares(
            self,
            x,
            batch_size,
            steps_per_epoch,
            validation_split,
            validation_data,
            validation_batch_size,
            validation_steps,
        )
        return super().fit(  # type: ignore[misc]
            x,
            _or_placeholder(y, sample_weight),
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=guarded(callbacks),
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
        )

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """As `keras.Model.evaluate`."""
        # `fit`, which has checked it, validates so after each epoch.
        if not keras_private.is_validation_of_fit(kwargs):
            x = self._checked(x)
        return super().evaluate(  # type: ignore[misc]
            x,
            _or_placeholder(y, sample_weight),
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            steps=steps,
            callbacks=callbacks,
            return_dict=return_dict,
            **kwargs,
        )

    def _checked(self, data, name="x"):
        """The data, or an error that says why the model cannot learn them."""
        del name
        return data

    def _added_losses(self):
        """The losses that layers have added.

        To be read first: replicas of `tf.distribute` share the list of them,
        and one stops where another goes on in whatever they reduce together,
        such as metrics.
        """
        return sum(map(keras.ops.sum, self.losses), 0.0)  # type: ignore[attr-defined]

    @staticmethod
    def _of_replica(loss):
        """The part of a replica in the loss: gradients of all are added up."""
        return loss / backend.num_replicas()

    def _build_for(self, x) -> None:
        """Builds the model where the data tell their shapes without a draw.

        TensorFlow's `fit` builds in its first step, after `BackupAndRestore`
        has looked for variables to restore.
        """
        shapes = None if self.built else _shapes(x)  # type: ignore[attr-defined]
        if shapes is not None:
            strategy = keras_private.distribution_strategy(self)
            with strategy.scope() if strategy else contextlib.nullcontext():
                self.build(shapes)  # type: ignore[attr-defined]


def guarded(callbacks: Any) -> Any:
    """Callbacks for `fit`, `FiniteLoss` being the first of them.

    No other callback shall save what a bad batch has left. What the caller has
    passed stays as it is.
    """
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        return [FiniteLoss(), *keras.tree.flatten(callbacks or [])]
    more = copy.copy(callbacks)
    more.callbacks = [FiniteLoss(), *callbacks.callbacks]
    return more


def _shapes(data):
    """The shapes of the inputs for any batch size, or None if unknown."""
    if isinstance(data, keras.utils.PyDataset):
        data = data[0]
    data = getattr(data, "element_spec", data)
    inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    shapes = [
        getattr(leaf, "shape", None) for leaf in keras.tree.flatten(inputs)
    ]
    if not all(shapes):
        return None
    return keras.tree.map_structure(
        lambda leaf: (None, *leaf.shape[1:]), inputs
    )


def _check_shares(
    model,
    x,
    batch_size,
    steps_per_epoch,
    validation_split,
    validation_data,
    validation_batch_size,
    validation_steps,
) -> None:
    """Whether devices can share the batches of training and validation."""
    # One device draws no batch more than Keras does.
    if backend.num_shares(model) == 1:
        return
    training = _counted(x)
    validation = None
    if validation_data is not None:
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(validation_data)
        validation = _counted(inputs)
    elif validation_split and isinstance(training, int):
        # As Keras rounds.
        whole, training = training, int(training * (1.0 - validation_split))
        validation = whole - training
    for sizes in _sizes(training, batch_size, steps_per_epoch):
        check_batches(model, *sizes)
    for num_examples, size in _sizes(
        validation, validation_batch_size or batch_size, validation_steps
    ):
        if validation_steps:
            num_examples = min(num_examples, validation_steps * size)
        try:
            check_batches(model, num_examples, size)
        except ValueError as error:
            raise ValueError(f"The data for validation: {error}") from None


def _counted(data):
    """The number of examples in arrays, a `PyDataset`, or None if unknown."""
    if isinstance(data, keras.utils.PyDataset):
        return data
    # Data sets have lengths, too, but no shapes.
    sizes = {
        a.shape[0] for a in keras.tree.flatten(data) if hasattr(a, "shape")
    }
    return sizes.pop() if len(sizes) == 1 else None


def _sizes(data, batch_size, steps):
    """Yields numbers of examples and the size of their batches, if known."""
    if isinstance(data, keras.utils.PyDataset):
        batches = data.num_batches
        # Where it ends, a batch may be smaller.
        last = min(steps or batches or 1, batches or 1) - 1
        for index in sorted({0, last}):
            inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data[index])
            size = _counted(inputs)
            if size:
                yield size, size
    elif data:
        # As Keras chooses it.
        default = math.ceil(data / steps) if steps else 32
        yield data, batch_size or default


def _or_placeholder(y, sample_weight):
    """Keras drops the weights of examples that have no targets."""
    return sample_weight if y is None else y
