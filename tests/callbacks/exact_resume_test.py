"""A training that was killed ends as one that was not, to the last bit."""

import os
import pickle
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_seqcredit import callbacks
from keras_seqcredit.callbacks import training_state
from tests import small_systems

# All on JAX, which compiles them sooner; on both what has seeds of Keras' own,
# and what has two optimizers.
NAMES = {
    "jax": list(small_systems.SYSTEMS),
    "tensorflow": ["sparse_attentive", "professor_forcing"],
}[keras.backend.backend()]


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
    names = ",".join(NAMES)
    killed = run("kill", names, folder / "killed")
    assert killed.returncode == -9, killed.stderr
    folders = [folder / "killed", folder / "undisturbed"]
    ended = run("train", names, *folders)
    assert ended.returncode == 0, ended.stderr
    return [
        pickle.loads(path.with_suffix(".pickle").read_bytes())
        for path in folders
    ]


@pytest.mark.parametrize("name", NAMES)
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
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ValueError, match=f"Received: .*{re.escape(message)}"):
        fit(tmp_path, **kwargs)
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert before == after


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
