"""Which TensorFlow Probability is used, and what is said without it."""

import sys

import keras
import numpy as np
import pytest

from keras_seqcredit import distributions
from keras_seqcredit.distributions import tfp


def test_is_the_flavor_of_the_backend():
    normal = distributions.tfd().Normal(keras.ops.zeros((2,)), 2.0)
    log_prob = normal.log_prob(keras.ops.ones((2,)))
    assert keras.ops.is_tensor(log_prob)
    expected = -0.125 - np.log(2 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(log_prob, 2 * [expected], rtol=1e-6)


def test_missing_package_names_the_extra(monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] == "tensorflow_probability":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow_probability", None)
    extra = f"keras-seqcredit\\[{keras.backend.backend()}\\]"
    with pytest.raises(ImportError, match=extra):
        distributions.tfd()


def test_other_backends_are_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ImportError, match="Received: KERAS_BACKEND='torch'"):
        distributions.tfd()


def test_package_that_does_not_fit_names_the_cure(monkeypatch):
    def no_substrate(*arguments):
        return object()

    monkeypatch.setattr(tfp, "import_optional", no_substrate)
    with pytest.raises(ImportError, match="tfp-nightly"):
        distributions.tfd()
