"""Outside of training a step does not depend on later ones."""

import numpy as np
import pytest

from tests.laws.running import build
from tests.laws.running import call
from tests.laws.table import ROWS
from tests.laws.table import TIME
from tests.laws.table import make_inputs

SEEN = 3


def of_steps(row):
    """Whether it returns steps, in the order of its input, of the past."""
    layer = row.create()
    return (
        not row.sees_the_future
        and not getattr(layer, "go_backwards", False)
        and getattr(layer, "return_sequences", True)
    )


@pytest.mark.parametrize(
    "row", filter(of_steps, ROWS), ids=lambda row: row.name
)
def test_no_step_sees_a_later_one(row):
    layer = build(row)
    inputs = make_inputs()
    changed = inputs.copy()
    changed[:, SEEN:] = 3.0
    found, other = (call(layer, x)[0] for x in (inputs, changed))
    assert found.shape[1] == TIME
    np.testing.assert_array_equal(found[:, :SEEN], other[:, :SEEN])
    assert np.abs(found[:, SEEN:] - other[:, SEEN:]).max() > 1e-3
