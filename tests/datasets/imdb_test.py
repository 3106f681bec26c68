import hashlib
import importlib
import json

import numpy as np
import pytest

from keras_seqcredit import datasets

# The module: the function has the same name.
module = importlib.import_module("keras_seqcredit.datasets.imdb")

WORDS = ["the", "and", "film", "bad"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    reviews = np.array([[1, 2, 3], [4], [3, 3, 3, 3, 1], [2, 4]], "object")
    labels = np.arange(4)
    path = tmp_path / "imdb.npz"
    np.savez(
        path, x_train=reviews, y_train=labels, x_test=reviews, y_test=labels
    )
    index = tmp_path / "imdb_word_index.json"
    ranks = {word: rank for rank, word in enumerate(WORDS, 1)}
    index.write_text(json.dumps(dict(reversed(ranks.items()))))
    for name, file in [("SHA256", path), ("WORD_INDEX_SHA256", index)]:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        monkeypatch.setattr(module, name, digest)
    return tmp_path


def test_words_are_numbered_as_the_vocabulary_says(folder):
    (x, y), _ = datasets.imdb(num_words=5, length=4, path=folder)
    vocabulary = datasets.imdb_vocabulary(5, path=folder)
    assert vocabulary == ["", "[UNK]", "the", "and", "film"]
    assert (x.dtype, y.dtype) == (np.int32, np.int32)
    expected = {
        0: "the and film",
        1: "[UNK]",
        2: "film film film film",
        3: "and [UNK]",
    }
    for row, label in zip(x, y, strict=True):
        words = " ".join(vocabulary[word] for word in row).rstrip()
        assert words == expected[label]


def test_both_ways_of_loading_agree(folder, monkeypatch):
    monkeypatch.setattr(
        "keras.src.datasets.imdb.get_file",
        lambda *args, **kwargs: str(folder / "imdb.npz"),
    )
    for ours, theirs in zip(
        datasets.imdb(5, 4, path=folder), datasets.imdb(5, 4), strict=True
    ):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def test_wrong_arguments_are_refused(folder):
    with pytest.raises(ValueError, match="Received: num_words=2"):
        datasets.imdb(num_words=2, path=folder)
    with pytest.raises(ValueError, match="Received: length=0"):
        datasets.imdb(length=0, path=folder)
    (folder / "imdb.npz").write_bytes(b"something else")
    with pytest.raises(ValueError, match="`imdb.npz` with SHA-256"):
        datasets.imdb(path=folder)
