"""Draws of `CategoricalHead`, which looks one number up in sums."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import CategoricalHead


def draw(monkeypatch, logits, number, temperature=1.0):
    """The class that is drawn by a uniform `number`."""
    monkeypatch.setattr(
        keras.random,
        "uniform",
        lambda shape, dtype, seed: ops.full(shape, number, dtype=dtype),
    )
    logits = np.asarray(logits, "float32")
    return int(CategoricalHead(logits.shape[-1]).sample(logits, 0, temperature))


@pytest.mark.parametrize("number", [0.0, 0.3, 0.7, 1 - 2.0**-24])
def test_a_class_without_mass_is_never_drawn(monkeypatch, number):
    assert draw(monkeypatch, [-1e9, 0.0, -1e9], number) == 1


@pytest.mark.parametrize(
    ("number", "expected"), [(0.0, 2), (0.24, 2), (0.26, 1), (0.76, 0)]
)
def test_shares_of_the_interval_are_probabilities(
    monkeypatch, number, expected
):
    logits = np.log([0.25, 0.5, 0.25])
    assert draw(monkeypatch, logits, number) == expected


def test_a_temperature_sharpens_the_shares(monkeypatch):
    logits = np.log([0.2, 0.8])
    # By a temperature of 0.5 they are 1 / 17 and 16 / 17.
    assert draw(monkeypatch, logits, 0.85) == 0
    assert draw(monkeypatch, logits, 0.85, temperature=0.5) == 1


def test_logits_that_are_not_numbers_give_a_class_all_the_same(monkeypatch):
    # A model's loss reports them; an index that does not exist would hide it.
    assert draw(monkeypatch, [np.nan, 0.0, 1.0], 0.5) in range(3)


def test_draws_of_many_classes_follow_their_probabilities():
    random = np.random.default_rng(0)
    logits = random.normal(size=300).astype("float32")
    expected = np.exp(logits) / np.exp(logits).sum()
    sample = CategoricalHead(300).sample(np.tile(logits, (100_000, 1)), seed=1)
    found = np.bincount(ops.convert_to_numpy(sample), minlength=300)
    chi_square = np.sum((found - 1e5 * expected) ** 2 / (1e5 * expected))
    assert chi_square < 381  # The 99.9 % quantile of 299 degrees of freedom.
