"""What stands in padded steps changes nothing at all, nor does their number."""

import numpy as np
import pytest

from tests.gradients import FASTEST
from tests.gradients import MODES
from tests.laws.running import build
from tests.laws.running import call
from tests.laws.running import gradients
from tests.laws.table import FEATURES
from tests.laws.table import ROWS
from tests.laws.table import TIME
from tests.laws.table import make_inputs

MASKED = [row for row in ROWS if row.masked]
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 0, 1, 1, 1]], bool)
PADS = 3

masked_rows = pytest.mark.parametrize("row", MASKED, ids=lambda row: row.name)


def padded(inputs):
    """Three padded steps to the right, and NaN wherever there is padding."""
    inputs = np.where(MASK[..., None], inputs, np.float32("nan"))
    pads = np.full((len(inputs), PADS, FEATURES), np.nan, "float32")
    mask = np.pad(MASK, [(0, 0), (0, PADS)])
    return np.concatenate([inputs, pads], axis=1), mask


def cut_like(expected):
    """Cuts outputs to the shapes of those without padding."""

    def cut(outputs):
        return [
            a if a.shape == b.shape else a[:, : b.shape[1]]
            for a, b in zip(outputs, expected, strict=True)
        ]

    return cut


@masked_rows
def test_values_are_the_same(row):
    layer = build(row)
    inputs = make_inputs()
    clean = np.where(MASK[..., None], inputs, np.float32(0))
    expected = call(layer, clean, mask=MASK)
    inputs, mask = padded(inputs)
    outputs = call(layer, inputs, mask=mask)
    zeros = call(layer, np.nan_to_num(inputs), mask=mask)
    shorter = cut_like(expected)(outputs)
    if row.hands_on_its_input:
        # It hands on its input, padding too.
        outputs, zeros = (
            [np.where(mask[..., None], x, 0) for x in arrays]
            for arrays in (outputs, zeros)
        )
        shorter, expected = (
            [np.where(MASK[..., None], x, 0) for x in arrays]
            for arrays in (shorter, expected)
        )
    for a, b in zip(outputs, zeros, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(shorter, expected, strict=True):
        assert_equal(row, a, b)
        assert np.isfinite(a).all()


@masked_rows
def test_gradients_are_the_same(row):
    layer = build(row)
    inputs = make_inputs()
    clean = np.where(MASK[..., None], inputs, np.float32(0))
    counts = MASK if row.hands_on_its_input else None
    check_gradients(layer, clean, *padded(inputs), FASTEST, counts)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["lstm_sequences", "lstm_ring"])
def test_gradients_are_the_same_compiled(name, mode):
    (row,) = (row for row in ROWS if row.name == name)
    layer = build(row)
    inputs = make_inputs()
    clean = np.where(MASK[..., None], inputs, np.float32(0))
    check_gradients(layer, clean, *padded(inputs), mode)


def check_gradients(layer, clean, inputs, mask, mode, counts=None):
    def picked(outputs):
        outputs = cut_like(reference)(outputs)
        return outputs if counts is None else [o[counts] for o in outputs]

    reference = call(layer, clean, mask=MASK)
    value, expected = gradients(layer, clean, mode, picked, mask=MASK)
    padded_value, found = gradients(layer, inputs, mode, picked, mask=mask)
    assert padded_value == pytest.approx(value, rel=1e-6)
    assert (found[0][~mask] == 0).all()
    found[0] = found[0][:, :TIME]
    for a, b in zip(found, expected, strict=True):
        assert np.abs(b).max() > 0
        # Another length is another program, which sums in another order.
        limit = 1e-5 * np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=0, atol=limit)


@masked_rows
def test_a_mask_of_ones_is_no_mask(row):
    layer = build(row)
    inputs = make_inputs()
    mask = np.ones(inputs.shape[:2], bool)
    outputs = call(layer, inputs, mask=mask)
    for a, b in zip(outputs, call(layer, inputs), strict=True):
        if row.sees_the_future:
            # Another program, without the selections.
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(a, b)


def assert_equal(row, a, b):
    # Products that are batched over time, and Keras' own backward layer, are
    # other programs for another length, which round otherwise on some CPUs.
    rtol, atol = (1e-5, 1e-6) if row.sees_the_future else (1e-6, 1e-7)
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
