"""Training gives the same under XLA, without it, and op by op."""

import numpy as np

from tests.laws.running import fit_once
from tests.laws.running import model_with_head
from tests.laws.table import every_row
from tests.laws.table import make_inputs

WAYS = {
    "compiled": {"jit_compile": True},
    "not compiled": {"jit_compile": False},
}


@every_row
def test_jit_equals_no_jit(row):
    inputs = make_inputs(seed=1)
    weights = model_with_head(row).get_weights()
    found = {}
    for way, arguments in WAYS.items():
        model = model_with_head(row)
        model.set_weights(weights)
        loss = fit_once(model, **arguments)
        assert model.jit_compile is arguments["jit_compile"]
        predictions = model.predict(inputs, verbose=0)
        found[way] = [np.asarray(loss), predictions, *model.get_weights()]
    assert any(
        (a != b).any()
        for a, b in zip(found["compiled"][2:], weights, strict=True)
    )
    for a, b in zip(*found.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
