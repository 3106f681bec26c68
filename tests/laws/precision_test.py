"""Half precision: right dtypes, nothing overflows, training works."""

import functools

import keras
import numpy as np
import pytest
from keras import tree

from tests.laws.running import QUICKLY
from tests.laws.running import as_arrays
from tests.laws.running import build
from tests.laws.running import call
from tests.laws.running import fit_once
from tests.laws.running import model_with_head
from tests.laws.running import outputs_and_gradients
from tests.laws.table import BATCH
from tests.laws.table import FEATURES
from tests.laws.table import ROWS
from tests.laws.table import TIME
from tests.laws.table import every_row
from tests.laws.table import make_inputs

POLICIES = ["mixed_float16", "mixed_bfloat16", "bfloat16"]


@functools.cache
def in_float32(row):
    return call(build(row, "float32"), make_inputs())[0]


@every_row
@pytest.mark.parametrize("policy", POLICIES)
def test_dtypes_values_and_gradients(row, policy):
    layer = build(row, policy)
    variable_dtype = "float32" if "mixed" in policy else policy
    for variable in layer.trainable_variables:
        assert variable.dtype == variable_dtype

    outputs, loss, gradients = outputs_and_gradients(layer, make_inputs())
    dtypes = [keras.backend.standardize_dtype(x.dtype) for x in outputs]
    dtype = "float32" if row.is_head else policy.removeprefix("mixed_")
    assert dtypes[0] == dtype
    specs = layer.compute_output_spec(
        keras.KerasTensor((BATCH, TIME, FEATURES), dtype="float32")
    )
    assert dtypes == [spec.dtype for spec in tree.flatten(specs)]

    # As in float32, but for rounding; which slots are read may differ.
    found, expected = as_arrays(outputs)[0], in_float32(row)
    assert np.isfinite(found).all()
    assert np.median(np.abs(found - expected)) < 0.02
    assert np.median(np.abs(expected)) > 0.04

    assert np.isfinite(loss)
    for gradient in gradients:
        gradient = gradient.astype("float32")
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


@pytest.mark.parametrize(
    ("row", "policy"),
    [(row, POLICIES[i % 3]) for i, row in enumerate(ROWS)],
    ids=lambda x: getattr(x, "name", x),
)
def test_fit(row, policy):
    model = model_with_head(row, policy)
    before = [w.astype("float32") for w in model.get_weights()]
    # Not Adam: in bfloat16 its beta_2 of 0.999 is 1, and it stands still.
    optimizer = keras.optimizers.SGD(1.0)
    assert np.isfinite(fit_once(model, optimizer, **QUICKLY))
    after = [w.astype("float32") for w in model.get_weights()]
    assert all(np.isfinite(w).all() for w in after)
    trainable = [v.path for v in model.trainable_variables]
    if row.returns_losses:
        trainable = [v.path for v in model.get_layer("head").variables]
    for variable, a, b in zip(model.weights, after, before, strict=True):
        if variable.path in trainable:
            assert (a != b).any(), variable.path
