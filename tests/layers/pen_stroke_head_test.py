"""What is peculiar to pen strokes; the rest is tested with all heads."""

import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers.heads.pen_stroke_head import PenStrokeHead
from tests.gradients import value_and_gradients

COMPONENTS = 2
# Logits, means, log-variances, correlations, pen.
PARAMETERS = np.array(
    [1.0, 0.0, -1.0, 0.5, 2.0, -1.0, -1.0, 0.2, 0.1, -0.4, 1.2, -0.7, -0.8],
    "float32",
)


def test_density_integrates_to_one():
    head = PenStrokeHead(COMPONENTS)
    axis = np.linspace(-8, 8, 161, dtype="float32")
    grid = np.stack(np.meshgrid(axis, axis, [0, 1]), axis=-1).reshape(-1, 3)

    def total(arrays):
        rows = ops.repeat(arrays[0][None], len(grid), axis=0)
        return ops.sum(ops.exp(head.log_prob(rows, grid))) * 0.1**2

    value, (gradient,) = value_and_gradients(total, [PARAMETERS], "jit")
    assert value == pytest.approx(1, abs=1e-4)
    # Whatever the parameters are.
    np.testing.assert_allclose(gradient, 0, atol=1e-4)


def test_samples_are_correlated():
    head = PenStrokeHead(1)
    parameters = np.array([0, 5, 3, 0.4, -1, 0.9, 3], "float32")
    rows = np.broadcast_to(parameters, (20000, 7))
    dx, dy, pen = np.array(head.sample(rows, seed=1)).T
    assert set(pen) == {0, 1}
    found = np.corrcoef(dx, dy)[0, 1]
    assert found == pytest.approx(np.tanh(0.9), abs=0.01)


def test_impossible_points_are_not_scored():
    head = PenStrokeHead(COMPONENTS)
    targets = np.zeros((8, 3), "float32")
    targets[1:7, 2] = 1, 0.5, -1, 2, np.nan, np.inf
    targets[6:, :2] = [[0, 0], [np.inf, 0]]
    rows = np.broadcast_to(PARAMETERS, (8, len(PARAMETERS)))

    def total(arrays):
        log_prob = head.log_prob(arrays[0], targets)
        return ops.sum(ops.where(ops.isnan(log_prob), 1000.0, log_prob))

    value, (gradient,) = value_and_gradients(total, [rows], "jit")
    possible = np.array(head.log_prob(rows[:2], targets[:2]))
    assert value == pytest.approx(6000 + possible.sum())
    assert np.isfinite(gradient).all()
    assert (gradient[2:] == 0).all()
    assert (gradient[:2] != 0).any(axis=0).all()


def test_temperature_is_for_offsets_and_pen():
    head, temperature = PenStrokeHead(COMPONENTS), 0.25
    cool = PARAMETERS.copy()
    cool[[0, 1, -1]] /= temperature
    cool[6:10] += np.log(temperature)
    rows, cool_rows = (
        np.broadcast_to(x, (50, len(x))) for x in (PARAMETERS, cool)
    )
    np.testing.assert_allclose(
        head.sample(rows, 2, temperature),
        head.sample(cool_rows, 2),
        rtol=1e-4,
        atol=1e-5,
    )


def test_mode_is_the_highest_peak():
    head = PenStrokeHead(COMPONENTS)
    # The first is more likely; the second is higher, for its correlation.
    np.testing.assert_allclose(
        head.mode(
            np.array([[0.5, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, -2, 0.1]], "float32")
        ),
        [[3, 4, 1]],
    )
    np.testing.assert_allclose(head.mode(PARAMETERS), [-1, 0.5, 0])
