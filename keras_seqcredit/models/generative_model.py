"""The base class of all generative models."""

import contextlib
import copy
import math
from typing import Any

import keras
import numpy as np

from keras_seqcredit import backend
from keras_seqcredit.backend import keras_private
from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_generator_or_seed
from keras_seqcredit.models.finite_loss import FiniteLoss
from keras_seqcredit.saving import SerializesArguments
from keras_seqcredit.utils.check_batches import check_batches


class GenerativeModel(SerializesArguments, keras.Model):
    """Abstract base of the models that learn from their inputs alone.

    A subclass implements `build`, `call` and `compute_loss`, as for any
    `keras.Model`, and may

    - name in `_objects` the arguments that are saved as Keras objects;
    - override `_checked`, which raises an error for unsuitable data.

    A subclass that draws random numbers has a `seed_generator`.
    """

    seed_generator: keras.random.SeedGenerator

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
        """Like `keras.Model.fit`, but raises on a non-finite loss.

        Raises:
            NonFiniteLossError: at the first batch with a non-finite loss.
        """
        x = self._checked(x)
        if validation_data is not None:
            inputs, *_ = keras.utils.unpack_x_y_sample_weight(validation_data)
            self._checked(inputs, "validation_data")
        build_for(self, x)
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
        return super().fit(
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
        """Like `keras.Model.evaluate`."""
        # `fit` validates this way after each epoch and has already checked it.
        if not keras_private.is_validation_of_fit(kwargs):
            x = self._checked(x)
        return super().evaluate(
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

    def generating_model(self) -> "GenerativeModel":
        """This model, or the generator that it trains."""
        return self

    def _checked(self, data, name="x"):
        """Returns the data, or raises an error if they are unsuitable."""
        del name
        return data

    def _added_losses(self):
        """The losses that layers have added.

        Must be read first: replicas of `tf.distribute` share the list of
        losses, and one of them pauses while another continues at every joint
        reduction, such as metrics.
        """
        return sum(map(keras.ops.sum, self.losses), 0.0)

    def _mean_cost(self, cost, sample_weight, added=None):
        """The mean over examples, plus the losses that layers have added.

        `added` are those losses, if they had to be read before.
        """
        if added is None:
            added = self._added_losses()
        sample_weight = example_weights(sample_weight)
        if sample_weight is not None:
            cost = keras.ops.cast(sample_weight, cost.dtype) * cost
        return keras.ops.mean(cost) + added

    @staticmethod
    def _scaled_for_replicas(loss):
        """The replica's share of the loss; gradients of replicas are summed."""
        return loss / backend.num_replicas()

    def _compiled(self, key: tuple, function: Any) -> Any:
        """Returns `function`, compiled at the first use of `key`."""
        cache = self.__dict__.setdefault("_compiled_functions", {})
        if key not in cache:
            cache[key] = backend.jit(function, self)
        return cache[key]

    def _generator(self, seed: Any) -> keras.random.SeedGenerator:
        """The seed generator for a seed; the model's own for None."""
        seed = check_generator_or_seed(seed)
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


def build_for(model: keras.Model, x: Any) -> None:
    """Builds a model and its optimizer if the shapes of the data are known.

    On TensorFlow, `fit` builds both in its first step. That is after
    `BackupAndRestore` has looked for variables to restore, and a step that
    creates variables is traced twice. A layer that is not built yet may still
    add variables, and an optimizer knows only those that it was built with.
    """
    strategy = keras_private.distribution_strategy(model)
    with strategy.scope() if strategy else contextlib.nullcontext():
        shapes = None if model.built else _shapes(x)
        if shapes is not None:
            model.build(shapes)
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None or optimizer.built:
            return
        if all(layer.built for layer in keras_private.flat_layers(model)):
            optimizer.build(model.trainable_variables)


def guarded(callbacks: Any) -> Any:
    """Callbacks for `fit`, with `FiniteLoss` first.

    This way, no other callback saves the effects of a bad batch. The caller's
    own list is not modified.
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
    """Checks that devices can share the batches of training and validation."""
    # One device draws no more batches than Keras does.
    if backend.num_batch_shards(model) == 1:
        return
    training = _counted(x)
    validation = None
    if validation_data is not None:
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(validation_data)
        validation = _counted(inputs)
    elif validation_split and isinstance(training, int):
        # Keras rounds this way.
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
    # Datasets also have lengths, but no shapes.
    sizes = {
        a.shape[0] for a in keras.tree.flatten(data) if hasattr(a, "shape")
    }
    return sizes.pop() if len(sizes) == 1 else None


def _sizes(data, batch_size, steps):
    """Yields numbers of examples and their batch sizes, if known."""
    if isinstance(data, keras.utils.PyDataset):
        batches = data.num_batches
        # The last batch may be smaller.
        last = min(steps or batches or 1, batches or 1) - 1
        for index in sorted({0, last}):
            inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data[index])
            size = _counted(inputs)
            if size:
                yield size, size
    elif data:
        # Keras chooses it this way.
        default = math.ceil(data / steps) if steps else 32
        yield data, batch_size or default


def _or_placeholder(y, sample_weight):
    """The targets, or a placeholder, without which Keras drops the weights."""
    return sample_weight if y is None else y


def example_weights(sample_weight: Any) -> Any:
    """Returns example weights `(batch,)`, or None.

    A column of weights would broadcast with costs to a square.

    Args:
        sample_weight: `(batch,)` or `(batch, 1)`, or None.

    Raises:
        ValueError: if it has another shape.
    """
    if sample_weight is None:
        return None
    shape = tuple(sample_weight.shape)
    if len(shape) == 2 and shape[1] == 1:
        return sample_weight[:, 0]
    if len(shape) != 1:
        raise ValueError(
            "Each sequence or point has a single weight. Expected "
            "`sample_weight` of shape (batch,); a mask leaves out steps. "
            f"Received: shape={shape}"
        )
    return sample_weight


def log_mean(weights: np.ndarray, return_error: bool) -> Any:
    """Log of the mean weight and, if requested, its standard error.

    Args:
        weights: Float64 `(num_samples, n)`, log-weights.
        return_error: Boolean.

    Returns:
        Float32 `(n,)`, or a pair of such arrays. The standard error is by the
        delta method, NaN for a single sample, which says nothing about its
        error.
    """
    top = weights.max(axis=0)
    ratios = np.exp(weights - top)
    mean = ratios.mean(axis=0)
    value = (top + np.log(mean)).astype("float32")
    if not check_flag("return_error", return_error):
        return value
    if len(weights) == 1:
        return value, np.full_like(value, math.nan)
    deviation = ratios.std(axis=0, ddof=1) / math.sqrt(len(weights))
    return value, (deviation / mean).astype("float32")
