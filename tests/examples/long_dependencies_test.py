"""Examples of recall, adding and characters: short runs and their figures."""

import importlib

import keras
import numpy as np
import pytest

from tests.on_one_backend import only_on

TINY = [
    "--units=4",
    "--batch-size=8",
    "--epochs=1",
    "--steps-per-epoch=2",
    "--evaluate-sequences=8",
]


@only_on("jax")
@pytest.mark.parametrize(
    "task", ["selective-copying", "associative-recall", "two-hops"]
)
def test_recall(run_example, task):
    result, logdir = run_example(
        "recall", f"--task={task}", "--length=24", *TINY
    )
    assert result["task"] == task
    assert 0 <= result["accuracy"] <= 1
    assert result["cross_entropy"] > 0.5
    assert result["steps"] == 2
    assert keras.saving.load_model(logdir / "model.keras", compile=False).built


@only_on("jax")
@pytest.mark.parametrize("net", ["sab", "self-attention"])
def test_adding_problem(run_example, net):
    result, _ = run_example(
        "adding_problem",
        f"--net={net}",
        "--length=12",
        "--evaluate-lengths",
        "20",
        *TINY,
    )
    assert 0 < result["mean_squared_error"] < 10
    found = {x["length"]: x["mean_squared_error"] for x in result["evaluation"]}
    assert list(found) == [12, 20]
    assert found[12] == result["mean_squared_error"]
    assert result["sequences"] == 8
    weights = result.keys() & {"weight_near_larger", "weight_near_smaller"}
    assert len(weights) == (2 if net == "sab" else 0)


@only_on("jax")
@pytest.mark.usefixtures("run_example")
def test_weights_near_numbers(monkeypatch):
    monkeypatch.setattr("sys.argv", ["adding_problem.py"])
    script = importlib.import_module("adding_problem")
    arguments = script.parse_arguments(["--length=8", "--k-trunc=2"])
    x = np.zeros((2, 8, 2))
    x[:, [1, 5], 1] = 1
    x[:, [1, 5], 0] = [[0.9, 0.2], [0.3, 0.4]]
    # Slot 0 is the initial state: step 1 is remembered in slot 2.
    slots = np.array([[2, 3, 4, 6, 7]] * 2)[:, None]
    weights = np.array(
        [[0.1, 0.2, 0.3, 0.15, 0.25], [0.2, 0.4, 0.1, 0.05, 0.25]]
    )[:, None]

    class Reader:
        def predict_on_batch(self, x):
            return slots, weights

    monkeypatch.setattr(script.nets, "reader", lambda *_: Reader())
    monkeypatch.setattr(script, "make_stream", lambda *_: [(x, None)])
    found = script.weights_near_numbers(arguments, None)
    assert found["weight_near_larger"] == pytest.approx((0.3 + 0.3) / 2)
    assert found["weight_near_smaller"] == pytest.approx((0.4 + 0.6) / 2)


@only_on("jax")
def test_characters(run_example, monkeypatch, tmp_path):
    random = np.random.default_rng(0)
    parts = [random.integers(0, 5, n).astype("int32") for n in (300, 200, 200)]
    monkeypatch.setattr("sys.argv", ["characters.py"])
    script = importlib.import_module("characters")
    monkeypatch.setattr(
        script.datasets, "penn_treebank", lambda path: (parts, list("abcde"))
    )
    flags = [f for f in TINY if "sequences" not in f]
    result, _ = run_example(
        "characters", "--data-dir=data", "--length=10", *flags
    )
    for bits in result["bits_per_character"].values():
        # Uniform characters: log2(5).
        assert bits == pytest.approx(2.32, abs=0.2)


def test_targets_of_characters_are_one_ahead(monkeypatch, run_example):
    monkeypatch.setattr("sys.argv", ["characters.py"])
    script = importlib.import_module("characters")
    arguments = type(
        "Arguments",
        (),
        {
            "length": 5,
            "batch_size": 3,
            "seed": 0,
            "steps_per_epoch": 2,
            "test_characters": 100,
        },
    )
    text = np.arange(50)
    x, y = script.Pieces(text, arguments)[0]
    assert x.shape == y.shape == (3, 5)
    np.testing.assert_array_equal(x + 1, y)
    np.testing.assert_array_equal(np.diff(x), 1)
    x, y = script.cut(text, arguments)
    assert len(x) == 9  # Whole batches.
    np.testing.assert_array_equal(x.ravel(), np.arange(45))
    np.testing.assert_array_equal(x + 1, y)
