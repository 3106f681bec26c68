"""Half precision: right dtypes, nothing overflows, training works."""

import keras
import numpy as np
import pytest
from keras import tree

from tests.laws.running import as_arrays
from tests.laws.running import build
from tests.laws.running import fit_once
from tests.laws.running import gradients
from tests.laws.running import is_float
from tests.laws.running import model_with_head
from tests.laws.table import BATCH
from tests.laws.table import FEATURES
from tests.laws.table import ROWS
from tests.laws.table import TIME
from tests.laws.table import every_row
from tests.laws.table import make_inputs

POLICIES = ["mixed_float16", "mixed_bfloat16", "bfloat16"]

every_policy = pytest.mark.parametrize("policy", POLICIES)


@every_row
@every_policy
def test_dtypes_and_values(row, policy):
    layer = build(row, policy)
    compute_dtype = policy.removeprefix("mixed_")
    variable_dtype = "float32" if "mixed" in policy else policy
    for variable in layer.trainable_variables:
        assert variable.dtype == variable_dtype

    outputs = tree.flatten(layer(make_inputs()))
    assert keras.backend.standardize_dtype(outputs[0].dtype) == compute_dtype
    specs = layer.compute_output_spec(
        keras.KerasTensor((BATCH, TIME, FEATURES), dtype="float32")
    )
    for output, spec in zip(outputs, tree.flatten(specs), strict=True):
        dtype = keras.backend.standardize_dtype(output.dtype)
        assert dtype == keras.backend.standardize_dtype(spec.dtype)

    # As in float32, but for rounding; which slots are read may differ.
    full = build(row, "float32")
    full.set_weights([w.astype("float32") for w in layer.get_weights()])
    expected = as_arrays(full(make_inputs()))[0]
    found = as_arrays(outputs)[0]
    assert np.isfinite(found).all()
    assert np.median(np.abs(found - expected)) < 0.05
    assert np.abs(found).max() > 0.1


@every_row
@every_policy
def test_gradients_are_finite(row, policy):
    layer = build(row, policy)
    loss, found = gradients(layer, make_inputs())
    assert np.isfinite(loss)
    for gradient in found:
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
    before = [w.copy() for w in model.get_weights()]
    # float16 scales its loss first, so several steps, of which some count.
    assert np.isfinite(fit_once(model, run_eagerly=True))
    pairs = list(zip(model.get_weights(), before, strict=True))
    for after, _ in pairs:
        assert np.isfinite(after.astype("float32")).all()
    trainable = {id(v) for v in model.trainable_variables}
    for variable, (after, first) in zip(model.weights, pairs, strict=True):
        if id(variable) in trainable and is_float(variable):
            assert (after != first).any(), variable.path
