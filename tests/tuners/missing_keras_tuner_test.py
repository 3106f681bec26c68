"""Without KerasTuner, an error says how to install it."""

import importlib
import runpy
import sys

import pytest

from keras_seqcredit.tuners import imports


def test_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    with pytest.raises(ImportError, match=r"keras-seqcredit\[tuner\]"):
        runpy.run_path(imports.__file__)


def test_conditions_are_silent(capsys):
    imports.silence_conditions()
    conditions = importlib.import_module("keras_tuner.src.engine.conditions")
    conditions.Parent("parent", [1]).to_proto()
    assert capsys.readouterr().out == ""
