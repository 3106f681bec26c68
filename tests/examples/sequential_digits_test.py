import importlib
import pathlib

import keras
import numpy as np

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def test_reads_mnist_from_a_folder(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    monkeypatch.setattr("sys.argv", ["sequential_digits.py"])
    script = importlib.import_module("sequential_digits")
    given = {}

    def load(permute, path):
        given.update(permute=permute, path=path)
        return (np.zeros((1, 4, 1)), [0]), (np.zeros((1, 4, 1)), [0])

    monkeypatch.setattr(script.datasets, "sequential_mnist", load)
    script.load_data(str(tmp_path))
    assert given == {"permute": True, "path": str(tmp_path)}
