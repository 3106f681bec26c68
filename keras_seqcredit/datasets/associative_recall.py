"""Associative recall, as arrays and as an endless stream."""

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


def associative_recall(
    num_samples: int,
    num_pairs: int = 8,
    num_queries: int = 4,
    num_keys: int = 16,
    num_values: int = 16,
    length: int | None = None,
    hops: int = 1,
    one_hot: bool = False,
    seed: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Generates associative recall: read pairs, then name the values of keys.

    A sequence is a list of pairs of a key and its value, followed by some of
    the keys again, at random steps between blanks. Where a key is queried, the
    target is its value; everywhere else, it is blank:

    ```
    x:  k_1 v_1 k_2 v_2 ... k_n v_n  blank  k_5  blank blank  k_2  blank
    y:  blank .............................  v_5  blank .....  v_2  blank
    ```

    With `hops` of 2 or more, the answer requires following a chain: a pair may
    lead to a key instead of a value, and that key's pair continues the chain.
    With 2, the list contains `k_1 k_2` and `k_2 v_1`, in either order, and the
    answer to `k_1` is `v_1`. The list then consists of `num_pairs / hops`
    chains with their pairs shuffled, and queries ask for the first key of a
    chain. A key comes first in only one pair, and no two chains share a key or
    a value, so each query has one answer.

    Blank is 0, the values are `1 ... num_values` and the keys are
    `num_values + 1 ... num_values + num_keys`, for any number of hops. A model
    of the targets therefore needs `num_values + 1` outputs. Without memory, one
    answer in `num_values` is right, with a cross-entropy of `log(num_values)`.
    A model that knows the values of the list but not their keys is right once
    in `num_pairs / hops`.

    Here, all steps after the list are equally likely to hold a query. In the
    code of Arora et al., steps soon after the list are more likely, all keys
    are queried, and random symbols may replace the blanks.

    Args:
        num_samples: Integer, the number of sequences.
        num_pairs: Integer, the number of pairs, a multiple of `hops`. Defaults
            to `8`.
        num_queries: Integer, the number of queried keys, at most
            `num_pairs / hops`: no key is queried twice. Defaults to `4`.
        num_keys: Integer, the number of different keys, at least `num_pairs`.
            Defaults to `16`.
        num_values: Integer, the number of different values, at least
            `num_pairs / hops`. Defaults to `16`.
        length: Integer, the number of steps, at least
            `2 * num_pairs + num_queries`. Defaults to `None`, which means that
            number, without blanks.
        hops: Integer, the number of pairs that lead from a query to its
            answer. Defaults to `1`.
        one_hot: Boolean, whether `x` is one-hot encoded. Defaults to `False`.
        seed: Integer or `None`. The same seed gives the same data; `None` gives
            different data at each call. Defaults to `None`.

    Returns:
        Tuple of NumPy arrays `(x, y)`:

        - `x`: int32, shape `(num_samples, length)`; or, one-hot, float32,
            shape `(num_samples, length, 1 + num_values + num_keys)`.
        - `y`: int32, shape `(num_samples, length)`.

    Raises:
        ValueError: if an argument is not an integer, is too small, or is
            inconsistent with the others.

    Example:

    ```python
    from keras_seqcredit import datasets

    x, y = datasets.associative_recall(1000, length=50, one_hot=True, seed=0)
    assert x.shape == (1000, 50, 33)
    assert y.shape == (1000, 50)

    # Four chains of two pairs:
    x, y = datasets.associative_recall(1000, hops=2, seed=0)
    assert x.shape == y.shape == (1000, 20)
    ```

    References:
        - Arora et al., "Zoology: Measuring and Improving Recall in Efficient
          Language Models", 2023, arXiv:2312.04927: many queries.
        - Ba et al., "Using Fast Weights to Attend to the Recent Past", NeurIPS
          2016, arXiv:1610.06258: one query.
    """
    sample = _sampler(
        num_pairs, num_queries, num_keys, num_values, length, hops, one_hot
    )
    return draw(sample, num_samples, seed)


def associative_recall_stream(
    batch_size: int,
    num_pairs: int = 8,
    num_queries: int = 4,
    num_keys: int = 16,
    num_values: int = 16,
    length: int | None = None,
    hops: int = 1,
    one_hot: bool = False,
    batches_per_epoch: int = 100,
    seed: int | None = None,
    initial_epoch: int = 0,
) -> keras.utils.PyDataset:
    """Streams associative recall: fresh sequences in every epoch.

    A batch is a function of the seed, the epoch and its index in the epoch, so
    an interrupted training can be resumed as `copying_memory_stream` describes.

    Args:
        batch_size: Integer, the number of sequences per batch.
        num_pairs: Integer, the number of pairs, a multiple of `hops`. Defaults
            to `8`.
        num_queries: Integer, the number of queried keys, at most
            `num_pairs / hops`: no key is queried twice. Defaults to `4`.
        num_keys: Integer, the number of different keys, at least `num_pairs`.
            Defaults to `16`.
        num_values: Integer, the number of different values, at least
            `num_pairs / hops`. Defaults to `16`.
        length: Integer, the number of steps, at least
            `2 * num_pairs + num_queries`. Defaults to `None`, which means that
            number, without blanks.
        hops: Integer, the number of pairs that lead from a query to its
            answer. Defaults to `1`.
        one_hot: Boolean, whether `x` is one-hot encoded. Defaults to `False`.
        batches_per_epoch: Integer, the length of the dataset. Defaults to
            `100`.
        seed: Integer or `None`. `None` draws a seed at random. Defaults to
            `None`.
        initial_epoch: Integer, the epoch at which the stream starts. Defaults
            to `0`.

    Returns:
        A `keras.utils.PyDataset` of batches `(x, y)`, with the shapes of
        `associative_recall`.

    Raises:
        ValueError: if an argument is not an integer, is too small, or is
            inconsistent with the others.

    Example:

    ```python
    import keras
    from keras_seqcredit import datasets

    stream = datasets.associative_recall_stream(
        32, length=30, one_hot=True, batches_per_epoch=4, seed=0
    )
    model = keras.Sequential(
        [
            keras.layers.GRU(16, return_sequences=True),
            keras.layers.Dense(17, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(stream, epochs=2, shuffle=False, verbose=0)
    ```

    References:
        - Arora et al., "Zoology: Measuring and Improving Recall in Efficient
          Language Models", 2023, arXiv:2312.04927.
    """
    sample = _sampler(
        num_pairs, num_queries, num_keys, num_values, length, hops, one_hot
    )
    return Stream(sample, batch_size, batches_per_epoch, seed, initial_epoch)


def _sampler(
    num_pairs: Any,
    num_queries: Any,
    num_keys: Any,
    num_values: Any,
    length: Any,
    hops: Any,
    one_hot: bool,
) -> Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]:
    hops = check_integer("hops", hops)
    num_pairs = check_integer("num_pairs", num_pairs)
    num_queries = check_integer("num_queries", num_queries)
    num_keys = check_integer("num_keys", num_keys)
    num_values = check_integer("num_values", num_values)
    length = check_integer("length", length, optional=True)
    num_chains, rest = divmod(num_pairs, hops)
    shortest = 2 * num_pairs + num_queries
    if length is None:
        length = shortest
    for name, value, fits, expected in (
        ("num_pairs", num_pairs, not rest, f"a multiple of `hops`, {hops}"),
        (
            "num_queries",
            num_queries,
            num_queries <= num_chains,
            f"at most `num_pairs / hops`, {num_chains}",
        ),
        (
            "num_keys",
            num_keys,
            num_keys >= num_pairs,
            f"at least `num_pairs`, {num_pairs}",
        ),
        (
            "num_values",
            num_values,
            num_values >= num_chains,
            f"at least `num_pairs / hops`, {num_chains}",
        ),
        (
            "length",
            length,
            length >= shortest,
            f"at least `2 * num_pairs + num_queries`, {shortest}, or None",
        ),
    ):
        if not fits:
            raise ValueError(
                f"Expected `{name}` to be {expected}. Received: {name}={value}"
            )
    return functools.partial(
        _sample,
        num_chains=num_chains,
        num_queries=num_queries,
        num_keys=num_keys,
        num_values=num_values,
        length=length,
        hops=hops,
        one_hot=check_flag("one_hot", one_hot),
    )


def _sample(
    rng: np.random.Generator,
    num_samples: int,
    num_chains: int,
    num_queries: int,
    num_keys: int,
    num_values: int,
    length: int,
    hops: int,
    one_hot: bool,
) -> tuple[np.ndarray, np.ndarray]:
    num_pairs = num_chains * hops
    values = 1 + distinct_integers(rng, num_samples, num_values, num_chains)
    keys = distinct_integers(rng, num_samples, num_keys, num_pairs)
    keys = (1 + num_values + keys).reshape(num_samples, num_chains, hops)
    # A chain leads from each of its keys to the next, and from the last key to
    # its value.
    chains = np.concatenate([keys, values[..., None]], axis=-1)
    pairs = np.stack([chains[..., :-1], chains[..., 1:]], axis=-1)
    order = distinct_integers(rng, num_samples, num_pairs, num_pairs)
    pairs = np.take_along_axis(
        pairs.reshape(num_samples, num_pairs, 2), order[..., None], axis=1
    )

    x = np.zeros((num_samples, length), dtype="int32")
    y = np.zeros_like(x)
    start = 2 * num_pairs
    x[:, :start] = pairs.reshape(num_samples, start)
    asked = distinct_integers(rng, num_samples, num_chains, num_queries)
    places = start + distinct_integers(
        rng, num_samples, length - start, num_queries
    )
    queries = np.take_along_axis(keys[..., 0], asked, axis=1)
    answers = np.take_along_axis(values, asked, axis=1)
    np.put_along_axis(x, places, queries, axis=1)
    np.put_along_axis(y, places, answers, axis=1)
    if one_hot:
        x = np.eye(1 + num_values + num_keys, dtype="float32")[x]
    return x, y
