import gzip
import hashlib

import numpy as np
import pytest

from keras_seqcredit import datasets
from keras_seqcredit.datasets import character_text

PARTS = {"train": " a b \n c\n", "valid": " b\n", "test": " d a\n"}
PLAY = "To be,\r\nor not…\n\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    def write(name, text):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()))
        return hashlib.sha256(path.read_bytes()).hexdigest()

    digests = {
        part: write(f"ptb.{part}.txt.gz", text) for part, text in PARTS.items()
    }
    monkeypatch.setattr(character_text, "PENN_SHA256", digests)
    digest = write("tinyshakespeare.txt.gz", PLAY)
    monkeypatch.setattr(character_text, "SHAKESPEARE_SHA256", digest)
    return tmp_path


def as_text(array, vocabulary):
    return "".join(vocabulary[character] for character in array)


def test_penn_treebank_is_its_sentences(folder):
    parts, vocabulary = datasets.penn_treebank(folder)
    assert vocabulary == ["\n", " ", "a", "b", "c", "d"]
    assert [as_text(part, vocabulary) for part in parts] == [
        "a b\nc\n",
        "b\n",
        "d a\n",
    ]
    assert {part.dtype for part in parts} == {np.dtype("int32")}


def test_shakespeare_is_split_in_two(folder):
    (train, valid), vocabulary = datasets.tiny_shakespeare(folder)
    assert as_text(train, vocabulary) == "To be,\nor not…"
    assert as_text(valid, vocabulary) == "\n\n"
    assert vocabulary == sorted(set(PLAY) - {"\r"})


def test_text_is_cut_into_sequences(folder):
    (train, valid), vocabulary = datasets.tiny_shakespeare(
        folder / "tinyshakespeare.txt.gz", length=5
    )
    assert valid.shape == (0, 5)
    assert [as_text(row, vocabulary) for row in train] == ["To be", ",\nor "]


def test_wrong_arguments_are_refused(folder):
    with pytest.raises(ValueError, match="Received: length=0"):
        datasets.penn_treebank(folder, length=0)
    with pytest.raises(ValueError, match="Received: length=1.5"):
        datasets.tiny_shakespeare(folder, length=1.5)
    (folder / "ptb.valid.txt.gz").write_bytes(b"something else")
    with pytest.raises(ValueError, match="`ptb.valid.txt.gz` with SHA-256"):
        datasets.penn_treebank(folder)
