"""Large input stays finite; what is not finite stays in its own row."""

import numpy as np

from tests.laws.running import build
from tests.laws.running import call
from tests.laws.running import gradients
from tests.laws.table import every_row
from tests.laws.table import make_inputs


@every_row
def test_finite_on_extreme_input(row):
    layer = build(row)
    inputs = np.float32([1e3, -1e3, 1e-30])[:, None, None] * make_inputs()
    for output in call(layer, inputs):
        assert np.isfinite(output).all()
    loss, found = gradients(layer, inputs)
    assert np.isfinite(loss)
    for gradient in found:
        assert np.isfinite(gradient).all()


@every_row
def test_bad_rows_stay_alone(row):
    layer = build(row)
    inputs = make_inputs(batch=5)
    clean = call(layer, inputs)
    inputs[[1, 2, 3], 2, 0] = np.nan, np.inf, -np.inf
    outputs = call(layer, inputs)
    for a, b in zip(outputs, clean, strict=True):
        np.testing.assert_array_equal(a[::4], b[::4])

    found, expected = outputs[0][1:4], clean[0][1:4]
    if found.ndim == 3:
        # NaN from the bad step on, not before.
        if not row.sees_the_future:
            np.testing.assert_array_equal(found[:, :2], expected[:, :2])
        # A layer of single steps has no state that holds it.
        found = found[:, 2:] if row.masked else found[:, 2:3]
    if row.hands_on_its_input:
        np.testing.assert_array_equal(found, inputs[1:4, 2:])
    else:
        assert np.isnan(found).all()
