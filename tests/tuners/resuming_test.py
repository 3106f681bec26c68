"""A search that was killed goes on inside the trial that was running."""

import json
import os
import subprocess
import sys
import textwrap

import keras
import keras_tuner
import numpy as np
import pytest

from keras_seqcredit import layers
from keras_seqcredit import tuners
from tests.backend_imports_test import environment
from tests.on_one_backend import only_on
from tests.tuners.conftest import small
from tests.tuners.conftest import statuses

EPOCHS = 4
# Seconds after which a process has stopped, however slow the machine.
TIMEOUT = 300


class Killed(BaseException):
    """No error of a trial: it ends the process."""


class Kill(keras.callbacks.Callback):
    """Counts epochs, and kills the search in one of them.

    KerasTuner copies callbacks for each trial, so that they count together.
    """

    count = 0
    at = None

    def on_epoch_begin(self, epoch, logs=None):
        if Kill.at == Kill.count:
            raise Killed
        Kill.count += 1


@pytest.fixture(autouse=True)
def no_kill():
    Kill.count, Kill.at = 0, None


def search(tuner, points, **kwargs):
    tuner.search(
        *points,
        validation_data=points,
        verbose=0,
        callbacks=[Kill()],
        **kwargs,
    )


def killed_search(make, points, at):
    Kill.at = at
    tuner = make()
    with pytest.raises(Killed):
        search(tuner, points)
    Kill.at = None
    tuner = make()
    search(tuner, points)
    return tuner


# In the first epoch, in the first trial, in the second.
@pytest.mark.parametrize("at", [0, 2, EPOCHS + 3])
def test_goes_on_inside_the_trial(make_tuner, points, at):
    def make():
        # Without a seed: what is not reloaded comes out otherwise.
        return make_tuner(small(epochs=EPOCHS), seed=None)

    tuner = killed_search(make, points, at)
    assert statuses(tuner) == ["COMPLETED", "COMPLETED"]
    # No epoch was run twice.
    assert Kill.count == 2 * EPOCHS


def test_is_scored_by_all_epochs(make_tuner, points):
    # The best epoch is the first: the loss falls.
    objective = keras_tuner.Objective("val_loss", "max")

    def make():
        space = small(epochs=EPOCHS, objective=objective)
        return make_tuner(space, max_trials=1)

    tuner = killed_search(make, points, 2)
    (trial,) = tuner.oracle.trials.values()
    folder = f"{tuner.get_trial_dir(trial.trial_id)}/execution_0"
    with open(f"{folder}/progress.json") as file:
        found = json.load(file)
    assert found["is_done"]
    losses = [logs["val_loss"] for _, logs in found["epochs"]]
    assert len(losses) == EPOCHS and np.argmax(losses) == 0
    assert trial.score == losses[0] and trial.best_step == 0
    # Its weights were not replaced by those of a worse epoch.
    model = tuner.get_best_models()[0]
    loss = model.evaluate(*points, verbose=0)
    assert loss == pytest.approx(losses[0], rel=1e-5)


def test_goes_on_inside_the_second_execution(make_tuner, points):
    def make():
        return make_tuner(
            small(epochs=EPOCHS, seed=None), 1, executions_per_trial=2
        )

    tuner = killed_search(make, points, EPOCHS + 2)
    assert Kill.count == 2 * EPOCHS
    assert statuses(tuner) == ["COMPLETED"]


def test_finished_training_is_not_run_again(make_tuner, points):
    """Killed after the last epoch, before KerasTuner knows."""

    def make():
        return make_tuner(small(epochs=EPOCHS), max_trials=1)

    tuner = make()
    tuner.on_trial_end = lambda trial: (_ for _ in ()).throw(Killed())
    with pytest.raises(Killed):
        search(tuner, points)
    tuner = make()
    search(tuner, points)
    assert Kill.count == EPOCHS
    assert statuses(tuner) == ["COMPLETED"]


def test_other_values_start_anew(make_tuner, points, tmp_path):
    """Folders of another trial of the same number are not read."""
    for units in (1, 3):
        Kill.count, Kill.at = 0, 2
        tuner = make_tuner(small(), 1, fixed={"units": units})
        Kill.at = 1
        with pytest.raises(Killed):
            search(tuner, points)
        (tmp_path / "search" / "tuner0.json").unlink()
    Kill.at, Kill.count = None, 0
    search(make_tuner(small(), 1, fixed={"units": 1}), points)
    assert Kill.count == 2


class OtherTuner(keras_tuner.RandomSearch):
    pass


def test_another_tuner_is_refused(make_tuner, points, tmp_path, monkeypatch):
    search(make_tuner(small(), max_trials=1), points)
    folder = tmp_path / "search"
    kept = [folder / "configuration.json", *(folder / "trial_0").rglob("*.*")]
    before = [path.read_bytes() for path in kept]
    with monkeypatch.context() as patch:
        patch.setattr(keras_tuner, "RandomSearch", OtherTuner)
        tuner = make_tuner(small())
        with pytest.raises(ValueError, match="RandomSearch became OtherTuner"):
            search(tuner, points)
        # KerasTuner misses what this one would have saved.
        other = keras_tuner.BayesianOptimization
        patch.setattr(keras_tuner, "RandomSearch", other)
        with pytest.raises(RuntimeError, match="from existing project"):
            make_tuner(small())
    assert [path.read_bytes() for path in kept] == before
    # Whose folder it is goes on.
    tuner = make_tuner(small())
    search(tuner, points)
    assert statuses(tuner) == ["COMPLETED", "COMPLETED"]
    assert Kill.count == 2 * 2


@pytest.mark.parametrize(
    "other, match",
    [
        ({"epochs": 7}, "epochs 2 became 7"),
        ({"max_parameters": 10**6}, "max_parameters None became 1000000"),
        ({"batch_sizes": (4, 8)}, r"batch_sizes \[8\] became \[4, 8\]"),
    ],
)
def test_a_space_of_other_arguments_is_refused(
    make_tuner, points, tmp_path, other, match
):
    search(make_tuner(small(), max_trials=1), points)
    path = tmp_path / "search" / "configuration.json"
    kept = [path, *path.parent.glob("trial_0/*.*")]
    before = [path.read_bytes() for path in kept]
    with pytest.raises(ValueError, match=match):
        search(make_tuner(small(**other)), points)
    assert [path.read_bytes() for path in kept] == before
    # The folder of an earlier version has less to compare.
    configuration = json.loads(path.read_text())
    for name in other:
        del configuration[name]
    path.write_text(json.dumps(configuration))
    search(make_tuner(small(**other)), points)


@only_on("jax")
def test_schedules_go_on(make_tuner):
    x = np.random.default_rng(0).normal(size=(8, 3, 1)).astype("float32")

    def make():
        space = tuners.ZForcingHyperModel(
            lambda hp: layers.GaussianHead(1),
            train_size=8,
            batch_sizes=(8,),
            epochs=2,
            seed=0,
        )
        fixed = {"units": 4, "latent_dim": 2}
        return make_tuner(space, max_trials=1, fixed=fixed)

    Kill.at = 1
    for _ in range(2):
        tuner = make()
        try:
            tuner.search(
                x,
                validation_data=(x, None),
                verbose=0,
                callbacks=[Kill(), Updates()],
            )
        except Killed:
            Kill.at = None
    assert Kill.count == 2
    assert Updates.seen == [1, 2]


class Updates(keras.callbacks.Callback):
    seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(int(self.model.updates))

    def __deepcopy__(self, memo):
        return self


@only_on("jax")
def test_in_a_process_that_dies(tmp_path):
    script = """
    import os
    import sys

    import keras
    import keras_tuner
    import numpy as np

    from tests.tuners.conftest import small


    class Die(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if sys.argv[1] == "die" and self.epoch == 2:
                os._exit(7)

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch
            print("epoch", epoch)


    x = np.ones((8, 2), "float32")
    y = np.ones((8, 1), "float32")
    space = small(epochs=4)
    tuner = keras_tuner.RandomSearch(
        space, objective=space.objective, max_trials=1, directory="search"
    )
    tuner.search(
        x, y, validation_data=(x, y), verbose=0, callbacks=[Die()]
    )
    """
    epochs = []
    for word, code in [("die", 7), ("live", 0)]:
        try:
            process = subprocess.run(
                [sys.executable, "-u", "-c", textwrap.dedent(script), word],
                capture_output=True,
                cwd=tmp_path,
                env={**environment(), "KERAS_BACKEND": keras.backend.backend()},
                text=True,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            pytest.fail(
                f"The process to {word} has not ended in {TIMEOUT} seconds: "
                f"{error.stderr!r}"
            )
        assert process.returncode == code, process.stderr
        lines = process.stdout.splitlines()
        epochs.append([x for x in lines if x.startswith("epoch")])
    assert epochs == [
        ["epoch 0", "epoch 1", "epoch 2"],
        ["epoch 2", "epoch 3"],
    ]
    assert os.path.exists(tmp_path / "search")
