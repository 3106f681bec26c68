"""The main job, for an epoch."""

import importlib

import keras
import numpy as np
import pytest

from tests.on_one_backend import only_on


@only_on("tensorflow")
def test_the_main_job(run_example, capsys):
    flags = ["--epochs=1", "--units=4", "--k-top=2", "--batch-size=352"]
    result, logdir = run_example("sequential_digits", *flags)
    assert list(result["results"]) == ["sab", "truncated", "full"]
    assert result["settings"]["k_att"] == result["settings"]["k_trunc"] == 4
    printed = capsys.readouterr().out
    for name, figures in result["results"].items():
        assert 0 <= figures["test_accuracy"] <= 1
        product = figures["steps_per_second"] * figures["step_seconds"]
        assert product == pytest.approx(1)
        assert f"| {name} | {figures['backpropagation_steps']} |" in printed
        assert keras.saving.load_model(logdir / f"{name}.keras").built
        assert any((logdir / name / "train").iterdir())
    assert (logdir / "attention.png").stat().st_size > 1000
    assert not (logdir / "unfinished.json").exists()


@pytest.fixture
def script(run_example, monkeypatch):
    monkeypatch.setattr("sys.argv", ["sequential_digits.py"])
    return importlib.import_module("sequential_digits")


def test_reads_mnist_from_a_folder(script, monkeypatch, tmp_path):
    flags = [f"--data-dir={tmp_path}", "--train-size=4", "--batch-size=4"]
    monkeypatch.setattr("sys.argv", ["sequential_digits.py", *flags])
    given = {}

    def load(permute, path):
        given.update(permute=permute, path=path)
        return (np.zeros((9, 4, 1)), [0] * 9), (np.zeros((1, 4, 1)), [0])

    monkeypatch.setattr(script.datasets, "sequential_mnist", load)
    (x, y), _ = script.load_data(script.parse_arguments())
    assert given == {"permute": True, "path": str(tmp_path)}
    assert len(x) == len(y) == 4


def test_the_form_of_attention_is_that_of_the_flags(script, monkeypatch):
    flags = ["--attention=additive", "--read-into=state", "--units=4"]
    monkeypatch.setattr("sys.argv", ["sequential_digits.py", *flags])
    arguments = script.parse_arguments()
    models = {
        name: script.make_model(name, (8, 1), 1, arguments)
        for name in script.NAMES
    }
    config = models["sab"].get_layer("sab").get_config()
    assert config["attention"] == "additive"
    assert config["read_into"] == "state"
    assert (config["k_top"], config["k_att"], config["k_trunc"]) == (8, 4, 4)
    assert models["truncated"].get_layer("sab").k_top == 0
    assert isinstance(models["full"].layers[1], keras.layers.LSTM)
    for name, model in models.items():
        rate = model.optimizer.learning_rate
        assert float(rate) == pytest.approx(script.LEARNING_RATES[name])


@only_on("jax")
def test_rates_are_chosen_on_digits_held_out(
    script, run_example, monkeypatch, capsys
):
    monkeypatch.setattr(script, "RATES", (1e-3, 1e-2))
    (x, y), _ = script.datasets.sequential_digits(permute=True)
    seen = []

    def train(name, data, arguments):
        (x_train, y_train), (x_held_out, y_held_out) = data
        np.testing.assert_array_equal(np.concatenate([x_train, x_held_out]), x)
        np.testing.assert_array_equal(np.concatenate([y_train, y_held_out]), y)
        assert len(x_held_out) == 287
        seen.append((name, arguments.logdir.name))
        return {"test_accuracy": arguments.learning_rate}

    monkeypatch.setattr(script, "train", train)
    result, _ = run_example("sequential_digits", "--tune", file="tune.json")
    assert len(set(seen)) == len(seen) == 6
    assert result["accuracy_held_out"] == {
        name: {"0.001": 1e-3, "0.01": 1e-2} for name in script.NAMES
    }
    assert result["learning_rates"] == dict.fromkeys(script.NAMES, 1e-2)
    assert "| full | 0.1% | 1.0% | 0.01 |" in capsys.readouterr().out


@only_on("jax")
def test_a_run_that_was_killed_goes_on(script, run_example, monkeypatch):
    trained = []

    def train(name, data, arguments):
        if len(trained) == 1:
            trained.append("killed")
            raise KeyboardInterrupt
        trained.append(name)
        return {
            "test_accuracy": 0.5,
            "steps_per_second": 1.0,
            "backpropagation_steps": 4,
        }

    monkeypatch.setattr(script, "train", train)
    flags = ["--models", "truncated", "full"]
    with pytest.raises(KeyboardInterrupt):
        run_example("sequential_digits", *flags)
    result, logdir = run_example("sequential_digits", *flags)
    assert trained == ["truncated", "killed", "full"]
    assert list(result["results"]) == ["truncated", "full"]
    assert not (logdir / "unfinished.json").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tune", "--learning-rate=1"], "argument --tune: "),
        (["--train-size=0"], "argument --train-size: "),
    ],
)
def test_says_which_flag_is_wrong(script, monkeypatch, capsys, flags, message):
    monkeypatch.setattr("sys.argv", ["sequential_digits.py", *flags])
    with pytest.raises(SystemExit):
        script.parse_arguments()
    assert message in capsys.readouterr().err


def test_fewer_digits_than_a_batch_are_refused(script, monkeypatch):
    flags = ["--train-size=70", "--tune"]
    monkeypatch.setattr("sys.argv", ["sequential_digits.py", *flags])
    with pytest.raises(SystemExit, match="at least --batch-size 64.* 56"):
        script.load_data(script.parse_arguments())
