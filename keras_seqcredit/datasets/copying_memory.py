"""The copying memory problem, as arrays and as an endless stream."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_seqcredit.checks import check_flag
from keras_seqcredit.checks import check_integer
from keras_seqcredit.datasets.streams import Stream
from keras_seqcredit.datasets.streams import check_length
from keras_seqcredit.datasets.streams import draw
from keras_seqcredit.datasets.streams import draw_lengths


def copying_memory(
    num_samples: int,
    length: int | tuple[int, int] = 100,
    num_symbols: int = 10,
    vocabulary: int = 8,
    one_hot: bool = False,
    seed: int | None = None,
) -> tuple[np.ndarray, ...]:
    """Generates the copying memory problem: recall symbols after a long gap.

    A sequence consists of `num_symbols` random symbols, `length - 1` blanks, a
    marker, and `num_symbols` blanks. The target is blank until the marker has
    been read, then the symbols in their original order:

    ```
    x:  s_1 ... s_n  blank ... blank  marker  blank ... blank
    y:  blank ............................... s_1   ... s_n
    ```

    Blank is 0, the symbols are `1 ... vocabulary` and the marker is
    `vocabulary + 1`, so a model of the targets needs `vocabulary + 1` outputs.
    Without memory, the best cross-entropy is `num_symbols * log(vocabulary)`
    per sequence.

    Args:
        num_samples: Integer, the number of sequences.
        length: Integer, the number of steps from the last symbol to the marker.
            Or a pair `(shortest, longest)`, both included: each sequence draws
            its own length and is padded with blanks at its end to the longest.
            Lengths are drawn log-uniformly, as many from 1 to 10 as from 10 to
            100: networks learn short ones sooner and more reliably. Defaults to
            `100`.
        num_symbols: Integer, the number of symbols to recall. Defaults to
            `10`.
        vocabulary: Integer, the number of different symbols. Defaults to `8`.
        one_hot: Boolean, whether `x` is one-hot encoded. Defaults to `False`.
        seed: Integer or `None`. The same seed gives the same data; `None` gives
            different data at each call. Defaults to `None`.

    Returns:
        Tuple of NumPy arrays `(x, y)`, where
        `steps = length + 2 * num_symbols`:

        - `x`: int32, shape `(num_samples, steps)`; or, one-hot, float32, shape
            `(num_samples, steps, vocabulary + 2)`.
        - `y`: int32, shape `(num_samples, steps)`.

        With a pair `length`, `(x, y, sample_weight)`, with as many steps as the
        longest:

        - `sample_weight`: float32, shape `(num_samples, steps)`, 0 at padding
          and 1 elsewhere.

    Raises:
        ValueError: if an argument is not an integer or is too small, or
            `length` is neither an integer nor such a pair.

    Example:

    ```python
    from keras_seqcredit import datasets

    x, y = datasets.copying_memory(1000, length=30, one_hot=True, seed=0)
    assert x.shape == (1000, 50, 10)
    assert y.shape == (1000, 50)

    # Gaps of many lengths, in arrays of one shape:
    x, y, sample_weight = datasets.copying_memory(1000, (10, 30), seed=0)
    assert x.shape == y.shape == sample_weight.shape == (1000, 50)
    ```

    References:
        - Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural
          Computation 9(8), 1997.
        - Arjovsky, Shah and Bengio, "Unitary Evolution Recurrent Neural
          Networks", ICML 2016, arXiv:1511.06464.
    """
    sample = _sampler(length, num_symbols, vocabulary, one_hot)
    return draw(sample, num_samples, seed)


def copying_memory_stream(
    batch_size: int,
    length: int | tuple[int, int] = 100,
    num_symbols: int = 10,
    vocabulary: int = 8,
    one_hot: bool = False,
    batches_per_epoch: int = 100,
    seed: int | None = None,
    initial_epoch: int = 0,
) -> keras.utils.PyDataset:
    """Streams the copying memory problem: fresh sequences in every epoch.

    A batch is a function of the seed, the epoch and its index in the epoch. A
    run that is resumed with the same `seed`, and with the same `initial_epoch`
    here and in `fit()`, therefore sees the same data as without the
    interruption. For that, `fit()` needs `shuffle=False`, since Keras otherwise
    visits the batches of an epoch in random order, and no `steps_per_epoch`,
    which the stream defines.

    Args:
        batch_size: Integer, the number of sequences per batch.
        length: Integer, the number of steps from the last symbol to the marker.
            Or a pair `(shortest, longest)`, both included: each sequence draws
            its own length and is padded with blanks at its end to the longest.
            Lengths are drawn log-uniformly, as many from 1 to 10 as from 10 to
            100: networks learn short ones sooner and more reliably. Defaults to
            `100`.
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
        A `keras.utils.PyDataset` of batches `(x, y)`, or with a pair `length`,
        `(x, y, sample_weight)`, with the shapes of `copying_memory`.

    Raises:
        ValueError: if an argument is not an integer or is too small, or
            `length` is neither an integer nor such a pair.

    Example:

    ```python
    import keras
    from keras_seqcredit import datasets

    stream = datasets.copying_memory_stream(
        32, length=10, one_hot=True, batches_per_epoch=4, seed=0
    )
    model = keras.Sequential(
        [
            keras.layers.GRU(16, return_sequences=True),
            keras.layers.Dense(9, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(stream, epochs=2, shuffle=False, verbose=0)

    # Later, from a checkpoint, with epoch 2 as the next one:
    stream = datasets.copying_memory_stream(
        32,
        length=10,
        one_hot=True,
        batches_per_epoch=4,
        seed=0,
        initial_epoch=2,
    )
    model.fit(stream, initial_epoch=2, epochs=3, shuffle=False, verbose=0)
    ```

    References:
        - Arjovsky, Shah and Bengio, "Unitary Evolution Recurrent Neural
          Networks", ICML 2016, arXiv:1511.06464.
    """
    sample = _sampler(length, num_symbols, vocabulary, one_hot)
    return Stream(sample, batch_size, batches_per_epoch, seed, initial_epoch)


def _sampler(
    length: Any, num_symbols: Any, vocabulary: Any, one_hot: bool
) -> Callable[[np.random.Generator, int], tuple[np.ndarray, ...]]:
    return functools.partial(
        _sample,
        length=check_length(length),
        num_symbols=check_integer("num_symbols", num_symbols),
        vocabulary=check_integer("vocabulary", vocabulary),
        one_hot=check_flag("one_hot", one_hot),
    )


def _sample(
    rng: np.random.Generator,
    num_samples: int,
    length: tuple[int, int] | int,
    num_symbols: int,
    vocabulary: int,
    one_hot: bool,
) -> tuple[np.ndarray, ...]:
    symbols = rng.integers(1, vocabulary + 1, (num_samples, num_symbols))
    if isinstance(length, tuple):
        longest = length[1]
        lengths = draw_lengths(rng, num_samples, length)
    else:
        longest = length
        lengths = np.full((num_samples, 1), length)
    x = np.zeros((num_samples, longest + 2 * num_symbols), dtype="int32")
    y = np.zeros_like(x)
    x[:, :num_symbols] = symbols
    recall = num_symbols + lengths + np.arange(num_symbols)
    np.put_along_axis(x, recall[:, :1] - 1, vocabulary + 1, axis=1)
    np.put_along_axis(y, recall, symbols, axis=1)
    weights = np.arange(x.shape[1]) < lengths + 2 * num_symbols
    if one_hot:
        x = np.eye(vocabulary + 2, dtype="float32")[x]
    if isinstance(length, tuple):
        return x, y, weights.astype("float32")
    return x, y
