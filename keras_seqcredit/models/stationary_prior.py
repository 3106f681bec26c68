"""`p*`, independent features with the running moments of last states."""

from typing import Any

from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.layers.transitions.transition import Transition
from keras_seqcredit.types import Tensor


class StationaryPrior:
    """The density of the last states of a walk.

    Args:
        transition: A `Transition`, which determines the family.
        mean: Variable of the shape of a state.
        variance: The same.
    """

    def __init__(
        self, transition: Transition, mean: Any, variance: Any
    ) -> None:
        self.transition = transition
        self.mean = mean
        self.variance = variance

    def distribution(self) -> Any:
        """The TensorFlow Probability distribution for the current moments."""
        return self.transition.prior(
            ops.cast(self.mean, self.transition.parameter_dtype),
            ops.cast(self.variance, self.transition.parameter_dtype),
        )

    def score(self, states: Tensor) -> Tensor:
        """Log-density of states, `(batch,)`."""
        return self.transition.score(self.distribution(), states)

    def draw(self, noise: Tensor) -> Tensor:
        """Computes states from noise of the transition."""
        return self.transition.draw(self.distribution(), noise)

    def update(
        self, last: Tensor, sample_weight: Any, count: Any, momentum: float
    ) -> Tensor:
        """Moves the moments toward those of a batch.

        Args:
            last: `(batch, ..., features)`, the last states of walks.
            sample_weight: `(batch,)` or None.
            count: Integer, number of batches before. The first ones are
                averaged.
            momentum: Float.

        Returns:
            Integer, 1 if the batch counts, 0 if its weights are all 0.
        """
        last = ops.cast(last, "float32")
        weight = ops.ones(ops.shape(last)[:1])
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
        total = backend.replica_mean(ops.sum(weight))
        weight = ops.reshape(weight, (-1,) + (1,) * (len(last.shape) - 1))

        def average(values):
            mean = backend.replica_mean(ops.sum(weight * values, axis=0))
            return ops.divide_no_nan(mean, total)

        count = ops.cast(count, "float32")
        rate = ops.maximum(1 / (count + 1), 1 - momentum)
        rate = ops.where(total > 0, rate, 0.0)
        mean = average(last)
        variance = average(ops.square(last - mean))
        gap = mean - self.mean.value
        variance = variance - self.variance.value
        variance = variance + (1 - rate) * ops.square(gap)
        self.mean.assign_add(rate * gap)
        self.variance.assign_add(rate * variance)
        return ops.cast(total > 0, "int32")
