"""The examples of Professor Forcing, on a little data."""

import argparse
import gzip
import importlib
import wave

import keras
import numpy as np
import pytest

from keras_seqcredit.layers import GaussianHead
from keras_seqcredit.models import AutoregressiveRNN
from tests.on_one_backend import only_on

FLAGS = (
    "--epochs=1", "--units=4", "--batch-size=4", "--discriminator-units=3",
)  # fmt: skip


def check(figures):
    assert figures["nll"] > 0
    assert abs(figures["free_running_gap"]) < 2
    assert [row["epoch"] for row in figures["history"]] == [0]


@only_on("jax")
def test_pixels(run_example):
    result, logdir = run_example(
        "sequential_mnist_professor",
        *FLAGS,
        "--ways=professor",
        "--batch-size=90",
        "--pixels-per-step=16",
    )
    check(result["results"]["professor"])
    folder = logdir / "professor"
    assert (folder / "images.png").stat().st_size > 1000
    assert (logdir / "states.png").stat().st_size > 1000
    assert isinstance(
        keras.saving.load_model(folder / "generator.keras"), AutoregressiveRNN
    )


@pytest.mark.parametrize("way", ["teacher", "scheduled", "professor", "mse"])
def test_ways(run_example, way):
    generators = importlib.import_module("generators")
    arguments = argparse.Namespace(
        seed=0,
        sampling_probability=0.5,
        adversarial_weight=2.0,
        mse_weight=3.0,
        discriminator_units=4,
        discriminator_learning_rate=None,
        free_running_steps=None,
        learning_rate=0.1,
    )
    model, generator = generators.make_model(
        way,
        lambda probability: AutoregressiveRNN(
            keras.layers.GRUCell(2),
            GaussianHead(1),
            sampling_probability=probability,
        ),
        10,
        arguments,
    )
    probability = generator.sampling_probability
    at_the_end = (
        float(probability(10)) if callable(probability) else probability
    )
    assert at_the_end == (0.5 if way == "scheduled" else 0)
    if way in ("teacher", "scheduled"):
        assert model is generator
    else:
        assert model.generator is generator
        expected = {"professor": ("adversarial", 2), "mse": ("mse", 3)}[way]
        weight = model.adversarial_weight
        weight = weight(0) if callable(weight) else weight
        assert (model.matching, float(weight)) == expected


@only_on("jax")
def test_waveform(run_example, speech):
    result, logdir = run_example(
        "waveform",
        *FLAGS,
        "--ways=professor",
        f"--data-dir={speech}",
        "--length=12",
        "--generate=50",
        "--free-running-steps=6",
    )
    figures = result["results"]["professor"]
    check(figures)
    assert 0 < figures["bits_per_sample"] < 20
    with wave.open(str(logdir / "professor" / "7.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (4000, 50)
    assert (logdir / "professor" / "spectrograms.png").stat().st_size > 1000


def test_levels_are_those_of_the_mu_law(run_example):
    waveform = importlib.import_module("waveform")
    levels = np.arange(256)
    np.testing.assert_array_equal(
        waveform.encode(waveform.decode(levels)), levels
    )
    assert waveform.encode(np.array([-1.0, 0.0, 1.0])).tolist() == [0, 128, 255]
    # By the formula, half of the positive levels are below 15 / 255.
    below, above = waveform.decode(np.array([191, 192]))
    assert below < 15 / 255 < above


@only_on("jax")
def test_text(run_example, tmp_path, place, monkeypatch):
    path = tmp_path / "tinyshakespeare.txt.gz"
    path.write_bytes(gzip.compress(b"to be or not to be, " * 40))
    place("character_text", "SHAKESPEARE_SHA256", path)
    monkeypatch.setattr(importlib.import_module("char_lm"), "TIMES", (1, 2))
    result, logdir = run_example(
        "char_lm",
        *FLAGS,
        "--ways=scheduled",
        f"--data-dir={tmp_path}",
        "--length=10",
        "--batch-size=8",
        "--num-samples=4",
    )
    figures = result["results"]["scheduled"]
    check(figures)
    assert list(figures["by_length"]) == ["10", "20"]
    for found in figures["by_length"].values():
        # About as many as a fair coin for each of 9 characters.
        assert 2 < found["bits_per_character"] < 5
        assert 0 <= found["known_words"] <= 1
    texts = (logdir / "scheduled" / "samples.txt").read_text()
    assert [len(text) for text in texts.split("\n\n---\n\n")] == [20] * 4


def test_known_words_are_whole(run_example):
    char_lm = importlib.import_module("char_lm")
    share = char_lm.share_of_words(["o be or nut", "xx to be t"], {"be", "or"})
    assert share == 3 / 4


@only_on("jax")
def test_handwriting(run_example, tmp_path, place):
    path = tmp_path / "omniglot_pen_raw.npz"
    # An angle and a dot, by four people.
    drawing = [[10, 50, 0], [0, -24, 0], [20, 0, 1], [9, 0, 1]]
    np.savez(
        path,
        points=np.array(8 * drawing, "int16") * [256, 256, 1],
        offsets=np.arange(0, 33, 4),
        scale=np.array(1 / 256),
        alphabet=np.zeros(8, "uint8"),
        alphabet_names=np.array(["Latin"]),
        character=np.array(4 * [1, 2], "uint8"),
        drawer=np.array([1, 1, 2, 2, 17, 17, 18, 18], "uint8"),
    )
    place("pen_strokes", "SHA256", path)
    result, logdir = run_example(
        "handwriting",
        *FLAGS,
        "--ways=teacher",
        f"--data-dir={tmp_path}",
        "--max-points=14",
        "--num-components=2",
    )
    check(result["results"]["teacher"])
    for suffix in ("png", "svg"):
        path = logdir / "teacher" / f"drawings.{suffix}"
        assert path.stat().st_size > 1000


def test_a_drawing_ends_where_the_pen_stays(run_example):
    handwriting = importlib.import_module("handwriting")
    points = [[1, 0, 0], [1, 0, 1], [0, 2, 1], [0, 0, 1], [5, 5, 0]]
    lines = handwriting.strokes_of(np.array(points, "float32"))
    expected = [[[1, 0], [2, 0]], [[2, 2]]]
    assert [line.tolist() for line in lines] == expected


@only_on("jax")
def test_forecasting(run_example):
    result, logdir = run_example(
        "forecasting",
        "--epochs=1",
        "--units=3",
        "--batch-size=4",
        "--ways",
        "teacher",
        "temperature",
        "--length=4",
        "--train-series=20",
        "--test-series=8",
        "--num-samples=3",
    )
    for figures in result["results"].values():
        assert len(figures["crps"]) == 40 and min(figures["crps"]) > 0
        assert list(figures["positions"]) == ["1", "4", "10"]
        for found in figures["positions"].values():
            assert found["variance_ratio"] > 0
            assert 0 <= found["samples"] <= 1
    assert result["results"]["temperature"]["temperature"] > 0
    assert (logdir / "drift.png").stat().st_size > 1000


def test_every_way_to_forecast_is_made(run_example):
    forecasting = importlib.import_module("forecasting")
    arguments = argparse.Namespace(seed=0, units=3, learning_rate=1e-3)
    for way in forecasting.COSTS:
        model, generator = forecasting.make_model(way, arguments, 10)
        assert model.generating_model() is generator
    assert generator.rollout_steps is None
    assert model.sample_gradient and model.relative_weight


def test_errors_of_forecasts(run_example):
    forecasting = importlib.import_module("forecasting")
    random = np.random.default_rng(0)
    samples, truth = random.normal(size=(5, 7, 3)), random.normal(size=(5, 3))
    # By its definition, E|X - y| - E|X - X'| / 2, over distinct pairs.
    first, second = np.triu_indices(7, 1)
    apart = np.abs(samples[:, first] - samples[:, second]).mean(axis=1)
    crps = np.abs(samples - truth[:, None]).mean(axis=1) - apart / 2
    found = forecasting.crps_of(samples, truth)
    assert found == pytest.approx(crps.mean(axis=0))
    # Series that are alike have alike statistics.
    truth = random.normal(size=(500, 200))
    found = forecasting.long_run(
        random.normal(size=(500, 2, 200)), truth, length=20
    )
    assert found["spectrum_distance"] < 0.1
    assert found["positions"][10]["variance_ratio"] == pytest.approx(1, abs=0.1)
    found = forecasting.long_run(0.5 * truth[:, None], truth, length=20)
    assert found["spectrum_distance"] == pytest.approx(np.log(4))


def test_the_lorenz_equations_oscillate(run_example):
    forecasting = importlib.import_module("forecasting")
    x = forecasting.lorenz(64, 300, np.random.default_rng(0))
    assert x.shape == (64, 300)
    assert x.std() == pytest.approx(1, abs=0.05)
    # Both wings of the attractor.
    assert 0.4 < (x > 0).mean() < 0.6
