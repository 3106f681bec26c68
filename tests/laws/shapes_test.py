"""Batch and time may be unknown, empty or one; shapes are known ahead."""

import keras
import numpy as np
import pytest
from keras import tree

from tests.laws.running import as_arrays
from tests.laws.running import build
from tests.laws.running import call
from tests.laws.running import outputs_and_gradients
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
        expected = call(layer, inputs)
        for a, b in zip(tree.flatten(outputs), expected, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@every_row
def test_symbolic_outputs_are_the_real_ones(row):
    layer = row.create()
    layer.build((3, 5, FEATURES))
    outputs, *_ = outputs_and_gradients(layer, make_inputs(3, 5))
    shapes = [tuple(x.shape) for x in outputs]
    dtypes = [keras.backend.standardize_dtype(x.dtype) for x in outputs]
    for known in ((3, 5), (None, 5), (3, None), (None, None)):
        tensor = keras.KerasTensor((*known, FEATURES), dtype="float32")
        specs = tree.flatten(layer.compute_output_spec(tensor))
        called = tree.flatten(layer(tensor))
        assert [x.dtype for x in specs] == dtypes
        assert [x.dtype for x in called] == dtypes
        assert [x.shape for x in called] == [x.shape for x in specs]
        for spec, shape in zip(specs, shapes, strict=True):
            assert len(spec.shape) == len(shape)
            for a, b in zip(spec.shape, shape, strict=True):
                assert a == b or (a is None and None in known)

    found = layer.compute_output_shape((3, 5, FEATURES))
    found = [found] if len(outputs) == 1 else found
    assert [tuple(shape) for shape in found] == shapes


@every_row
def test_empty_batch(row):
    layer = build(row)
    expected = tree.flatten(layer(keras.KerasTensor((3, 5, FEATURES))))
    inputs = make_inputs(batch=0)
    outputs, _, (of_inputs, *found) = outputs_and_gradients(layer, inputs)
    for a, b in zip(outputs, expected, strict=True):
        assert tuple(a.shape) == (0, *b.shape[1:])
    assert of_inputs.shape == inputs.shape
    assert all((gradient == 0).all() for gradient in found)


@every_row
def test_one_step(row):
    layer = build(row)
    inputs = make_inputs(time=1)
    outputs, _, found = outputs_and_gradients(layer, inputs)
    assert all(np.isfinite(x).all() for x in as_arrays(outputs))
    assert all(np.isfinite(gradient).all() for gradient in found)
    assert np.abs(found[0]).max() > 0


@every_row
def test_rows_are_independent(row):
    layer = build(row)
    inputs = make_inputs()
    outputs = call(layer, inputs)
    alone = call(layer, inputs[1:2])
    for output, one in zip(outputs, alone, strict=True):
        np.testing.assert_allclose(output[1:2], one, rtol=1e-5, atol=1e-6)


MASKED = [row for row in ROWS if row.masked]


@pytest.mark.parametrize("row", MASKED, ids=lambda row: row.name)
def test_row_that_is_all_padding(row):
    layer = build(row)
    inputs = make_inputs()
    mask = np.array([True, False, True])[:, None] & np.ones((3, 5), bool)
    outputs, _, (of_inputs, *found) = outputs_and_gradients(
        layer,
        inputs,
        cut=lambda outputs: [output[::2] for output in outputs],
        mask=mask,
    )
    others = inputs[::2]
    expected, _, (of_others, *expected_found) = outputs_and_gradients(
        layer, others
    )
    for a, b in zip(as_arrays(outputs), as_arrays(expected), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a[::2], b, rtol=1e-5, atol=1e-6)
    assert (of_inputs[1] == 0).all()
    np.testing.assert_allclose(of_inputs[::2], of_others, rtol=1e-4, atol=1e-5)
    for a, b in zip(found, expected_found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
