"""What the tests of the examples share: a run in this process, small data."""

import hashlib
import importlib
import json
import pathlib
import sys

import keras
import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.fixture
def run_example(monkeypatch, tmp_path):
    """`run(script, *flags)`, the result and the folder of the run."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())

    def run(script, *flags, file="result.json"):
        logdir = tmp_path / "run"
        command = [f"{script}.py", f"--logdir={logdir}", *flags]
        monkeypatch.setattr(sys, "argv", command)
        importlib.import_module(script).main()
        return json.loads((logdir / file).read_text()), logdir

    return run


@pytest.fixture
def place(monkeypatch):
    """`place(module, constant, path)`: a loader takes a file for its own."""

    def place(module, constant, path):
        module = importlib.import_module(f"keras_seqcredit.datasets.{module}")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setattr(module, constant, digest)

    return place


@pytest.fixture
def speech(tmp_path, place):
    """The folder of some recordings."""
    path = tmp_path / "fsdd_8khz.npz"
    random = np.random.default_rng(0)
    lengths = random.integers(60, 120, 16)
    np.savez(
        path,
        samples=random.normal(scale=1000, size=lengths.sum()).astype("int16"),
        offsets=np.cumsum([0, *lengths]),
        digit=np.zeros(16, "uint8"),
        recording=np.arange(16) % 8 + 1,
    )
    place("spoken_digits", "SHA256", path)
    return tmp_path
