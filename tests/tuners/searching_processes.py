"""What the processes of a parallel search run in tests, found by name."""

import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import keras_tuner
import numpy as np

from keras_seqcredit import tuners
from keras_seqcredit.tuners.tuned_model import TunedModel


class PlainTuner(keras_tuner.GridSearch):
    """Trials without a model: each does what its one value says."""

    def run_trial(self, trial):
        note(self.directory)
        values = trial.hyperparameters.values
        # The condition is met by the first trial alone.
        assert ("reason" in values) == (int(trial.trial_id) == 0)
        return TRIALS[values["does"]](self, trial)


def make_plain(folder, does, **kwargs):
    note(folder)
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Choice("does", list(does))
    with hyperparameters.conditional_scope("does", [does[0]]):
        hyperparameters.Choice("reason", ["luck"])
    return PlainTuner(
        objective=keras_tuner.Objective("score", "max"),
        hyperparameters=hyperparameters,
        directory=folder,
        project_name="search",
        **kwargs,
    )


def search_plain(tuner):
    tuner.search()


def complete(tuner, trial):
    return {"score": float(trial.trial_id)}


def fail(tuner, trial):
    raise keras_tuner.errors.FailedTrialError("No luck.")


def end_search(tuner, trial):
    # When all processes are there.
    while len(notes(tuner.directory)) < 4:
        time.sleep(0.1)
    raise keras_tuner.errors.FatalValueError("Nothing fits.")


def be_killed(tuner, trial):
    os.kill(os.getpid(), signal.SIGKILL)


def kill_chief(tuner, trial):
    for found in notes(tuner.directory):
        if found["id"] == "new_chief":
            os.kill(found["pid"], signal.SIGKILL)
    time.sleep(600)


def never_end(tuner, trial):
    hang(tuner.directory)


def hang(folder):
    """Like a worker whose data are loaded by a process of its own."""
    loader = subprocess.Popen(["sleep", "600"])
    note(folder, loader.pid)
    time.sleep(600)


TRIALS = {
    "complete": complete,
    "complete too": complete,
    "fail": fail,
    "fail too": fail,
    "fail again": fail,
    "end the search": end_search,
    "be killed": be_killed,
    "kill the chief": kill_chief,
    "never end": never_end,
}


def note(folder, pid=None):
    """Writes down that a process is there, for `notes`."""
    folder = pathlib.Path(folder) / "notes"
    folder.mkdir(exist_ok=True)
    found = {
        "pid": pid or os.getpid(),
        "id": os.environ.get("KERASTUNER_TUNER_ID"),
        "cores": sorted(os.sched_getaffinity(0)),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }
    partial = folder / f"{found['pid']}.partial"
    partial.write_text(json.dumps(found))
    partial.replace(folder / f"{found['pid']}.json")


def notes(folder):
    paths = pathlib.Path(folder).glob("notes/*.json")
    return [json.loads(path.read_text()) for path in paths]


class TinySpace(TunedModel):
    """What compiles quickly, in each process anew."""

    default_objective = ("val_loss", "min")

    def make_model(self, hp):
        layer = keras.layers.Dense(1, kernel_initializer="zeros")
        return keras.Sequential([keras.Input((2,)), layer])

    def compile(self, hp, model):
        rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
        model.compile(keras.optimizers.SGD(rate), "mse")


def make_tiny(folder):
    space = TinySpace(batch_sizes=(8,), epochs=3, log_dir=f"{folder}/logs")
    return keras_tuner.RandomSearch(
        space,
        objective=space.objective,
        max_trials=2,
        directory=folder,
        project_name="search",
    )


def search_tiny(tuner):
    note(tuner.directory)
    x = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    tuner.search(
        x, y, validation_data=(x, y), verbose=0, callbacks=[HangOnce()]
    )


class HangOnce(keras.callbacks.Callback):
    """The first worker hangs in its last epoch, others wait for each other."""

    def on_train_begin(self, logs=None):
        while pathlib.Path("has_hung").exists() and len(notes(".")) < 4:
            time.sleep(0.1)

    def on_epoch_begin(self, epoch, logs=None):
        with open("epochs", "a") as file:
            file.write(f"{epoch} ")
        path = pathlib.Path("has_hung")
        if epoch == 2 and not path.exists():
            path.touch()
            hang(".")


def return_at_once(tuner):
    pass


def tiny_search(folder, num_workers):
    return tuners.parallel_search(
        functools.partial(make_tiny, folder),
        search_tiny,
        num_workers=int(num_workers),
        gpus=[],
        verbose=0,
    )


def plain_search(folder, *does, num_workers=2):
    return tuners.parallel_search(
        functools.partial(make_plain, folder, does),
        search_plain,
        num_workers=num_workers,
        gpus=[],
        verbose=0,
    )


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
