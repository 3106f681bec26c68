"""Movie reviews as sequences of words."""

import json
import os

import keras
import numpy as np

from keras_seqcredit.checks import check_integer
from keras_seqcredit.datasets.files import checked_file

SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
WORD_INDEX_SHA256 = (
    "027313fe9a320280f3bf0fac5baf58c4a683cf39a7ed9c3d3d3912bde4284cf6"
)
# As in Keras' own loader, so that both ways give the same arrays.
_SHUFFLE_SEED = 113


def imdb(
    num_words: int = 10_000,
    length: int = 40,
    path: str | os.PathLike[str] | None = None,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Loads the first words of 50,000 movie reviews.

    Words are numbered by frequency, starting at 2; 1 is any rarer word and 0 is
    padding, as in `keras.layers.TextVectorization`. `imdb_vocabulary` returns
    the words.

    Args:
        num_words: Integer of at least 3, the size of the vocabulary, including
            padding and the rare word. Defaults to `10000`.
        length: Positive integer, number of words per review; longer reviews are
            truncated. Defaults to `40`.
        path: The file `imdb.npz` of `keras.datasets.imdb`, or its folder.
            Defaults to `None`, Keras' own cache, which is filled by a download
            on first use.

    Returns:
        Tuple of int32 arrays `(x_train, y_train), (x_test, y_test)`, 25,000
        reviews each:

        - `x_train`, `x_test`: `(25000, length)`, words.
        - `y_train`, `y_test`: `(25000,)`, 1 for a positive review.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file has the wrong SHA-256, or an argument is too
            small.

    Example:

    ```python
    from keras_seqcredit import datasets


    def reviews(data_dir):
        (x_train, _), _ = datasets.imdb(num_words=5000, path=data_dir)
        vocabulary = datasets.imdb_vocabulary(5000, path=data_dir)
        return " ".join(vocabulary[word] for word in x_train[0])
    ```

    References:
        - Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011.
    """
    num_words = check_integer("num_words", num_words, minimum=3)
    length = check_integer("length", length)
    if path is None:
        # Its own default for `num_words` replaces the rarest word by another.
        parts = keras.datasets.imdb.load_data(
            num_words=1_000_000, start_char=None, index_from=0
        )
    else:
        parts = _load(checked_file(path, "imdb.npz", SHA256))
    (x_train, y_train), (x_test, y_test) = (
        (_first_words(x, num_words, length), np.asarray(y, "int32"))
        for x, y in parts
    )
    return (x_train, y_train), (x_test, y_test)


def imdb_vocabulary(
    num_words: int = 10_000, path: str | os.PathLike[str] | None = None
) -> list[str]:
    """Loads the words that the integers of `imdb` stand for.

    Args:
        num_words: Integer of at least 3, as in `imdb`. Defaults to 10,000.
        path: The file `imdb_word_index.json` of Keras, or its folder. Defaults
            to `None`, Keras' own cache.

    Returns:
        List of `num_words` strings, `""` and `"[UNK]"` first.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is another file, or `num_words` is too small.

    Example:

    ```python
    from keras_seqcredit import datasets


    def text(words, data_dir):
        vocabulary = datasets.imdb_vocabulary(path=data_dir)
        return " ".join(vocabulary[word] for word in words)
    ```
    """
    num_words = check_integer("num_words", num_words, minimum=3)
    if path is None:
        index = keras.datasets.imdb.get_word_index()
    else:
        file = checked_file(path, "imdb_word_index.json", WORD_INDEX_SHA256)
        index = json.loads(file.read_text(encoding="utf-8"))
    words = sorted(index, key=index.__getitem__)
    return ["", "[UNK]", *words[: num_words - 2]]


def _load(file):
    # Pickled, but the hash shows that it is the file of Keras.
    with np.load(file, allow_pickle=True) as arrays:
        parts = [
            (arrays[f"x_{part}"], arrays[f"y_{part}"])
            for part in ("train", "test")
        ]
    random = np.random.RandomState(_SHUFFLE_SEED)
    shuffled = []
    for x, y in parts:
        order = np.arange(len(x))
        random.shuffle(order)
        shuffled.append((x[order], y[order]))
    return shuffled


def _first_words(reviews, num_words: int, length: int) -> np.ndarray:
    words = np.zeros((len(reviews), length), "int32")
    for row, review in zip(words, reviews, strict=True):
        first = np.asarray(review[:length]) + 1
        row[: len(first)] = np.where(first < num_words, first, 1)
    return words
