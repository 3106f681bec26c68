"""Saved progress of a trial, so that a killed one can resume."""

import json
import pathlib
import shutil
from typing import Any

import keras

from keras_seqcredit.backend import keras_private


class TrialProgress:
    """The epochs that one training run of a trial has finished.

    KerasTuner runs a killed trial again from the first epoch and scores it only
    by the epochs of that run. This class keeps the training state, by Keras'
    `BackupAndRestore`, and the logs of each epoch. A folder of other
    hyperparameters is emptied: a search whose first trial was killed early
    starts over in the same folders.

    Args:
        folder: Path, used only by this training run.
        values: Dictionary of the trial's hyperparameters.

    Attributes:
        epochs: List of `[epoch, logs]` of each finished epoch.
        is_done: Boolean, whether training has finished.
    """

    def __init__(self, folder: pathlib.Path, values: dict[str, Any]) -> None:
        self.folder = folder
        self.values = json.loads(json.dumps(values))
        self.epochs: list[list[Any]] = []
        self.is_done = False
        self._path = folder / "progress.json"
        self._backup = folder / "backup"
        found = _read(self._path)
        if found.get("values") != self.values:
            shutil.rmtree(folder, ignore_errors=True)
            return
        self.is_done = found["is_done"]
        # The epoch of the backup; epochs reported after it run again.
        next_epoch = keras_private.backed_up_epoch(self._backup)
        if self.is_done:
            self.epochs = found["epochs"]
        elif next_epoch is not None:
            self.epochs = [e for e in found["epochs"] if e[0] < next_epoch]
        else:
            # Killed while writing it, or before.
            shutil.rmtree(self._backup, ignore_errors=True)

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """The callbacks that save the progress, for the end of the list.

        They come after KerasTuner's own: the best weights are on disk before an
        epoch counts as finished.
        """
        return [
            keras.callbacks.LambdaCallback(on_epoch_end=self._add),
            keras.callbacks.BackupAndRestore(
                str(self._backup), double_checkpoint=True
            ),
        ]

    def show_best(self, best_epoch: Any) -> None:
        """Passes the best of these epochs to KerasTuner's `SaveBestEpoch`."""
        objective = best_epoch.objective
        for _, logs in self.epochs:
            if objective.has_value(logs):
                value = objective.get_value(logs)
                if objective.better_than(value, best_epoch.best_value):
                    best_epoch.best_value = value

    def finish(self) -> None:
        """Marks training as finished."""
        self.is_done = True
        self._write()

    def fail(self) -> None:
        """Deletes the training state, which will not be resumed."""
        shutil.rmtree(self._backup, ignore_errors=True)

    def history(self) -> keras.callbacks.History:
        """Returns all epochs, as `fit` does."""
        history = keras.callbacks.History()
        history.epoch = [epoch for epoch, _ in self.epochs]
        history.history = {}
        for _, logs in self.epochs:
            for name, value in logs.items():
                history.history.setdefault(name, []).append(value)
        return history

    def _add(self, epoch: int, logs: dict[str, Any]) -> None:
        logs = {name: float(value) for name, value in logs.items()}
        self.epochs.append([epoch, logs])
        self._write()

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "values": self.values,
            "is_done": self.is_done,
            "epochs": self.epochs,
        }
        # A killed process leaves no partial file.
        partial = self._path.with_name("progress.json.partial")
        partial.write_text(json.dumps(state), encoding="utf-8")
        partial.replace(self._path)


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
