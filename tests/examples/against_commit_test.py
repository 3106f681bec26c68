"""Two versions of the package in one process."""

import importlib
import subprocess

import numpy as np
import pytest

from examples.benchmarks import against_commit
from keras_seqcredit import layers
from tests.on_one_backend import only_on

pytestmark = only_on("jax")


def test_another_version_is_trained_beside_this_one(tmp_path, monkeypatch):
    try:
        against_commit.place("HEAD", tmp_path)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("This is no clone of a repository.")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(against_commit, "TIME", 3)
    other = importlib.import_module(f"{against_commit.OTHER}.layers")
    assert other.SABLSTM is not layers.SABLSTM
    assert other.SABLSTM.__module__.startswith(against_commit.OTHER)
    assert np.isfinite(
        against_commit.make_step(against_commit.OTHER, "dot16")()
    )
