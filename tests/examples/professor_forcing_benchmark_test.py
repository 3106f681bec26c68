"""What a benchmark compares with computes the same."""

import json
import sys

import keras
import numpy as np
import pytest

from examples.benchmarks import professor_forcing as benchmark
from examples.benchmarks import step_by_step_generation as step_by_step
from examples.benchmarks.measuring import training
from tests.gradients import FASTEST

EAGERLY = FASTEST == "eager"

SIZES = benchmark.Sizes(
    batch=3,
    time=4,
    vocabulary=5,
    embedding=2,
    units=6,
    discriminator=3,
    length=4,
    few=2,
    batches=(2,),
)


def as_arrays(variables):
    return [keras.ops.convert_to_numpy(v.value) for v in variables]


@pytest.mark.parametrize(
    ("kind", "accuracies"),
    [
        ("separate", (0.0, 1.0)),
        ("separate, Keras", (0.0, 1.0)),
        ("separate", (1.0, 0.0)),
    ],
    ids=["separate", "Keras", "closed"],
)
def test_a_training_step_is_the_same(kind, accuracies):
    random = np.random.default_rng(0)
    shape = SIZES.batch, SIZES.time
    sequences = random.integers(0, SIZES.vocabulary, shape).astype("int32")
    models = [
        benchmark.make_model(net, SIZES) for net in ("professor_forcing", kind)
    ]
    for model in models:
        model.discriminator_accuracy_range = accuracies
        model.build(shape)
    names = "generator", "discriminator"
    ours, theirs = (
        {name: getattr(model, name).trainable_variables for name in names}
        for model in models
    )
    before = {}
    for name in names:
        shapes = [v.shape for v in ours[name]]
        before[name] = [0.5 * random.normal(size=shape) for shape in shapes]
        for variables in (ours[name], theirs[name]):
            for variable, value in zip(variables, before[name], strict=True):
                variable.assign(value)
    logs = []
    for model in models:
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=EAGERLY)
        logs.append(model.train_on_batch(sequences, return_dict=True))
    # At the first step all states are equal but for rounding: the gap sees it.
    gaps = [one.pop("free_running_gap") for one in logs]
    assert gaps == pytest.approx([0, 0], abs=2)
    assert logs[0] == pytest.approx(logs[1], rel=1e-4, abs=1e-6)
    assert {"nll", "discriminator_loss", "adversarial_loss"} < set(logs[0])
    for name in names:
        arrays = as_arrays(ours[name]), as_arrays(theirs[name])
        moved = set()
        for a, b, first in zip(*arrays, before[name], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
            moved.add(np.abs(a - first).max() > 1e-6)
        assert moved == {name == "generator" or accuracies[1] > 0}


def test_a_net_that_is_called_step_by_step_is_the_generator():
    generator = benchmark.make_generator(SIZES)
    generator.build((2, SIZES.length))
    net = step_by_step.make_net(SIZES.vocabulary, SIZES.embedding, SIZES.units)
    parts = generator.core, generator.head, generator.embedding
    core, head, [table] = (as_arrays(p.trainable_variables) for p in parts)
    before_the_first = np.zeros((1, SIZES.embedding))
    net.set_weights([np.concatenate([table, before_the_first]), *core, *head])
    samples = generator.generate(length=SIZES.length, num_samples=2, seed=0)
    found, logits = step_by_step.generate(
        net, 2, SIZES.length, net.predict_on_batch, None, samples
    )
    np.testing.assert_array_equal(found, samples)
    np.testing.assert_allclose(logits, generator(samples), atol=1e-5)
    drawn, _ = step_by_step.generate(
        net, 2, 3, net.predict_on_batch, np.random.default_rng(0)
    )
    assert drawn.shape == (2, 3)
    assert (drawn >= 0).all() and (drawn < SIZES.vocabulary).all()


def test_a_call_trains_so_many_steps():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((4, 1), "float32")
    call = training(model, (x, 2 * x), 3)
    for calls in (1, 2):
        call()
        assert int(model.optimizer.iterations.value) == 3 * calls


def test_the_benchmark_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benchmark, "SIZES", SIZES)
    # To compile all of them takes half a minute.
    monkeypatch.setattr(benchmark, "make_steps", lambda *_: lambda: None)
    command = [
        "professor_forcing", "--repeats=1", f"--output={tmp_path}",
        "--sections", "steps", "generation",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    benchmark.main()
    assert "| separate, Keras |" in capsys.readouterr().out
    (path,) = tmp_path.iterdir()
    result = json.loads(path.read_text())
    assert set(result["step"]) == set(benchmark.NETS)
    assert result["times_as_fast_as_separate"] > 0
    figures = result["generation"]["2"]["predict"]
    assert figures["tokens_a_second"] == 2 * 2 / figures["median"]
