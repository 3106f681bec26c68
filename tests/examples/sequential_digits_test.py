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
    flags = [f"--data-dir={tmp_path}", "--train-size=4"]
    monkeypatch.setattr("sys.argv", ["sequential_digits.py", *flags])
    script = importlib.import_module("sequential_digits")
    given = {}

    def load(permute, path):
        given.update(permute=permute, path=path)
        return (np.zeros((9, 4, 1)), [0] * 9), (np.zeros((1, 4, 1)), [0])

    monkeypatch.setattr(script.datasets, "sequential_mnist", load)
    (x, y), _ = script.load_data(script.parse_arguments())
    assert given == {"permute": True, "path": str(tmp_path)}
    assert len(x) == len(y) == 4


@only_on("jax")
def test_rates_are_chosen_on_digits_held_out(run_example, monkeypatch):
    monkeypatch.setattr("sys.argv", ["sequential_digits.py"])
    script = importlib.import_module("sequential_digits")
    monkeypatch.setattr(script, "RATES", (1e-3, 1e-2))
    sizes = []

    def train(name, data, arguments):
        sizes.append([len(part[0]) for part in data])
        return {"test_accuracy": arguments.learning_rate}

    monkeypatch.setattr(script, "train", train)
    result, _ = run_example("sequential_digits", "--tune", file="tune.json")
    assert sizes == [[1150, 287]] * 6
    assert result["accuracy_held_out"] == {
        name: {"0.001": 1e-3, "0.01": 1e-2}
        for name in ("sab", "truncated", "full")
    }
