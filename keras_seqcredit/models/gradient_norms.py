"""Gradient norms of the two terms of a generator's loss."""

from typing import Any

from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.types import Tensor

# A gradient smaller than this has no effect.
_LEAST_NORM = 1e-20


def norm(gradients: Any, of_replicas: bool = True) -> Tensor:
    """Euclidean norm of all gradients together, float32.

    Args:
        gradients: List of tensors.
        of_replicas: Boolean, whether to take the norm of the mean over
            replicas, which then wait for each other. Defaults to `True`.
    """
    if of_replicas:
        gradients = map(backend.replica_mean, gradients)
    squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients]
    return ops.sqrt(sum(squares, ops.zeros(())))


def ratio(first: Any, second: Any, of_replicas: bool = True) -> Tensor:
    """Norm of `first` over norm of `second`; 0 if `first` is empty."""
    below = ops.maximum(norm(second, of_replicas), _LEAST_NORM)
    return norm(first, of_replicas) / below


def pulled_by(
    likelihood: list, adversarial: list, share: Any, listens: Tensor
) -> tuple[list, Tensor]:
    """The sum of two gradients, the second scaled relative to the first.

    Args:
        likelihood: List of tensors.
        adversarial: List of as many tensors.
        share: Float scalar, share of the norm of the first.
        listens: Float scalar, 0 to leave out the second.

    Returns:
        The gradients, and the ratio of the norms before scaling.
    """
    before = ratio(adversarial, likelihood)
    factor = share * listens / ops.maximum(before, _LEAST_NORM)
    # Avoids infinity times 0 where the second is 0.
    factor = ops.where(before > _LEAST_NORM, factor, 0.0)
    return [
        a + ops.cast(factor, b.dtype) * b
        for a, b in zip(likelihood, adversarial, strict=True)
    ], before


def measured_ratio(run: Any, weights: list, pull: Tensor) -> Tensor:
    """`ratio` of the adversarial term to the likelihood, in a separate run.

    Because it shares nothing with another run, it can stand in a branch.

    Args:
        run: Function of weights that returns a loss, behaviors, and more.
        weights: List of tensors.
        pull: Gradient of the adversarial loss with respect to the behaviors.
    """
    (loss, _), pull_back, _ = backend.vjp(
        run, *weights, has_aux=True, often=True
    )
    likelihood = pull_back((ops.ones_like(loss), ops.zeros_like(pull)))
    adversarial = pull_back((ops.zeros_like(loss), pull))
    # Replicas cannot wait for each other in a branch.
    return ratio(adversarial, likelihood, of_replicas=False)
