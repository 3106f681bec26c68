"""Measures how well a newly trained discriminator distinguishes runs."""

import functools
import random
from typing import Any

import keras
import numpy as np

from keras_seqcredit.checks import check_array
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_number
from keras_seqcredit.checks import check_seed
from keras_seqcredit.layers.recurrent.behavior_discriminator import (
    BehaviorDiscriminator,
)


def fresh_accuracy(
    data: Any,
    free: Any,
    mask: Any = None,
    units: int = 32,
    updates: int = 300,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    holdout: float = 0.5,
    seed: int = 0,
) -> float:
    """Computes the accuracy of a new discriminator on held-out rows.

    The discriminator is trained from scratch to distinguish sequences of `data`
    from sequences of `free`. It may detect differences that the discriminator
    used in training, or a fixed-width kernel as in `metrics.mean_discrepancy`,
    has missed. 0.5 is chance: a `BehaviorDiscriminator` of this size and
    training cannot distinguish the two. Compare only results with the same
    settings and number of rows.

    The random state of NumPy, Python and Keras is not changed.

    Args:
        data: `(rows, time, features)`, or integers `(rows, time)` for classes.
        free: Like `data`; a row may depend on the same row of `data`.
        mask: Boolean `(rows, time)`, the steps that count, or None for all.
            Defaults to `None`.
        units: Positive integer, units of the discriminator. Defaults to `32`.
        updates: Positive integer, number of training steps. Defaults to `300`.
        batch_size: Positive integer, number of rows of each kind per step.
            Defaults to `64`.
        learning_rate: Positive float, learning rate of Adam. Defaults to
            `3e-3`.
        holdout: Float between 0 and 1, share of the rows held out for
            evaluation. Defaults to `0.5`.
        seed: Integer, seed of its weights, its rows and their order. Defaults
            to `0`.

    Returns:
        Float, the share of held-out sequences that are classified correctly.

    Raises:
        ValueError: if an argument is invalid, or there are fewer than 4 rows.

    Example:

    ```python
    import numpy as np

    from keras_seqcredit.utils import fresh_accuracy

    a, b = np.random.default_rng(0).normal(size=(2, 64, 5, 2))
    accuracy = fresh_accuracy(a, b + 3.0, units=4, updates=30)
    assert accuracy > 0.9
    ```

    References:
        - Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", ICLR
          2017, arXiv:1610.06545.
    """
    data, free = _as_vectors(data, free)
    rows, time, features = data.shape
    if mask is None:
        mask = np.ones((rows, time), bool)
    mask = check_array("mask", mask, 2).astype(bool)
    if mask.shape != (rows, time):
        raise ValueError(
            f"Expected `mask` to have the shape (rows, time)={(rows, time)}. "
            f"Received: {mask.shape}"
        )
    check_integer("units", units)
    check_integer("updates", updates)
    check_integer("batch_size", batch_size)
    learning_rate = check_number("learning_rate", learning_rate)
    holdout = check_number(
        "holdout", holdout, "a number between 0 and 1", lambda x: 0 < x < 1
    )
    generator = np.random.default_rng(check_seed(seed, optional=False))
    order = generator.permutation(rows)
    # At least two rows of each kind for training and for evaluation.
    held = int(np.clip(round(holdout * rows), 2, rows - 2))
    seen, unseen = order[held:], order[:held]
    valid = data[seen][mask[seen]]
    mean, scale = valid.mean(axis=0), valid.std(axis=0) + 1e-6

    def pair(chosen):
        both = np.concatenate([data[chosen], free[chosen]])
        both = (both - mean) / scale
        valid = np.concatenate([mask[chosen]] * 2)
        labels = np.repeat([1.0, 0.0], len(chosen)).astype("float32")
        inputs = [np.where(valid[..., None], both, 0).astype("float32"), valid]
        return inputs, labels

    batch_size = min(batch_size, len(seen))
    judge = _discriminator(time, features, units)
    _start_anew(judge, learning_rate, generator)
    for _ in range(updates):
        batch = generator.choice(seen, batch_size, replace=False)
        judge.train_on_batch(*pair(batch))
    right = []
    for first in range(0, held, batch_size):
        # Always the same number of rows, for one compiled program.
        chosen = unseen[np.arange(first, first + batch_size) % held]
        inputs, labels = pair(chosen)
        found = (judge.predict_on_batch(inputs) > 0) == (labels > 0)
        number = min(batch_size, held - first)
        right += [found[:batch_size][:number], found[batch_size:][:number]]
    return float(np.mean(np.concatenate(right)))


def _as_vectors(data, free):
    """Both as `(rows, time, features)`; classes as one-hot vectors."""
    data, free = check_array("data", data), check_array("free", free)
    if data.shape != free.shape or data.ndim not in (2, 3) or len(data) < 4:
        raise ValueError(
            "Expected `data` and `free` to be of one shape (rows, time, "
            "features), or (rows, time) for classes, with 4 rows at least. "
            f"Received: {data.shape} and {free.shape}"
        )
    if data.ndim == 2:
        if not all(np.issubdtype(x.dtype, np.integer) for x in (data, free)):
            raise ValueError(
                "Expected sequences of shape (rows, time) to be integers, "
                f"classes. Received: dtypes {data.dtype} and {free.dtype}"
            )
        classes = np.eye(max(data.max(), free.max()) + 1, dtype="float32")
        data, free = classes[data], classes[free]
    return data, free


@functools.lru_cache(maxsize=4)
def _discriminator(time, features, units) -> keras.Model:
    """A compiled model, cached since compiling takes longer than training."""
    state = random.getstate()  # Keras initializers advance it.
    behaviors = keras.Input((time, features))
    mask = keras.Input((time,), dtype="bool")
    judge = BehaviorDiscriminator(units, dtype="float32")
    model = keras.Model(
        [behaviors, mask], judge(behaviors, mask=mask), name="fresh"
    )
    model.compile(
        keras.optimizers.Adam(),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    model.optimizer.build(model.trainable_variables)
    random.setstate(state)
    return model


def _start_anew(model, learning_rate, generator) -> None:
    for variable in model.trainable_variables:
        value = np.zeros(variable.shape)
        if len(variable.shape) == 2 and "bias" not in variable.name:
            limit = np.sqrt(6 / sum(variable.shape))
            value = generator.uniform(-limit, limit, variable.shape)
        variable.assign(value)
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape))
    model.optimizer.learning_rate = learning_rate
