"""A mixture of normal distributions on a grid."""

import numpy as np

from keras_seqcredit.checks import check_array
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_non_negative
from keras_seqcredit.checks import check_seed


def gaussian_mixture(
    num_samples: int,
    noise: float = 0.05,
    weights: np.ndarray | list[float] | None = None,
    seed: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws points from nine normal distributions on a grid of 3 x 3.

    The means are at -1, 0 and 1 in both coordinates; component `3 * i + j` is
    at `(i - 1, j - 1)`.

    Args:
        num_samples: Integer, the number of points.
        noise: Non-negative float, the standard deviation of each component.
            Defaults to `0.05`.
        weights: Nine non-negative numbers that sum to 1, the probability of
            each component, or `None` for equal probabilities. Defaults to
            `None`.
        seed: Integer or `None`. The same seed gives the same data; `None` gives
            different data at each call. Defaults to `None`.

    Returns:
        Tuple of NumPy arrays `(x, y)`:

        - `x`: float32, shape `(num_samples, 2)`, the points.
        - `y`: int32, shape `(num_samples,)`, the component of each.

    Raises:
        ValueError: if an argument has an invalid value.

    Example:

    ```python
    from keras_seqcredit import datasets

    x, y = datasets.gaussian_mixture(1000, seed=0)
    assert x.shape == (1000, 2)
    assert set(y) == set(range(9))
    ```
    """
    num_samples = check_integer("num_samples", num_samples)
    check_non_negative("noise", noise)
    rng = np.random.default_rng(check_seed(seed))
    probabilities = np.full(9, 1 / 9)
    if weights is not None:
        probabilities = check_array("weights", weights).astype("float64")
        if (
            probabilities.shape != (9,)
            or not (probabilities >= 0).all()
            or not np.isclose(probabilities.sum(), 1)
        ):
            raise ValueError(
                "Expected `weights` to be nine non-negative numbers that sum "
                f"to 1. Received: weights={weights}"
            )
    y = rng.choice(9, num_samples, p=probabilities)
    means = np.stack([y // 3 - 1, y % 3 - 1], axis=1)
    x = means + rng.normal(scale=noise, size=means.shape)
    return x.astype("float32"), y.astype("int32")
