"""A training step gives the same under XLA and without it."""

import numpy as np
import pytest

from tests.laws.running import fit_once
from tests.laws.running import model_with_head
from tests.laws.table import ROWS


# XLA on TensorFlow draws other random numbers from the same seed.
@pytest.mark.parametrize(
    "row", [row for row in ROWS if not row.noisy], ids=lambda row: row.name
)
def test_jit_equals_no_jit(row):
    weights = model_with_head(row).get_weights()
    found = []
    for jit_compile in (True, False):
        model = model_with_head(row)
        model.set_weights(weights)
        loss = fit_once(model, jit_compile=jit_compile)
        assert model.jit_compile is jit_compile
        found.append([np.asarray(loss), *model.get_weights()])
    for a, b, first in zip(*found, [np.inf, *weights], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        assert (a != first).any()
