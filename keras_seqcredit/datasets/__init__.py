"""Datasets of sequences: generated problems and real data."""

from keras_seqcredit.datasets.adding_problem import adding_problem
from keras_seqcredit.datasets.adding_problem import adding_problem_stream
from keras_seqcredit.datasets.associative_recall import associative_recall
from keras_seqcredit.datasets.associative_recall import (
    associative_recall_stream,
)
from keras_seqcredit.datasets.character_text import penn_treebank
from keras_seqcredit.datasets.character_text import tiny_shakespeare
from keras_seqcredit.datasets.cifar10 import cifar10
from keras_seqcredit.datasets.circle import circle
from keras_seqcredit.datasets.copying_memory import copying_memory
from keras_seqcredit.datasets.copying_memory import copying_memory_stream
from keras_seqcredit.datasets.gaussian_mixture import gaussian_mixture
from keras_seqcredit.datasets.imdb import imdb
from keras_seqcredit.datasets.imdb import imdb_vocabulary
from keras_seqcredit.datasets.pen_strokes import pen_strokes
from keras_seqcredit.datasets.selective_copying import selective_copying
from keras_seqcredit.datasets.selective_copying import selective_copying_stream
from keras_seqcredit.datasets.sequential_digits import sequential_digits
from keras_seqcredit.datasets.sequential_mnist import sequential_mnist
from keras_seqcredit.datasets.spoken_digits import spoken_digits
from keras_seqcredit.datasets.swiss_roll import swiss_roll

__all__ = [
    "adding_problem",
    "adding_problem_stream",
    "associative_recall",
    "associative_recall_stream",
    "cifar10",
    "circle",
    "copying_memory",
    "copying_memory_stream",
    "gaussian_mixture",
    "imdb",
    "imdb_vocabulary",
    "pen_strokes",
    "penn_treebank",
    "selective_copying",
    "selective_copying_stream",
    "sequential_digits",
    "sequential_mnist",
    "spoken_digits",
    "swiss_roll",
    "tiny_shakespeare",
]
