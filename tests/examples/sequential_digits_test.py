"""The main job, for an epoch."""

import importlib

import keras
import numpy as np

from tests.on_one_backend import only_on


@only_on("tensorflow")
def test_the_main_job(run_example, capsys):
    flags = ["--epochs=1", "--units=4", "--k-top=2", "--batch-size=352"]
    result, logdir = run_example("sequential_digits", *flags)
    assert list(result["results"]) == ["sab", "truncated", "full"]
    printed = capsys.readouterr().out
    for name, figures in result["results"].items():
        assert 0 <= figures["test_accuracy"] <= 1
        assert f"| {name} | {figures['backpropagation_steps']} |" in printed
        assert keras.saving.load_model(logdir / f"{name}.keras").built
        assert any((logdir / name / "train").iterdir())
    assert (logdir / "attention.png").stat().st_size > 1000


def test_reads_mnist_from_a_folder(run_example, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["sequential_digits.py"])
    script = importlib.import_module("sequential_digits")
    given = {}

    def load(permute, path):
        given.update(permute=permute, path=path)
        return (np.zeros((1, 4, 1)), [0]), (np.zeros((1, 4, 1)), [0])

    monkeypatch.setattr(script.datasets, "sequential_mnist", load)
    script.load_data(str(tmp_path))
    assert given == {"permute": True, "path": str(tmp_path)}
