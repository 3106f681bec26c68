"""Points on a circle."""

import numpy as np

from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_non_negative
from keras_seqcredit.checks import check_seed


def circle(
    num_samples: int, noise: float = 0.02, seed: int | None = None
) -> np.ndarray:
    """Draws points from a circle of radius 1 around 0.

    Args:
        num_samples: Integer, the number of points.
        noise: Non-negative float, the standard deviation of the normal noise
            that is added to both coordinates. Defaults to `0.02`.
        seed: Integer or `None`. The same seed gives the same data; `None` gives
            different data at each call. Defaults to `None`.

    Returns:
        Float32 NumPy array of shape `(num_samples, 2)`.

    Raises:
        ValueError: if an argument has an invalid value.

    Example:

    ```python
    from keras_seqcredit import datasets

    x = datasets.circle(1000, seed=0)
    assert x.shape == (1000, 2)
    ```
    """
    num_samples = check_integer("num_samples", num_samples)
    check_non_negative("noise", noise)
    rng = np.random.default_rng(check_seed(seed))
    angle = rng.uniform(0, 2 * np.pi, num_samples)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points += rng.normal(scale=noise, size=points.shape)
    return points.astype("float32")
