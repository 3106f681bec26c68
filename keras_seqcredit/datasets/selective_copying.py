"""Selective copying, as arrays and as an endless stream."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.datasets.distinct import distinct_integers
from keras_seqcredit.datasets.streams import Stream
from keras_seqcredit.datasets.streams import draw


def selective_copying(
    num_samples: int,
    length: int = 100,
    num_symbols: int = 10,
    vocabulary: int = 8,
    one_hot: bool = False,
    seed: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Generates selective copying: recall symbols that come at random times.

    Like `copying_memory`, but the symbols are anywhere in the first `length`
    steps, with blanks between them. To store the symbols and skip the blanks, a
    network must look at its inputs: counting steps does not help. Then come a
    marker and `num_symbols` blanks, at which the symbols must be recalled in
    their original order:

    ```
    x:  blank s_1 blank blank s_2 ... s_n blank  marker  blank ... blank
    y:  blank .......................................... s_1   ... s_n
    ```

    Blank is 0, the symbols are `1 ... vocabulary` and the marker is
    `vocabulary + 1`, so a model of the targets needs `vocabulary + 1` outputs.
    Without memory, the best cross-entropy is `num_symbols * log(vocabulary)`
    per sequence, and a recalled symbol is right by chance once in `vocabulary`.

    Gu and Dao recall 16 symbols from sequences of 4,096 steps. The code of S4,
    by the same group, repeats the marker at each step of the recall; here it
    comes once.

    Args:
        num_samples: Integer, the number of sequences.
        length: Integer, the number of steps before the marker, at least
            `num_symbols`. Defaults to `100`.
        num_symbols: Integer, the number of symbols to recall. Defaults to
            `10`.
        vocabulary: Integer, the number of different symbols. Defaults to `8`.
        one_hot: Boolean, whether `x` is one-hot encoded. Defaults to `False`.
        seed: Integer or `None`. The same seed gives the same data; `None` gives
            different data at each call. Defaults to `None`.

    Returns:
        Tuple of NumPy arrays `(x, y)`, where
        `steps = length + 1 + num_symbols`:

        - `x`: int32, shape `(num_samples, steps)`; or, one-hot, float32, shape
            `(num_samples, steps, vocabulary + 2)`.
        - `y`: int32, shape `(num_samples, steps)`.

    Raises:
        ValueError: if an argument is not an integer or is too small, or if
            there are more symbols than steps before the marker.

    Example:

    ```python
    from keras_seqcredit import datasets

    x, y = datasets.selective_copying(1000, length=39, one_hot=True, seed=0)
    assert x.shape == (1000, 50, 10)
    assert y.shape == (1000, 50)
    ```

    References:
        - Jing et al., "Gated Orthogonal Recurrent Units: On Learning to
          Forget", Neural Computation 31(4), 2019, arXiv:1706.02761: the
          denoise task.
        - Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective
          State Spaces", 2023, arXiv:2312.00752.
    """
    sample = _sampler(length, num_symbols, vocabulary, one_hot)
    return draw(sample, num_samples, seed)


def selective_copying_stream(
    batch_size: int,
    length: int = 100,
    num_symbols: int = 10,
    vocabulary: int = 8,
    one_hot: bool = False,
    batches_per_epoch: int = 100,
    seed: int | None = None,
    initial_epoch: int = 0,
) -> keras.utils.PyDataset:
    """Streams selective copying: fresh sequences in every epoch.

    A batch is a function of the seed, the epoch and its index in the epoch, so
    an interrupted training can be resumed as `copying_memory_stream` describes.

    Args:
        batch_size: Integer, the number of sequences per batch.
        length: Integer, the number of steps before the marker, at least
            `num_symbols`. Defaults to `100`.
        num_symbols: Integer, the number of symbols to recall. Defaults to
            `10`.
        vocabulary: Integer, the number of different symbols. Defaults to `8`.
        one_hot: Boolean, whether `x` is one-hot encoded. Defaults to `False`.
        batches_per_epoch: Integer, the length of the dataset. Defaults to
            `100`.
        seed: Integer or `None`. `None` draws a seed at random. Defaults to
            `None`.
        initial_epoch: Integer, the epoch at which the stream starts. Defaults
            to `0`.

    Returns:
        A `keras.utils.PyDataset` of batches `(x, y)`, with the shapes of
        `selective_copying`.

    Raises:
        ValueError: if an argument is not an integer or is too small, or if
            there are more symbols than steps before the marker.

    Example:

    ```python
    import keras
    from keras_seqcredit import datasets

    stream = datasets.selective_copying_stream(
        32, length=19, one_hot=True, batches_per_epoch=4, seed=0
    )
    model = keras.Sequential(
        [
            keras.layers.GRU(16, return_sequences=True),
            keras.layers.Dense(9, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(stream, epochs=2, shuffle=False, verbose=0)
    ```

    References:
        - Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective
          State Spaces", 2023, arXiv:2312.00752.
    """
    sample = _sampler(length, num_symbols, vocabulary, one_hot)
    return Stream(sample, batch_size, batches_per_epoch, seed, initial_epoch)


def _sampler(
    length: Any, num_symbols: Any, vocabulary: Any, one_hot: bool
) -> Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]:
    length = check_integer("length", length)
    num_symbols = check_integer("num_symbols", num_symbols)
    vocabulary = check_integer("vocabulary", vocabulary)
    if length < num_symbols:
        raise ValueError(
            "Expected `length` to be at least `num_symbols`. "
            f"Received: length={length}, num_symbols={num_symbols}"
        )
    return functools.partial(
        _sample,
        length=length,
        num_symbols=num_symbols,
        vocabulary=vocabulary,
        one_hot=check_flag("one_hot", one_hot),
    )


def _sample(
    rng: np.random.Generator,
    num_samples: int,
    length: int,
    num_symbols: int,
    vocabulary: int,
    one_hot: bool,
) -> tuple[np.ndarray, np.ndarray]:
    symbols = rng.integers(1, vocabulary + 1, (num_samples, num_symbols))
    places = np.sort(distinct_integers(rng, num_samples, length, num_symbols))
    x = np.zeros((num_samples, length + 1 + num_symbols), dtype="int32")
    y = np.zeros_like(x)
    np.put_along_axis(x, places, symbols, axis=1)
    x[:, length] = vocabulary + 1
    y[:, -num_symbols:] = symbols
    if one_hot:
        x = np.eye(vocabulary + 2, dtype="float32")[x]
    return x, y
