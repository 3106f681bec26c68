"""The adding problem, as arrays and as an endless stream."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_seqcredit.datasets.streams import Stream
from keras_seqcredit.datasets.streams import check_length
from keras_seqcredit.datasets.streams import draw
from keras_seqcredit.datasets.streams import draw_lengths


def adding_problem(
    num_samples: int,
    length: int | tuple[int, int] = 200,
    seed: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Generates the adding problem: sum the two marked numbers of a sequence.

    Each step has a number drawn uniformly from `[0, 1)` and a mark. One number
    in the first half of the sequence and one in the second half are marked by
    1, all others by 0. The target is the sum of the two marked numbers. Always
    answering 1 has a mean squared error of 1/6, about 0.167.

    Args:
        num_samples: Integer, the number of sequences.
        length: Integer, the number of steps, at least 2. Or a pair `(shortest,
            longest)`, both included: each sequence draws its own length,
            log-uniformly, and starts with as many steps of zeros as it lacks to
            the longest. Defaults to `200`.
        seed: Integer or `None`. The same seed gives the same data; `None` gives
            different data at each call. Defaults to `None`.

    Returns:
        Tuple of NumPy arrays `(x, y)`:

        - `x`: float32, shape `(num_samples, length, 2)`, with the longest
            length of a pair; `x[..., 0]` are the numbers and `x[..., 1]` the
            marks.
        - `y`: float32, shape `(num_samples, 1)`.

    Raises:
        ValueError: if an argument is not an integer or is too small, or
            `length` is neither an integer nor such a pair.

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
    return draw(_sampler(length), num_samples, seed)


def adding_problem_stream(
    batch_size: int,
    length: int | tuple[int, int] = 200,
    batches_per_epoch: int = 100,
    seed: int | None = None,
    initial_epoch: int = 0,
) -> keras.utils.PyDataset:
    """Streams the adding problem: fresh sequences in every epoch.

    A batch is a function of the seed, the epoch and its index in the epoch, so
    an interrupted training can be resumed as `copying_memory_stream` describes.

    Args:
        batch_size: Integer, the number of sequences per batch.
        length: Integer, the number of steps, at least 2, or a pair; see
            `adding_problem`. Networks that fail on long sequences alone may
            learn them beside short ones. Defaults to `200`.
        batches_per_epoch: Integer, the length of the dataset. Defaults to
            `100`.
        seed: Integer or `None`. `None` draws a seed at random. Defaults to
            `None`.
        initial_epoch: Integer, the epoch at which the stream starts. Defaults
            to `0`.

    Returns:
        A `keras.utils.PyDataset` of batches `(x, y)`, with the shapes of
        `adding_problem`.

    Raises:
        ValueError: if an argument is not an integer or is too small, or
            `length` is neither an integer nor such a pair.

    Example:

    ```python
    import keras
    from keras_seqcredit import datasets

    stream = datasets.adding_problem_stream(
        32, length=20, batches_per_epoch=4, seed=0
    )
    model = keras.Sequential([keras.layers.GRU(16), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(stream, epochs=2, shuffle=False, verbose=0)
    ```

    References:
        - Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural
          Computation 9(8), 1997.
    """
    return Stream(
        _sampler(length), batch_size, batches_per_epoch, seed, initial_epoch
    )


def _sampler(
    length: Any,
) -> Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]:
    return functools.partial(_sample, length=check_length(length, minimum=2))


def _sample(
    rng: np.random.Generator, num_samples: int, length: tuple[int, int] | int
) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(length, tuple):
        longest = length[1]
        lengths = draw_lengths(rng, num_samples, length)[:, 0]
    else:
        longest, lengths = length, np.full(num_samples, length)
    start = longest - lengths
    half = start + lengths // 2
    rows = np.arange(num_samples)
    x = np.zeros((num_samples, longest, 2), dtype="float32")
    x[..., 0] = rng.random((num_samples, longest), dtype="float32")
    x[rows, rng.integers(start, half), 1] = 1
    x[rows, rng.integers(half, longest), 1] = 1
    x[np.arange(longest) < start[:, None]] = 0
    y = np.sum(x[..., 0] * x[..., 1], axis=1, keepdims=True)
    return x, y
