"""Sequence problems whose answer depends on distant events."""

from keras_seqcredit.datasets.adding_problem import adding_problem
from keras_seqcredit.datasets.copying_memory import copying_memory
from keras_seqcredit.datasets.copying_memory import copying_memory_stream
from keras_seqcredit.datasets.sequential_digits import sequential_digits
from keras_seqcredit.datasets.sequential_mnist import sequential_mnist

__all__ = [
    "adding_problem",
    "copying_memory",
    "copying_memory_stream",
    "sequential_digits",
    "sequential_mnist",
]
