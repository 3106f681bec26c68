"""The toy densities: circle, swiss roll, mixture of normal distributions."""

import numpy as np
import pytest

from keras_seqcredit import datasets


def test_circle():
    x = datasets.circle(5000, noise=0.1, seed=0)
    assert (x.shape, x.dtype) == ((5000, 2), np.float32)
    np.testing.assert_allclose(x.mean(0), 0, atol=0.03)
    radius = np.hypot(*x.T)
    assert radius.mean() == pytest.approx(1, abs=0.02)
    assert radius.std() == pytest.approx(0.1, abs=0.01)
    radius = np.hypot(*datasets.circle(10, noise=0).T)
    np.testing.assert_allclose(radius, 1, rtol=1e-6)


def test_swiss_roll():
    x = datasets.swiss_roll(5000, noise=0, seed=0)
    assert (x.shape, x.dtype) == ((5000, 2), np.float32)
    radius = np.hypot(*x.T)
    assert radius.min() == pytest.approx(1 / 3, abs=0.01)
    assert radius.max() == pytest.approx(1, abs=0.01)
    # A point is where the spiral is at its radius.
    angle = np.arctan2(x[:, 1], x[:, 0])
    turns = (4.5 * np.pi * radius - angle) / (2 * np.pi)
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-4)
    noisy = datasets.swiss_roll(5000, noise=0.1, seed=0)
    assert (noisy - x).std() == pytest.approx(0.1, abs=0.01)


def test_gaussian_mixture():
    x, y = datasets.gaussian_mixture(9000, noise=0.1, seed=0)
    assert (x.shape, x.dtype) == ((9000, 2), np.float32)
    assert (y.shape, y.dtype) == ((9000,), np.int32)
    for component in range(9):
        points = x[y == component]
        assert len(points) == pytest.approx(1000, abs=120)
        mean = component // 3 - 1, component % 3 - 1
        np.testing.assert_allclose(points.mean(0), mean, atol=0.02)
        np.testing.assert_allclose(points.std(0), 0.1, atol=0.01)
    weights = np.array([0.5, 0.5, 0, 0, 0, 0, 0, 0, 0])
    _, y = datasets.gaussian_mixture(1000, weights=weights, seed=0)
    assert set(y) == {0, 1}


@pytest.mark.parametrize(
    "make",
    [
        datasets.circle,
        datasets.swiss_roll,
        lambda *a, **k: datasets.gaussian_mixture(*a, **k)[0],
    ],
)
def test_seeds_and_bad_arguments(make):
    np.testing.assert_array_equal(make(5, seed=1), make(5, seed=1))
    assert (make(5, seed=1) != make(5, seed=2)).any()
    assert (make(5) != make(5)).any()
    for arguments, message in [
        ({"num_samples": 0}, "`num_samples` to be a positive integer"),
        ({"num_samples": 5, "seed": -1}, "`seed` to be a non-negative integer"),
        ({"num_samples": 5, "noise": -0.1}, "`noise` to be a non-negative n"),
        ({"num_samples": 5, "noise": "much"}, "Received: noise='much'"),
        ({"num_samples": 5, "noise": np.inf}, "Received: noise=inf"),
    ]:
        with pytest.raises(ValueError, match=message):
            make(**arguments)


@pytest.mark.parametrize("weights", [np.ones(9), [1.0], [2, -1, *[0] * 7]])
def test_bad_weights(weights):
    with pytest.raises(ValueError, match="nine non-negative numbers that sum"):
        datasets.gaussian_mixture(5, weights=weights)
