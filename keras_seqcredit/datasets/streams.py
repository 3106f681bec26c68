"""Sequences drawn at random, once or anew in every epoch."""

from collections.abc import Callable
from typing import Any
from typing import TypeVar

import keras
import numpy as np

from keras_seqcredit.checks import check_integer

Arrays = TypeVar("Arrays", bound=tuple[np.ndarray, ...])


def draw(
    sample: Callable[[np.random.Generator, int], Arrays],
    num_samples: Any,
    seed: Any,
) -> Arrays:
    """Draws all samples at once, from the arguments of a dataset.

    Args:
        sample: Function of a generator of random numbers and a number of
            samples that returns a tuple of arrays.
        num_samples: Integer, the number of samples.
        seed: Integer or `None`.

    Returns:
        The output of `sample`.

    Raises:
        ValueError: if `num_samples` or `seed` is not an integer or is too
            small.
    """
    num_samples = check_integer("num_samples", num_samples)
    seed = check_integer("seed", seed, minimum=0, optional=True)
    return sample(np.random.default_rng(seed), num_samples)


def check_length(length: Any, minimum: int = 1) -> tuple[int, int] | int:
    """Returns a valid `length`: an integer, or a pair of the limits of it."""
    if not isinstance(length, (tuple, list)):
        return check_integer("length", length, minimum)
    try:
        shortest, longest = (check_integer("length", n) for n in length)
    except ValueError:
        shortest = longest = 0
    if not minimum <= shortest <= longest:
        least = (
            f"an integer >= {minimum}" if minimum > 1 else "a positive integer"
        )
        raise ValueError(
            f"Expected `length` to be {least} or a pair of them, "
            f"`(shortest, longest)`. Received: length={length!r}"
        )
    return shortest, longest


def draw_lengths(
    rng: np.random.Generator, num_samples: int, limits: tuple[int, int]
) -> np.ndarray:
    """Draws lengths `(num_samples, 1)` log-uniformly, both limits included."""
    shortest, longest = limits
    start, end = np.log([shortest, longest + 1])
    lengths = np.exp(rng.uniform(start, end, (num_samples, 1)))
    # Rounding may reach the end.
    return np.clip(lengths.astype("int32"), shortest, longest)


class Stream(keras.utils.PyDataset):
    """Batches that depend only on `(seed, epoch, index)`.

    There is no `workers` argument: with more than one worker, Keras passes
    batches of one epoch on to the next.

    Args:
        sample: Function of a generator of random numbers and a number of
            samples that returns a tuple of arrays.
        batch_size: Integer, the number of samples per batch.
        batches_per_epoch: Integer, the length of the dataset.
        seed: Integer or `None`. `None` draws a seed at random.
        initial_epoch: Integer, the epoch at which the stream starts.

    Raises:
        ValueError: if an argument is not an integer or is too small.
    """

    def __init__(
        self,
        sample: Callable[[np.random.Generator, int], tuple[np.ndarray, ...]],
        batch_size: Any,
        batches_per_epoch: Any,
        seed: Any,
        initial_epoch: Any,
    ) -> None:
        super().__init__()
        self.sample = sample
        self.batch_size = check_integer("batch_size", batch_size)
        self.batches_per_epoch = check_integer(
            "batches_per_epoch", batches_per_epoch
        )
        seed = check_integer("seed", seed, minimum=0, optional=True)
        if seed is None:
            seed = int(np.random.default_rng().integers(2**63))
        self.seed = seed
        self.epoch = check_integer("initial_epoch", initial_epoch, minimum=0)

    def __len__(self) -> int:
        return self.batches_per_epoch

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng([self.seed, self.epoch, index])
        return self.sample(rng, self.batch_size)

    def on_epoch_end(self) -> None:
        # `fit()` also calls this once before its first epoch. This affects
        # uninterrupted and resumed runs alike.
        self.epoch += 1
