"""The examples of Z-Forcing, on a little data."""

import importlib
import json
import wave

import numpy as np
import pytest

from tests.on_one_backend import only_on

FLAGS = (
    "--epochs=1", "--units=4", "--latent-dim=2", "--batch-size=4",
    "--likelihood-samples=2", "--ways=auxiliary",
)  # fmt: skip


@pytest.fixture
def run(run_example):
    """`run(script, *flags)`, the result and the folder of the only way."""

    def run(script, *flags):
        result, logdir = run_example(script, *FLAGS, *flags)
        return result, logdir / "auxiliary"

    return run


@pytest.fixture
def reviews(tmp_path, place):
    random = np.random.default_rng(0)
    x = np.empty(8, "object")
    x[:] = [list(random.integers(1, 9, 6)) for _ in x]
    y = np.arange(8) % 2
    path = tmp_path / "imdb.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    place("imdb", "SHA256", path)
    path = tmp_path / "imdb_word_index.json"
    path.write_text(json.dumps({f"word{i}": i for i in range(1, 9)}))
    place("imdb", "WORD_INDEX_SHA256", path)
    return tmp_path


def check(figures):
    assert figures["elbo"] == pytest.approx(
        -figures["nll"] - figures["kl"], rel=1e-4
    )
    assert figures["log_likelihood_bound"] < 0 < figures["log_likelihood_error"]
    assert 0 <= figures["active_units"] <= 2
    assert [row["epoch"] for row in figures["history"]] == [0]


@only_on("jax")
def test_speech(run, speech):
    result, folder = run(
        "speech_z_forcing",
        f"--data-dir={speech}",
        "--head=mixture",
        "--num-components=2",
        "--frame-size=20",
        "--max-frames=4",
        "--num-samples=2",
    )
    check(result["results"]["auxiliary"])
    with wave.open(str(folder / "0.01_1.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (8000, 80)
    assert (folder / "spectrograms.png").stat().st_size > 1000


@only_on("jax")
def test_speech_in_pairs(run_example, speech):
    result, logdir = run_example(
        "speech_paired",
        f"--data-dir={speech}",
        "--ways", "plain", "auxiliary",
        "--weights=0.01",
        "--seeds=0",
        "--validation-recordings=4",
        "--frame-size=20",
        "--max-frames=4",
        *FLAGS[:-1],
    )  # fmt: skip
    plain, auxiliary = (
        result["results"][name] for name in ("plain 0", "auxiliary 0 0.01")
    )
    assert result["chosen"] == {"auxiliary": 0.01}
    pair = result["paired"]["auxiliary"]["elbo"]
    assert pair["differences"] == [auxiliary["elbo"] - plain["elbo"]]
    assert pair["standard_error"] is None
    # What both have starts the same and saw the same: one step each way.
    assert auxiliary["nll"] == pytest.approx(plain["nll"], rel=0.1)
    assert plain["backward_nll"] == 0 < auxiliary["backward_nll"]
    assert (logdir / "seed0/auxiliary_0.01/best.weights.h5").exists()


@only_on("jax")
def test_differences_have_errors_over_seeds():
    paired = importlib.import_module("speech_paired").paired
    figures = ("elbo", "log_likelihood_bound")
    results = {
        f"{way} {seed}": dict.fromkeys(figures, value)
        for way, values in {
            "plain": [1.0, 3, 2],
            "lstm": [2.0, 6, 4],
            "plain+target": [0.0, 0, 0],
            "both+target": [7.0, 7, 7],
        }.items()
        for seed, value in enumerate(values)
    }
    names = ["plain", "lstm", "plain+target", "both+target"]
    found = paired(results, {}, names, [0, 1, 2])
    assert list(found) == names[1:]
    assert found["plain+target"]["elbo"]["differences"] == [-1, -3, -2]
    assert found["both+target"]["elbo"]["differences"] == [7, 7, 7]
    pair = found["lstm"]["elbo"]
    assert pair["differences"] == [1, 3, 2]
    assert pair["mean"] == 2
    assert pair["standard_error"] == pytest.approx(1 / 3**0.5)


@only_on("tensorflow")
def test_words(run, reviews):
    result, folder = run(
        "imdb_z_forcing",
        f"--data-dir={reviews}",
        "--num-words=8",
        "--word-dropout=0.5",
        "--stop-backward-gradient",
        "--length=5",
    )
    figures = result["results"]["auxiliary"]
    check(figures)
    assert figures["words"] == 5
    for name in ("words", "means", "samples", "untrained_states"):
        assert 0 <= figures["probe"][name] <= 1
    assert 1 < figures["perplexity_bound"] < 30
    texts = json.loads((folder / "texts.json").read_text())
    assert [len(texts[k]) for k in texts] == [8, 2, 6]


@only_on("jax")
def test_pixels_and_a_run_that_was_killed(run, monkeypatch, capsys):
    flags = "sequential_mnist_z_forcing", "--pixels-per-step=16"
    z_forcing = importlib.import_module("z_forcing")
    with monkeypatch.context() as patch:
        patch.setattr(z_forcing, "measure", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(*flags)
    assert "val_loss" in capsys.readouterr().out
    result, folder = run(*flags)
    assert "val_loss" not in capsys.readouterr().out
    check(result["results"]["auxiliary"])
    assert (folder / "images.png").stat().st_size > 1000
    assert (folder / "model.keras").exists()
    with pytest.raises(SystemExit, match="units=4 became 5"):
        run(*flags, "--units=5")
