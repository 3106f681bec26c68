"""Metrics of sequence models."""

import math
from typing import Any

import keras
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.backend import keras_private
from keras_seqcredit.checks import check_array
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_non_negative
from keras_seqcredit.checks import fits
from keras_seqcredit.layers.heads.distribution_head import DistributionHead
from keras_seqcredit.saving import public
from keras_seqcredit.types import Tensor

__all__ = ["ActiveUnits", "BitsPerStep", "mean_discrepancy"]


@public
class BitsPerStep(keras.metrics.MeanMetricWrapper):
    """Mean number of bits per time step, the negative log2 of its likelihood.

    With a `head`, it is a metric for `compile`: it is updated with targets and
    the head's parameters, and Keras excludes padded steps. Without one, it is
    updated with negative log-likelihoods in nats, by a model that computes them
    anyway.

    For characters this is the number of bits per character.

    Args:
        head: `DistributionHead`, the last layer of the model. Defaults to
            `None`.
        name: String. Defaults to `"bits_per_step"`.
        dtype: Dtype of the result. Defaults to `keras.config.floatx()`.

    Call arguments:
        y_true: With a head, targets as it expects them; without one, negative
            log-likelihoods in nats, `(batch, time)`.
        y_pred: With a head, parameters `(batch, time, num_parameters)`.
        sample_weight: Weight of each step, `(batch, time)`, such as a boolean
            mask, or of each example. Without a head, steps of weight 0 may hold
            anything.

    Raises:
        ValueError: if `head` is not a `DistributionHead`, or if `y_pred` is
            missing with a head or given without one.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit.layers import CategoricalHead
    from keras_seqcredit.metrics import BitsPerStep

    inputs = keras.Input((None, 8))
    head = CategoricalHead(4)
    model = keras.Model(inputs, head(inputs))
    model.compile(
        "adam", head.negative_log_likelihood, metrics=[BitsPerStep(head)]
    )

    metric = BitsPerStep()
    metric.update_state(np.log([[2.0, 8.0]]))
    assert np.isclose(metric.result(), 2.0)
    ```
    """

    def __init__(
        self,
        head: DistributionHead | None = None,
        name: str = "bits_per_step",
        dtype: Any = None,
    ) -> None:
        if head is not None and not isinstance(head, DistributionHead):
            raise ValueError(
                "Expected `head` to be a `DistributionHead` or None. "
                f"Received: head={head!r}"
            )
        # A metric must not hold the head itself: Keras would save its weights
        # here instead of with the model.
        nats = None if head is None else head.negative_log_likelihood
        super().__init__(nats, name=name, dtype=dtype)
        keras_private.set_direction(self, "down")

    def update_state(
        self, y_true: Any, y_pred: Any = None, sample_weight: Any = None
    ) -> None:
        nats_of = keras_private.wrapped_function(self)
        if (nats_of is None) != (y_pred is None):
            raise ValueError(
                "Expected `update_state(y_true, y_pred)` with a head and "
                "`update_state(nats, sample_weight=...)` without. Received: "
                f"{'no head' if nats_of is None else 'a head'}, "
                f"y_pred={y_pred!r}"
            )
        if nats_of is not None:
            super().update_state(y_true, y_pred, sample_weight)
            return
        nats = ops.cast(y_true, self.dtype)
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, self.dtype)
            if len(sample_weight.shape) == len(nats.shape):
                nats = ops.where(sample_weight == 0, 0.0, nats)
        keras.metrics.Mean.update_state(self, nats, sample_weight)

    def result(self) -> Tensor:
        return super().result() / math.log(2)

    def get_config(self):
        nats_of = keras_private.wrapped_function(self)
        head = None if nats_of is None else nats_of.head
        head = keras.saving.serialize_keras_object(head)
        return {"name": self.name, "dtype": self.dtype, "head": head}

    @classmethod
    def from_config(cls, config):
        head = keras.saving.deserialize_keras_object(config["head"])
        return cls(**{**config, "head": head})


@public
class ActiveUnits(keras.metrics.Metric):
    """Number of latent dimensions that carry information about the data.

    A dimension is active if the mean of its posterior varies over the data,
    with a variance above `threshold`. In a collapsed model, none is active.

    In a sequence model whose prior depends on the past, the posterior mean
    moves with the prior's even if the two are equal and carry no information.
    For such a model, pass the difference of the two means, in standard
    deviations of the prior. For a fixed standard normal prior, that is the
    posterior mean itself.

    Means and variances are merged batch by batch without loss of precision by
    cancellation.

    Args:
        latent_dim: Positive integer, number of latent dimensions.
        threshold: Non-negative float. Defaults to `0.01`.
        name: String. Defaults to `"active_units"`.
        dtype: Dtype of the state and result. Defaults to
            `keras.config.floatx()`.

    Call arguments:
        means: `(..., latent_dim)`, for example `(batch, time, latent_dim)`:
            posterior means, where all leading axes are data.
        sample_weight: Non-negative weight `(...)`, such as a boolean mask.
            Entries of weight 0 may hold anything.

    Returns:
        Float scalar, the number of active dimensions; NaN once a mean of
        nonzero weight was not finite.

    Raises:
        ValueError: if an argument or a shape is invalid.

    Example:

    ```python
    import numpy as np

    from keras_seqcredit.metrics import ActiveUnits

    metric = ActiveUnits(latent_dim=2)
    metric.update_state(np.array([[1.0, 0.5], [-1.0, 0.51]]))
    assert metric.result() == 1
    ```

    References:
        - Burda et al., "Importance Weighted Autoencoders", ICLR 2016,
          arXiv:1509.00519, section 5.2.
    """

    def __init__(
        self,
        latent_dim: int,
        threshold: float = 0.01,
        name: str = "active_units",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.latent_dim = check_integer("latent_dim", latent_dim)
        self.threshold = check_non_negative("threshold", threshold)
        keras_private.set_direction(self, "up")
        # All three are sums, the aggregation over replicas.
        self.count = self.add_variable((), "zeros", self.dtype, name="count")
        self.total = self.add_variable(
            (latent_dim,), "zeros", self.dtype, name="total"
        )
        self.squares = self.add_variable(
            (latent_dim,), "zeros", self.dtype, name="squares"
        )

    def update_state(self, means: Any, sample_weight: Any = None) -> None:
        means = ops.cast(means, self.dtype)
        if means.shape[-1] != self.latent_dim:
            raise ValueError(
                f"Expected means of shape (..., {self.latent_dim}). "
                f"Received: shape={tuple(means.shape)}"
            )
        if sample_weight is None:
            weight = ops.ones_like(means[..., :1])
        else:
            weight = ops.cast(sample_weight, self.dtype)[..., None]
            if len(weight.shape) != len(means.shape):
                raise ValueError(
                    "Expected a sample weight for each of the means. Received: "
                    f"sample_weight of shape {tuple(weight.shape[:-1])}, means "
                    f"of shape {tuple(means.shape)}"
                )
            means = ops.where(weight == 0, 0.0, means)
        weight = ops.broadcast_to(weight, ops.shape(means[..., :1]))
        axes = tuple(range(len(means.shape) - 1))
        count, total = self.count.value, self.total.value
        # Each replica holds an equal share of the sums.
        new_count = backend.replica_mean(ops.sum(weight))
        new_total = backend.replica_mean(ops.sum(weight * means, axis=axes))
        mean = new_total / ops.maximum(new_count, 1e-30)
        squares = ops.sum(weight * ops.square(means - mean), axis=axes)
        # The difference between the mean so far and that of the new data.
        gap = ops.square(mean - total / ops.maximum(count, 1e-30))
        both = count * new_count / ops.maximum(count + new_count, 1e-30)
        self.squares.assign_add(squares + both * gap)
        self.total.assign_add(new_total)
        self.count.assign_add(new_count)

    def variances(self) -> Tensor:
        """Returns the variance of each dimension so far, `(latent_dim,)`."""
        count = ops.maximum(self.count.value, 1e-30)
        return self.squares.value / count

    def result(self) -> Tensor:
        variances = self.variances()
        active = ops.cast(variances > self.threshold, self.dtype)
        # NaN propagates.
        return ops.sum(active + 0 * variances)

    def get_config(self):
        config = super().get_config()
        return {
            **config,
            "latent_dim": self.latent_dim,
            "threshold": self.threshold,
        }


def mean_discrepancy(a: Tensor, b: Tensor, mask: Any = None) -> Tensor:
    """Computes the squared maximum mean discrepancy of two sets of sequences.

    It is computed for each step with a Gaussian kernel whose width is the
    distance between rows of `a`, and estimated on pairs of neighboring rows.
    Its expectation is 0 if both have the same distribution, and it may be
    negative.

    Args:
        a: `(batch, time, features)`.
        b: Like `a`; a row may depend only on the same row of `a`.
        mask: Boolean `(batch, time)` or `None`, the steps that count. Defaults
            to all.

    Returns:
        Scalar, the mean over steps.

    Raises:
        ValueError: if shapes do not match.

    Example:

    ```python
    import numpy as np

    from keras_seqcredit.metrics import mean_discrepancy

    a, b = np.random.default_rng(0).normal(size=(2, 512, 10, 3))
    assert abs(mean_discrepancy(a, b)) < 0.05
    assert mean_discrepancy(a, b + 2) > 0.1
    ```

    References:
        - Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012, section 6.
    """
    shape = "batch, time, features"
    a, b = _as_tensor("a", a, shape), _as_tensor("b", b, shape)
    if not fits(a.shape, b.shape):
        raise ValueError(
            "Expected `a` and `b` to be of one shape (batch, time, features). "
            f"Received: {tuple(a.shape)} and {tuple(b.shape)}"
        )

    def next_row(x):
        return ops.roll(x, 1, axis=0)

    pairs = ops.ones(ops.shape(a)[:2], a.dtype)
    if mask is not None:
        mask = ops.cast(_as_tensor("mask", mask, "batch, time"), "bool")
        if not fits(mask.shape, a.shape[:2]):
            raise ValueError(
                "Expected `mask` to have the shape (batch, time)="
                f"{tuple(a.shape[:2])}. Received: {tuple(mask.shape)}"
            )
        a, b = (ops.where(mask[..., None], x, 0.0) for x in (a, b))
        pairs = ops.cast(mask & next_row(mask), a.dtype)

    def distance(x, y):
        return ops.sum(ops.square(x - y), axis=-1)

    apart = distance(a, next_row(a))
    number = ops.maximum(ops.sum(pairs, axis=0), 1.0)
    # Rows that differ only by rounding, as first states may, are equal.
    size = ops.sum(pairs * ops.sum(ops.square(a), axis=-1), axis=0) / number
    width = ops.sum(pairs * apart, axis=0) / number
    width = ops.maximum(width, 1e-6 * size) + 1e-12

    def kernel(distance):
        return ops.exp(-distance / (2 * width))

    found = kernel(apart) + kernel(distance(b, next_row(b)))
    found = found - kernel(distance(a, next_row(b)))
    found = found - kernel(distance(b, next_row(a)))
    return ops.sum(pairs * found) / ops.maximum(ops.sum(pairs), 1.0)


def _as_tensor(name: str, x: Any, shape: str) -> Tensor:
    """A tensor with as many axes as `shape` names."""
    ndim = len(shape.split(", "))
    if not ops.is_tensor(x):
        x = ops.convert_to_tensor(check_array(name, x, ndim))
    if len(x.shape) != ndim:
        raise ValueError(
            f"Expected `{name}` to have the shape ({shape}). Received: "
            f"{tuple(x.shape)}"
        )
    return x
