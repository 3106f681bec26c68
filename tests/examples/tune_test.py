"""A small search, and what it leaves."""

import json

import keras

from tests.on_one_backend import only_on

FLAGS = (
    "--epochs=1",
    "--units=4",
    "--batch-size=32",
    "--train-size=64",
)


@only_on("jax")
def test_a_search(run_example, capsys):
    result, logdir = run_example("tune", *FLAGS, "--max-trials=1")
    printed = capsys.readouterr().out
    assert list(result["trials"]) == ["0"]
    assert 0 <= result["test_accuracy"] <= 1
    assert "| trial | accuracy held out |" in printed
    model = keras.saving.load_model(logdir / "best.keras")
    assert model.count_params() == result["parameters"]
    assert any((logdir / "logs" / "trial_0").rglob("events*"))
    # By the same command it is not searched again; with more trials it goes
    # on, also with more workers.
    again, _ = run_example("tune", *FLAGS, "--max-trials=3", "--workers=2")
    assert again["trials"]["0"] == result["trials"]["0"]
    statuses = [trial["status"] for trial in again["trials"].values()]
    assert statuses == ["COMPLETED"] * 3
    settings = json.loads((logdir / "settings.json").read_text())
    assert settings["max_trials"] == 3
