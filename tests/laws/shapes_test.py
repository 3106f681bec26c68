"""Batch and time may be unknown, empty or one; shapes are known ahead."""

import keras
import numpy as np
import pytest
from keras import tree

from tests.laws.running import as_arrays
from tests.laws.running import build
from tests.laws.running import gradients
from tests.laws.table import FEATURES
from tests.laws.table import ROWS
from tests.laws.table import every_row
from tests.laws.table import make_inputs


@every_row
def test_unknown_batch_and_time(row):
    layer = build(row)
    inputs = keras.Input((None, FEATURES))
    model = keras.Model(inputs, layer(inputs))
    for batch, time in ((3, 5), (2, 7)):
        inputs = make_inputs(batch, time)
        outputs = model.predict(inputs, verbose=0)
        expected = as_arrays(layer(inputs))
        for a, b in zip(tree.flatten(outputs), expected, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@every_row
@pytest.mark.parametrize("shape", [(3, 5), (None, 5), (3, None), (None, None)])
def test_symbolic_outputs_are_the_real_ones(row, shape):
    layer = row.create()
    tensor = keras.KerasTensor((*shape, FEATURES), dtype="float32")
    specs = tree.flatten(layer.compute_output_spec(tensor))
    symbolic = tree.flatten(layer(tensor))
    outputs = tree.flatten(layer(make_inputs(3, 5)))
    for output, spec, out in zip(outputs, specs, symbolic, strict=True):
        real = tuple(output.shape)
        assert len(spec.shape) == len(real)
        assert all(a in (None, b) for a, b in zip(spec.shape, real))
        assert shape != (3, 5) or spec.shape == real
        assert out.shape == spec.shape
        for dtype in (spec.dtype, out.dtype):
            assert dtype == keras.backend.standardize_dtype(output.dtype)


@every_row
def test_compute_output_shape(row):
    layer = row.create()
    shapes = layer.compute_output_shape((3, 5, FEATURES))
    outputs = tree.flatten(layer(make_inputs(3, 5)))
    if len(outputs) == 1:
        shapes = [shapes]
    assert [tuple(s) for s in shapes] == [tuple(x.shape) for x in outputs]


@every_row
def test_empty_batch(row):
    layer = build(row)
    expected = tree.flatten(layer(make_inputs()))
    inputs = make_inputs(0)
    outputs = tree.flatten(layer(inputs))
    for a, b in zip(outputs, expected, strict=True):
        assert tuple(a.shape) == (0, *b.shape[1:])
    _, (first, *found) = gradients(layer, inputs)
    assert first.shape == inputs.shape
    assert all((gradient == 0).all() for gradient in found)


@every_row
def test_one_step(row):
    layer = build(row)
    outputs = as_arrays(layer(make_inputs(time=1)))
    assert all(np.isfinite(output).all() for output in outputs)
    _, found = gradients(layer, make_inputs(time=1))
    assert all(np.isfinite(gradient).all() for gradient in found)
    assert np.abs(found[0]).max() > 0


@every_row
def test_rows_are_independent(row):
    layer = build(row)
    inputs = make_inputs()
    outputs = as_arrays(layer(inputs))
    alone = [as_arrays(layer(inputs[i : i + 1])) for i in range(len(inputs))]
    for output, pieces in zip(outputs, zip(*alone), strict=True):
        pieces = np.concatenate(pieces)
        np.testing.assert_allclose(output, pieces, rtol=1e-5, atol=1e-6)


MASKED = [row for row in ROWS if row.masked]


@pytest.mark.parametrize("row", MASKED, ids=lambda row: row.name)
def test_row_that_is_all_padding(row):
    layer = build(row)
    inputs = make_inputs()
    mask = np.array([True, False, True])[:, None] & np.ones((3, 5), bool)
    outputs = as_arrays(layer(inputs, mask=mask))
    _, (of_inputs, *found) = gradients(
        layer,
        inputs,
        cut=lambda outputs: [output[::2] for output in outputs],
        mask=mask,
    )
    others = inputs[::2]
    expected = as_arrays(layer(others))
    _, (of_others, *expected_found) = gradients(layer, others)
    for a, b in zip(outputs, expected, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a[::2], b, rtol=1e-5, atol=1e-6)
    assert (of_inputs[1] == 0).all()
    np.testing.assert_allclose(of_inputs[::2], of_others, atol=1e-5)
    for a, b in zip(found, expected_found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
