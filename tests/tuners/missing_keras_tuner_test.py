"""Without KerasTuner, an error says how to install it."""

import runpy
import sys

import pytest

from keras_seqcredit.tuners import keras_tuner


def test_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    with pytest.raises(ImportError, match=r"keras-seqcredit\[tuner\]"):
        runpy.run_path(keras_tuner.__file__)
