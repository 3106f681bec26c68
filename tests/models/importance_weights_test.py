"""Likelihoods from importance weights, and how sure they are."""

import math

import numpy as np
import pytest

from keras_seqcredit.models.generative_model import log_mean


def test_value_and_error_are_those_of_the_sample():
    weights = np.random.default_rng(0).normal(-900, 1, size=(5, 3))
    value, error = log_mean(weights, return_error=True)
    ratios = np.exp(weights + 900)
    mean = ratios.mean(axis=0)
    np.testing.assert_allclose(value, np.log(mean) - 900, rtol=1e-6)
    variance = ((ratios - mean) ** 2).sum(axis=0) / 4
    np.testing.assert_allclose(error, np.sqrt(variance / 5) / mean, rtol=1e-5)
    assert value.dtype == error.dtype == "float32"


def test_the_error_is_how_far_estimates_are_apart():
    weights = np.random.default_rng(0).normal(0, 0.3, size=(40, 20000))
    value, error = log_mean(weights, return_error=True)
    assert np.sqrt((error**2).mean()) == pytest.approx(value.std(), rel=0.03)


def test_one_sample_says_nothing_of_its_error():
    value, error = log_mean(np.array([[-2.0, 1.0]]), return_error=True)
    assert value.tolist() == [-2.0, 1.0]
    assert all(map(math.isnan, error))
