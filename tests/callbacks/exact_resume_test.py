"""A training that was killed ends as one that was not, to the last bit."""

import json
import os
import pickle
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_seqcredit import callbacks
from keras_seqcredit import layers
from keras_seqcredit import models
from keras_seqcredit.callbacks import training_description
from keras_seqcredit.callbacks import training_state
from keras_seqcredit.models.generative_model import build_for
from tests import small_systems

NAMES = list(small_systems.SYSTEMS)
# All are killed on JAX. On TensorFlow: one with dropout, one with two
# optimizers, and one that updates after each step of a walk.
KILLED = NAMES
if keras.backend.backend() == "tensorflow":
    KILLED = ["sparse_attentive", "professor_forcing", "walkback_online"]


def run(*arguments):
    command = [sys.executable, "-m", "tests.callbacks.killed_training"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    """Resumed after `kill -9`, and undisturbed."""
    folder = tmp_path_factory.mktemp("killed")
    names = ",".join(KILLED)
    killed = run("kill", names, folder / "killed")
    assert killed.returncode == -9, killed.stderr
    folders = [folder / "killed", folder / "undisturbed"]
    ended = run("train", names, *folders)
    assert ended.returncode == 0, ended.stderr
    return [
        pickle.loads(path.with_suffix(".pickle").read_bytes())
        for path in folders
    ]


@pytest.mark.parametrize("name", KILLED)
def test_goes_on_as_if_it_had_not_been_killed(name, trainings):
    resumed, whole = (found[name] for found in trainings)
    assert resumed["started"] == 2
    assert whole["started"] == 0
    assert resumed["epochs"] == whole["epochs"] == [0, 1, 2, 3]
    assert resumed["history"] == whole["history"]
    for key in ("weights", "optimizer"):
        for a, b in zip(resumed[key], whole[key], strict=True):
            np.testing.assert_array_equal(a, b)


def fit(folder, epochs=2, rate=0.1, units=3, extra=(), examples=8, **kwargs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(units, activation="tanh")]
    )
    model.compile(keras.optimizers.Adam(rate), "mse")
    x = np.random.normal(size=(examples, 2))
    resume = callbacks.ExactResume(folder, **kwargs)
    history = model.fit(
        x,
        np.ones((examples, units)),
        batch_size=4,
        epochs=epochs,
        verbose=0,
        callbacks=[*extra, resume],
    )
    return model, history


class Stop(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def interrupted(folder, epoch=1, **kwargs):
    with pytest.raises(KeyboardInterrupt):
        fit(folder, epochs=4, extra=[Stop(epoch)], **kwargs)


def test_a_kill_while_it_saves_leaves_the_last_state(tmp_path, monkeypatch):
    interrupted(tmp_path / "a", epoch=2)

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training_state.np, "savez", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "a", epochs=4)
    found = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert found == ["epoch000002", "partial"]
    resumed, history = fit(tmp_path / "a", epochs=4)
    whole, _ = fit(tmp_path / "b", epochs=4)
    assert history.epoch == [0, 1, 2, 3]
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_training_that_has_ended_leaves_nothing_of_its_own(tmp_path):
    fit(tmp_path / "a")
    assert not (tmp_path / "a").exists()
    (tmp_path / "notes").touch()
    interrupted(tmp_path)
    fit(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_goes_on_for_more_epochs(tmp_path):
    fit(tmp_path / "a", epochs=2, delete_checkpoint=False)
    resumed, history = fit(tmp_path / "a", epochs=4)
    whole, _ = fit(tmp_path / "b", epochs=4)
    assert history.epoch == [0, 1, 2, 3]
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_keeps_what_other_callbacks_have_counted(tmp_path):
    def stopper():
        # The first epoch is the best, by so much that no other is better.
        return keras.callbacks.EarlyStopping(
            "loss", min_delta=100, patience=3, restore_best_weights=True
        )

    found = []
    for folder, epoch in (("a", 2), ("b", None)):
        if epoch:
            early = stopper()
            with pytest.raises(KeyboardInterrupt):
                fit(tmp_path / folder, 9, extra=[early, Stop(2)], keep=[early])
        early = stopper()
        model, history = fit(tmp_path / folder, 9, extra=[early], keep=[early])
        found.append((history.epoch, model.get_weights()))
    assert found[0][0] == found[1][0] == [0, 1, 2, 3]
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"units": 4}, "weights[0]: ['kernel', [2, 3], 'float32'] became"),
        ({"rate": 0.2}, "learning_rate: 0.1"),
        ({"examples": 16}, "steps an epoch: 2 became 4"),
    ],
)
def test_says_that_the_state_is_of_another_training(kwargs, message, tmp_path):
    interrupted(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=f"Received: .*{re.escape(message)}"):
        fit(tmp_path, **kwargs)
    assert contents(tmp_path) == before


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def sparse_attentive(k_top):
    return keras.Sequential([keras.Input((5, 3)), layers.SABGRU(2, k_top)])


def with_dropout(rate):
    return keras.Sequential([keras.Input((3,)), keras.layers.Dropout(rate)])


def in_precision(dtype):
    layer = keras.layers.Dense(2, dtype=dtype)
    return keras.Sequential([keras.Input((3,)), layer])


def autoregressive(probability=0.0):
    return models.AutoregressiveRNN(
        keras.layers.GRUCell(2),
        layers.GaussianHead(3),
        sampling_probability=probability,
    )


def professor_forcing(gate):
    return models.ProfessorForcing(
        autoregressive(),
        layers.BehaviorDiscriminator(2),
        discriminator_accuracy_range=(0.5, gate),
    )


def walkback(num_steps):
    network = models.transition_mlp(3, units=(2,))
    transition = layers.GaussianTransition(network)
    return models.VariationalWalkback(transition, num_steps=num_steps)


def wired(place):
    """A second layer on top of the first, or beside it."""
    x = keras.Input((3,))
    first = keras.layers.Dense(3)(x)
    second = keras.layers.Dense(3)(x if place == [0, 0, 0] else first)
    return keras.Model(x, keras.layers.Add()([first, second]))


def with_a_lambda(limit):
    code = keras.layers.Lambda(lambda x: x + 1)
    return keras.Sequential([keras.Input((3,)), code, keras.layers.ReLU(limit)])


class Own(keras.Model):
    """Cannot say what it was made of: its layers can."""

    def __init__(self, not_serializable, rate):
        super().__init__()
        self.dropout = keras.layers.Dropout(rate)

    def call(self, x):
        return self.dropout(x)


def own(rate):
    return Own(object(), rate)


def begin(folder, model):
    """What `fit` does first."""
    if isinstance(model, models.ProfessorForcing):
        model.compile("adam", "sgd")
    else:
        model.compile("adam")
    if not model.built:
        is_flat = isinstance(model, (Own, models.VariationalWalkback))
        model.build((2, 3) if is_flat else (2, 5, 3))
    model.optimizer.build(model.trainable_variables)
    resume = callbacks.ExactResume(folder)
    resume.set_model(model)
    resume.set_params({"steps": 1})
    resume.on_train_begin()
    return resume


SETTINGS = [
    (sparse_attentive, "configuration.layers[1].config.k_top", 1, 2),
    (with_dropout, "configuration.layers[1].config.rate", 0.1, 0.2),
    (
        in_precision,
        "configuration.layers[1].config.dtype",
        "float32",
        "mixed_bfloat16",
    ),
    (
        autoregressive,
        "configuration.sampling_probability.config.value",
        0.25,
        0.5,
    ),
    (
        professor_forcing,
        "configuration.discriminator_accuracy_range[1]",
        0.75,
        0.875,
    ),
    (walkback, "configuration.num_steps", 2, 3),
    (
        wired,
        "configuration.layers[2].inbound_nodes[0].args[0]",
        [0, 0, 0],
        [1, 0, 0],
    ),
    (with_a_lambda, "configuration.layers[2].config.max_value", 1.0, 2.0),
    (own, "layers[0].config.rate", 0.1, 0.2),
]


@pytest.mark.parametrize(
    "make, setting, old, new", SETTINGS, ids=[x[0].__name__ for x in SETTINGS]
)
def test_says_which_setting_is_another(make, setting, old, new, tmp_path):
    begin(tmp_path, make(old)).on_epoch_end(0)
    before = contents(tmp_path)
    begin(tmp_path, make(old))
    with pytest.raises(ValueError) as caught:
        begin(tmp_path, make(new))
    assert str(caught.value).endswith(
        f"Received: {setting}: {old} became {new}"
    )
    assert contents(tmp_path) == before


def test_goes_on_with_the_state_of_an_earlier_version(tmp_path):
    model = with_dropout(0.1)
    begin(tmp_path, model).on_epoch_end(0)
    (path,) = tmp_path.rglob("numbers.json")
    numbers = json.loads(path.read_text())
    training = numbers["training"]
    del training["configuration"], training["layers"]
    training["compile"] = model.get_compile_config()
    path.write_text(json.dumps(numbers))
    begin(tmp_path, with_dropout(0.2))


@pytest.mark.parametrize("changed", [False, True])
def test_goes_on_with_a_state_from_before_an_argument(tmp_path, changed):
    """Of a layer in a layer, which has done what the default does."""

    def make(**arguments):
        operator = layers.BernoulliTransition(
            keras.layers.Dense(2), alpha=0.5, **arguments
        )
        model = models.VariationalWalkback(operator, 2, seed=1)
        model.build((None, 2))
        model.compile("sgd")
        return model

    begin(tmp_path, make()).on_epoch_end(0)
    (path,) = tmp_path.rglob("numbers.json")
    numbers = json.loads(path.read_text())
    training = numbers["training"]
    operators = [training["configuration"]["transition"]["config"]]
    operators += [
        layer["config"]
        for layer in training["layers"]
        if layer["class_name"] == "BernoulliTransition"
    ]
    assert len(operators) == 2
    for config in operators:
        assert config.pop("residual") == "states"
    del training["configuration"]["momentum"]
    path.write_text(json.dumps(numbers))
    if not changed:
        begin(tmp_path, make())
        return
    with pytest.raises(ValueError, match="residual: None became 0.25"):
        begin(tmp_path, make(residual=0.25))


@pytest.mark.parametrize("name", NAMES)
def test_a_program_that_is_run_again_is_the_same(name):
    """Also if it is so by another process, which counts names anew."""
    make = small_systems.SYSTEMS[name]
    found = []
    for _ in range(2):
        model = small_systems.compiled(make)
        if not model.built:
            build_for(model, *small_systems.data(make))
        found.append(training_description.describe(model, {"steps": 1}))
    assert found[0]["configuration"] and found[0] == found[1]


def test_says_that_the_model_is_not_built(tmp_path):
    model = keras.Sequential([keras.layers.Dense(2)])
    resume = callbacks.ExactResume(tmp_path)
    resume.set_model(model)
    with pytest.raises(ValueError, match="Received: an unbuilt"):
        resume.on_train_begin()


@pytest.mark.parametrize(
    "kwargs, message",
    [({"backup_dir": ""}, "backup_dir=''"), ({"keep": ["a"]}, "keep with 'a'")],
)
def test_says_which_argument_is_wrong(kwargs, message):
    with pytest.raises(ValueError, match=f"Received: .*{message}"):
        callbacks.ExactResume(**{"backup_dir": "backup", **kwargs})
