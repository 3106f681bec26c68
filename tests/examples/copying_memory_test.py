import importlib
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_seqcredit import datasets
from tests.on_one_backend import only_on

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
TINY = [
    "--length=5",
    "--units=8",
    "--batch-size=8",
    "--steps-per-epoch=3",
    "--evaluate-sequences=20",
]


def run(folder, *flags):
    """Runs the script, and returns its result and what it has printed."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.run(
        [
            sys.executable,
            str(EXAMPLES / "copying_memory.py"),
            f"--backend={keras.backend.backend()}",
            f"--logdir={folder / 'run'}",
            # Without, JAX would run it step by step.
            "--jit" if keras.backend.backend() == "jax" else "--no-jit",
            *TINY,
            *flags,
        ],
        cwd=folder,
        env={**os.environ, "KERAS_BACKEND": "", "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    result = (folder / "run" / "result.json").read_text()
    return json.loads(result), process.stdout


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    monkeypatch.setattr(sys, "argv", ["copying_memory.py"])
    return importlib.import_module("copying_memory")


@only_on("jax")
def test_writes_a_result_and_resumes(tmp_path):
    decay = "--decay-epochs=4"
    result, _ = run(tmp_path, "--epochs=2", decay, "--evaluate-lengths")
    assert result["initial_epoch"] == 0
    assert result["steps"] == 6
    assert [row["epoch"] for row in result["history"]] == [0, 1]

    result, printed = run(
        tmp_path,
        "--epochs=4",
        decay,
        "--evaluate-lengths",
        "7",
        "3",
    )
    assert "Going on after epoch 2" in printed
    assert "Epoch 3/4" in printed and "Epoch 2/4" not in printed
    assert result["initial_epoch"] == 2
    assert result["steps"] == 12
    assert [row["epoch"] for row in result["history"]] == [0, 1, 2, 3]
    assert result["seconds_per_step"] > 0
    assert result["settings"]["k_trunc"] == 5
    assert result["machine"]["backend"] == keras.backend.backend()
    assert [row["length"] for row in result["evaluation"]] == [3, 5, 7]
    for row in result["evaluation"]:
        assert row["sequences"] == 20
        assert 0 <= row["weight_on_true_slot"] <= 1
        assert 0 <= row["accuracy"] <= 1
        assert row["cross_entropy"] > 1
    assert (tmp_path / "run" / "model.keras").exists()
    assert (tmp_path / "run" / "attention.png").exists()
    for folder in ("train", "attention_map", "credit_assignment"):
        assert list((tmp_path / "run" / folder).glob("*tfevents*"))


@pytest.mark.parametrize(
    "flag",
    [
        "--length=0",
        "--units=a",
        "--learning-rate=-1",
        "--k-top=0",
        "--shortest=101",
    ],
)
def test_says_which_flag_is_wrong(flag, script, capsys):
    with pytest.raises(SystemExit):
        script.parse_arguments([flag])
    assert f"argument {flag.partition('=')[0]}: " in capsys.readouterr().err


def test_metrics_see_the_steps_of_the_recall_alone(script):
    streams = script.streams
    _, y = datasets.copying_memory(4, length=7, seed=0)
    right = np.eye(9, dtype="float32")[y]
    blank = np.eye(9, dtype="float32")[np.zeros_like(y)]
    for y_pred, accuracy in [(right, 1.0), (blank, 0.0)]:
        measured = keras.ops.convert_to_numpy(
            streams.recall_accuracy(y, y_pred)
        )
        assert measured.shape == (4,)
        assert (measured == accuracy).all()
    cross_entropy = streams.recall_cross_entropy(y, np.zeros_like(right))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(cross_entropy), np.log(9), rtol=1e-5
    )


@pytest.mark.parametrize(
    "net", ["sab", "truncated", "full", "dense", "self-attention"]
)
def test_nets_are_causal(script, net):
    arguments = script.parse_arguments(
        [f"--net={net}", "--units=8", "--length=5"]
    )
    model = script.build_model(arguments)
    x, _ = datasets.copying_memory(2, length=5, one_hot=True, seed=0)
    before = model.predict_on_batch(x)
    x[:, 12:] = 0
    after = model.predict_on_batch(x)
    np.testing.assert_allclose(before[:, :12], after[:, :12], atol=1e-5)
    assert np.abs(before[:, 12:] - after[:, 12:]).max() > 1e-4


def test_weights_of_steps(script):
    y = np.asarray([[0, 0, 3, 1, 0], [0, 2, 4, 0, 0]])
    real = np.asarray([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]])
    found = script.streams.step_weights(y, real, 3.0)
    expected = [
        [5 / 8, 5 / 8, 15 / 8, 15 / 8, 0],
        [5 / 4, 15 / 8, 15 / 8, 0, 0],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    found = script.streams.step_weights(y, real, 0.0)
    np.testing.assert_allclose(
        found, 5 * real / real.sum(axis=1, keepdims=True), rtol=1e-6
    )


def test_weight_on_the_true_slots(script):
    # Two sequences of gap 3: the last ten of 23 steps recall.
    slots = np.full((2, 23, 2), -1)
    weights = np.zeros((2, 23, 2))
    slots[0, 13:, 1] = np.arange(1, 11)
    weights[0, 13:] = [0.25, 0.75]
    weight = script.weight_on_true_slots
    assert weight(slots, weights, 3, 1, 1) == 0.375
    # One slot later than the symbol's own.
    slots[0, 13:, 1] += 1
    assert weight(slots, weights, 3, 1, 1) == 0
    assert weight(slots, weights, 3, 1, 2) == 0.375
