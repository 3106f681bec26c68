"""Text as sequences of characters."""

import gzip
import os

import numpy as np

from keras_seqcredit.checks import check_integer
from keras_seqcredit.datasets.files import checked_file

PENN_SHA256 = {
    "train": "d1ec43563d7ce27da8b43f9069b2a58cb9e7f2656e96d7aab0ddc61ef728e176",
    "valid": "fdb970a6bddedf957366618daec55ab7beb159f8123600f8db16c34833dca93d",
    "test": "b9743208d38e095719ea30645a6456bd2cabe3b3dfe0815ad10a51d08b4e2a48",
}
SHAKESPEARE_SHA256 = (
    "13125fe8f49092165d7d489e3944db52d1ba546e64a60080cc9523bcd0c5e46a"
)


def penn_treebank(
    path: str | os.PathLike[str], length: int | None = None
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], list[str]]:
    """Loads the Penn Treebank (Wall Street Journal text) as characters.

    The text has Mikolov's preprocessing: lower case, no punctuation, rare words
    as `<unk>`, numbers as `N`. The end of a sentence is one character.

    Args:
        path: The folder with the files `ptb.train.txt.gz`, `ptb.valid.txt.gz`
            and `ptb.test.txt.gz`.
        length: Positive integer, characters per sequence, or `None` for one
            array of all. An incomplete last sequence is dropped. Defaults to
            `None`.

    Returns:
        Tuple `(train, valid, test), vocabulary`:

        - `train`, `valid`, `test`: int32, shapes `(5017482,)`, `(393042,)` and
            `(442423,)`; or `(sequences, length)`, one after the other.
        - `vocabulary`: list of the 50 characters that the integers stand for.

    Raises:
        FileNotFoundError: if the files do not exist.
        ValueError: if a file has the wrong SHA-256, or `length` is not a
            positive integer.

    Example:

    ```python
    from keras_seqcredit import datasets


    def first_sentence(data_dir):
        (train, _, _), vocabulary = datasets.penn_treebank(data_dir, length=100)
        assert train.shape == (50174, 100)
        text = "".join(vocabulary[character] for character in train[0])
        return text.splitlines()[0]
    ```

    References:
        - Marcus, Santorini and Marcinkiewicz, "Building a Large Annotated
          Corpus of English: The Penn Treebank", Computational Linguistics
          19(2), 1993.
        - Mikolov et al., "Subword Language Modeling with Neural Networks",
          2012: as characters.
    """
    length = check_integer("length", length, optional=True)
    parts = []
    for part, sha256 in PENN_SHA256.items():
        text = _read(path, f"ptb.{part}.txt.gz", sha256)
        lines = [line.strip() for line in text.splitlines()]
        parts.append("\n".join(lines) + "\n")
    (train, valid, test), vocabulary = _encoded(parts, length)
    return (train, valid, test), vocabulary


def tiny_shakespeare(
    path: str | os.PathLike[str], length: int | None = None
) -> tuple[tuple[np.ndarray, np.ndarray], list[str]]:
    """Loads a million characters of Shakespeare's plays.

    Args:
        path: The file `tinyshakespeare.txt.gz`, or its folder.
        length: Positive integer, characters per sequence, or `None` for one
            array of all. An incomplete last sequence is dropped. Defaults to
            `None`.

    Returns:
        Tuple `(train, valid), vocabulary`:

        - `train`, `valid`: int32, the first nine tenths and the rest, shapes
            `(1003854,)` and `(111540,)`; or `(sequences, length)`, one after
            the other.
        - `vocabulary`: list of the 65 characters that the integers stand for.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file has the wrong SHA-256, or `length` is not a
            positive integer.

    Example:

    ```python
    from keras_seqcredit import datasets


    def first_line(data_dir):
        (train, _), vocabulary = datasets.tiny_shakespeare(data_dir, length=100)
        assert train.shape == (10038, 100)
        text = "".join(vocabulary[character] for character in train[0])
        return text.splitlines()[0]
    ```

    References:
        - Karpathy, "The Unreasonable Effectiveness of Recurrent Neural
          Networks", 2015.
    """
    length = check_integer("length", length, optional=True)
    text = _read(path, "tinyshakespeare.txt.gz", SHAKESPEARE_SHA256)
    middle = len(text) * 9 // 10
    (train, valid), vocabulary = _encoded(
        [text[:middle], text[middle:]], length
    )
    return (train, valid), vocabulary


def _read(path, name, sha256):
    with gzip.open(
        checked_file(path, name, sha256), "rt", encoding="utf-8"
    ) as f:
        return f.read()


def _encoded(texts, length):
    """Texts as integers, and their sorted characters."""
    codes = [np.frombuffer(t.encode("utf-32-le"), "<u4") for t in texts]
    symbols = np.unique(np.concatenate(codes))
    arrays = [np.searchsorted(symbols, c).astype("int32") for c in codes]
    if length is not None:
        arrays = [
            array[: array.size // length * length].reshape(-1, length)
            for array in arrays
        ]
    return arrays, [chr(symbol) for symbol in symbols]
