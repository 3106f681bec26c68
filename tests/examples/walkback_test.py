"""The examples of Variational Walkback run, write what they say, resume."""

import importlib
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.on_one_backend import only_on

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(script, folder, *flags, name="result"):
    """Runs a script, and returns its result and what it has printed."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.run(
        [
            sys.executable,
            str(EXAMPLES / script),
            f"--backend={keras.backend.backend()}",
            f"--logdir={folder / 'run'}",
            *flags,
        ],
        cwd=folder,
        env={**os.environ, "KERAS_BACKEND": "", "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    result = (folder / "run" / f"{name}.json").read_text()
    return json.loads(result), process.stdout


@only_on("tensorflow")
def test_toy(tmp_path):
    flags = ["--data", "circle", "--epochs=1", "--num-steps=3", "--units=8"]
    result, printed = run("walkback_toy.py", tmp_path, *flags)
    figures = result["results"]["circle"]["figures"]
    assert list(figures) == [
        "data",
        "Walkback",
        "Walkback, 10 x longer",
        "DDPM",
        "DDPM, 10 x longer",
    ]
    assert figures["data"]["radius_error"] < 0.02
    assert "| Walkback, 10 x longer |" in printed
    names = {path.name for path in (tmp_path / "run" / "circle").iterdir()}
    assert {"samples.png", "chain.gif", "model.keras", "train"} <= names
    again, printed = run("walkback_toy.py", tmp_path, *flags)
    assert again == result
    assert "Epoch" not in printed


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    monkeypatch.setattr(sys, "argv", ["walkback_toy.py"])
    return importlib.import_module("walkback_toy")


def test_figures(toy):
    far = np.random.default_rng(0).normal(3, 0.1, (2000, 2))
    for name in toy.SETTINGS:
        points = toy.draw_points(name, 2000, seed=1)
        figures = toy.measure(name, points)
        assert abs(figures["mmd"]) < 0.02 < toy.measure(name, far)["mmd"]
    assert figures["modes"] == 9
    assert figures["total_variation"] < 0.05
    assert figures["deviation"] == pytest.approx(0.05, rel=0.1)
    one = toy.measure("mixture", np.zeros((2000, 2)))
    assert one["modes"] == 1
    assert one["total_variation"] == pytest.approx(8 / 9)


@pytest.mark.parametrize("num_steps", [1, 10])
def test_fewer_steps_of_a_diffusion_model(toy, num_steps):
    del toy  # Examples can be imported.
    diffusion = importlib.import_module("diffusion")

    class OfOnePoint(keras.layers.Layer):
        """The exact noise, were all data one point."""

        def call(self, inputs):
            x, step = inputs
            kept = keras.ops.take(keras.ops.convert_to_tensor(model.kept), step)
            kept = kept[:, None]
            return (x - keras.ops.sqrt(kept) * point) / keras.ops.sqrt(1 - kept)

    point = np.float32([0.5, -2.0])
    model = diffusion.DDPM(OfOnePoint(), 100, seed=0)
    model.build((None, 2))
    found = model.sample_in(num_steps, 5)
    np.testing.assert_allclose(found, np.tile(point, (5, 1)), atol=1e-3)


def test_a_gsn_walks_away_and_comes_back(toy):
    del toy  # Examples can be imported.
    gsn = importlib.import_module("gsn")

    class Keeps(keras.layers.Layer):
        def call(self, x):
            return 60 * (2 * x - 1)

    class OfOnePoint(keras.layers.Layer):
        def call(self, x):
            return 60 * (2 * point - 1) + 0 * x

    x = np.random.default_rng(0).integers(0, 2, (256, 1000)).astype("float32")
    for steps, wrong in [(1, 0.2), (2, (0.2 + 0.32) / 2)]:
        model = gsn.GSN(Keeps(), corruption=0.4, steps=steps, seed=1)
        model.build(x.shape)
        loss = model.compute_loss(y_pred=model(x))
        assert float(loss) == pytest.approx(60 * wrong, rel=0.01)
    point = x[0]
    model = gsn.GSN(OfOnePoint(), seed=1)
    model.build(x.shape)
    np.testing.assert_allclose(
        model.sample(3, 5), np.tile(point, (5, 1)), atol=1e-6
    )


@only_on("jax")
def test_images(tmp_path):
    result, printed = run(
        "walkback_images.py",
        tmp_path,
        "--epochs=1",
        "--num-steps=2",
        "--filters=8",
        "--batch-size=32",
        "--no-ddpm",
    )
    found = result["result"]
    assert set(found["distance_to_test"]) == {"data", "Walkback"}
    pixels = 64 * np.log(256)
    gap = found["log_density"] - found["log_likelihood"]
    assert gap == pytest.approx(pixels, rel=1e-5)
    assert "bits a dimension" in printed
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"samples.png", "inpainting.png", "model.keras"} <= names


@only_on("jax")
def test_images_that_are_trained_are_not_trained_again(tmp_path):
    flags = ["--network=mlp", "--units=8", "--epochs=2", "--num-steps=2"]
    flags += ["--ddpm", "--ddpm-steps=4", "--batch-size=32"]
    before, printed = run("walkback_images.py", tmp_path, *flags)
    assert "Epoch 2/2" in printed
    result = before["result"]
    assert set(result["distance_to_test"]) == {"data", "Walkback", "DDPM"}
    assert result["training_seconds"] > 0
    assert result["ddpm_updates"] > 1
    # As if it had been killed before the end.
    (tmp_path / "run" / "result.json").unlink()
    after, printed = run("walkback_images.py", tmp_path, *flags)
    assert "Epoch" not in printed
    for name in ("training_seconds", "log_likelihood"):
        assert after["result"][name] == result[name]
    assert after["result"]["ddpm_updates"] > 1


@only_on("jax")
def test_claims(tmp_path):
    flags = ["--units=8", "--seconds=0.01", "--seeds=0", "--data=circle"]
    flags += ["--experiment=chains", "--ways=Langevin"]
    result, printed = run("walkback_claims.py", tmp_path, *flags, name="chains")
    found = result["results"]["circle, seed 0"]
    assert list(found) == ["Langevin"]
    assert set(found["Langevin"]) >= {"updates", "1 x", "10 x", "100 x"}
    assert result["results"]["real circle"]["mmd"] < 0.01
    # What is finished is not computed again.
    _, printed = run("walkback_claims.py", tmp_path, *flags, name="chains")
    assert "seed 0" not in printed


@only_on("jax")
@pytest.mark.parametrize(
    "experiment, ways",
    [("binary", ["GSN, 0.4", "DDPM, 100"]), ("gray", ["Walkback, 10"])],
)
def test_claims_of_images(experiment, ways, toy, monkeypatch, tmp_path):
    del toy  # Examples can be imported.
    claims = importlib.import_module("walkback_claims")
    chains = importlib.import_module("mnist_chains")
    monkeypatch.setattr(chains, "SAMPLES", 16)
    images = np.zeros((40, 784), "float32")
    images[::2, 200:600] = 0.8
    given = (images, np.arange(40) % 2)
    monkeypatch.setattr(
        chains.datasets, "sequential_mnist", lambda path: (given, given)
    )
    flags = [f"--backend={keras.backend.backend()}", "--image-units=8"]
    flags += ["--seconds=0.01", "--seeds=0", f"--logdir={tmp_path}"]
    flags += [f"--experiment={experiment}", "--ways", *ways]
    monkeypatch.setattr(sys, "argv", ["walkback_claims.py", *flags])
    claims.main()
    found = json.loads((tmp_path / f"{experiment}.json").read_text())["results"]
    assert len(found) == 1 + len(ways)
    for case in found.values():
        figures = case.get("samples", case.get("10 steps", case))
        assert figures["frechet"] > -0.01 and len(figures["classes"]) == 10
        # Not more than a kernel of the least width around the image itself.
        assert figures["parzen"] < 196 * -np.log(0.1 * (2 * np.pi) ** 0.5)
        if "inpainting" in case:
            filled = case["inpainting"]
            lower = images.reshape(-1, 14, 2, 14, 2).mean((2, 4))[:, 7:]
            expected = lower.var(0).mean()
            assert filled["error_of_mean"] == pytest.approx(expected, rel=0.01)
            assert list(tmp_path.rglob("inpainting.png"))
