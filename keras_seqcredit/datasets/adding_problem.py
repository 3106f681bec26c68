"""The adding problem."""

import numpy as np

from keras_seqcredit.checks import check_integer


def adding_problem(
    num_samples: int, length: int = 200, seed: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Generates the adding problem: sum the two marked numbers of a sequence.

    Each step has a number drawn uniformly from `[0, 1)` and a mark. One number
    of the first half of the sequence and one of the second half are marked by
    1, all others by 0. The target is the sum of the two marked numbers. Always
    answering 1 has a mean squared error of 1/6, about 0.167.

    Args:
        num_samples: Integer, the number of sequences.
        length: Integer, the number of steps, at least 2. Defaults to `200`.
        seed: Integer or `None`. The same seed gives the same data; `None`
            gives other data at each call.

    Returns:
        Tuple of NumPy arrays `(x, y)`:

        - `x`: float32, shape `(num_samples, length, 2)`; `x[..., 0]` are the
            numbers, `x[..., 1]` the marks.
        - `y`: float32, shape `(num_samples, 1)`.

    Raises:
        ValueError: if an argument is not an integer or is too small.

    Example:

    ```python
    from keras_seqcredit import datasets

    x, y = datasets.adding_problem(1000, length=50, seed=0)
    assert x.shape == (1000, 50, 2)
    assert y.shape == (1000, 1)
    ```

    References:
        - Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural
          Computation 9(8), 1997.
    """
    num_samples = check_integer("num_samples", num_samples)
    length = check_integer("length", length, minimum=2)
    rng = np.random.default_rng(
        check_integer("seed", seed, minimum=0, optional=True)
    )
    half = length // 2
    rows = np.arange(num_samples)
    x = np.zeros((num_samples, length, 2), dtype="float32")
    x[..., 0] = rng.random((num_samples, length), dtype="float32")
    x[rows, rng.integers(0, half, num_samples), 1] = 1
    x[rows, rng.integers(half, length, num_samples), 1] = 1
    y = np.sum(x[..., 0] * x[..., 1], axis=1, keepdims=True)
    return x, y
