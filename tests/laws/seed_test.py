"""The same seed gives the same weights, the same training, the same result."""

import keras
import numpy as np

from tests.laws.running import QUICKLY
from tests.laws.running import fit_once
from tests.laws.running import model_with_head
from tests.laws.table import every_row


@every_row
def test_same_seed_same_result(row):
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = model_with_head(row)
        # From the same weights, training differs by its noise alone.
        loss = fit_once(model, **QUICKLY) if row.noisy else 0.0
        found.append([np.asarray(loss), *model.get_weights()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@every_row
def test_another_seed_other_weights(row):
    found = []
    for seed in (3, 4):
        keras.utils.set_random_seed(seed)
        found.append(model_with_head(row).get_weights())
    assert any((a != b).any() for a, b in zip(*found, strict=True))
