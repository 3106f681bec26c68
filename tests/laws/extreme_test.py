"""Large input stays finite; what is not finite stays in its own row."""

import keras
import numpy as np
import pytest

from tests.laws.running import as_arrays
from tests.laws.running import build
from tests.laws.running import gradients
from tests.laws.table import TIME
from tests.laws.table import every_row
from tests.laws.table import make_inputs


@every_row
@pytest.mark.parametrize("scale", [1e3, -1e3, 1e-30])
def test_finite_on_extreme_input(row, scale):
    layer = build(row)
    inputs = np.float32(scale) * make_inputs()
    for output in as_arrays(layer(inputs)):
        assert np.isfinite(output).all()
    loss, found = gradients(layer, inputs)
    assert np.isfinite(loss)
    for gradient in found:
        assert np.isfinite(gradient).all()


@every_row
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_row_stays_alone(row, bad):
    layer = build(row)
    inputs = make_inputs()
    clean = as_arrays(layer(inputs))
    inputs[1, 2, 0] = bad
    outputs = as_arrays(layer(inputs))
    for a, b in zip(outputs, clean, strict=True):
        np.testing.assert_array_equal(a[::2], b[::2])

    # From the bad step on, in the order that the layer takes them.
    found, expected = outputs[0][1], clean[0][1]
    if found.shape[0] == TIME and found.ndim == 2:
        np.testing.assert_array_equal(found[:2], expected[:2])
        found = found[2:]
    if row.takes_inf_as_it_is:
        assert not np.isfinite(found).all()
    else:
        assert np.isnan(found).all()


@every_row
def test_no_warning_of_lost_masks(row):
    if row.masked:
        assert row.create().supports_masking
    assert isinstance(row.create(), keras.Layer)
