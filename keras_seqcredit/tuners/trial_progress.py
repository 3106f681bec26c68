"""What is kept of a trial's training, so that a killed one goes on."""

import json
import pathlib
import shutil
from typing import Any

import keras

from keras_seqcredit.backend import keras_private


class TrialProgress:
    """The epochs that one training of a trial has finished.

    KerasTuner gives a trial that was killed another run, which starts from the
    first epoch, and scores it by the epochs of that run alone. Kept here are
    the state of training, by Keras' `BackupAndRestore`, and what each epoch
    has reported. A folder of other hyperparameters is emptied: a search whose
    first trial was killed early starts anew in the same folders.

    Args:
        folder: Path, of this training and nothing else.
        values: Dictionary of the trial's hyperparameters.

    Attributes:
        epochs: List of `[epoch, logs]` of each finished epoch.
        is_done: Boolean, whether the training was finished.
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
        # The epoch of the backup: what was reported after it is run again.
        next_epoch = keras_private.backed_up_epoch(self._backup)
        if self.is_done:
            self.epochs = found["epochs"]
        elif next_epoch is not None:
            self.epochs = [e for e in found["epochs"] if e[0] < next_epoch]
        else:
            # Killed while it was written, or before.
            shutil.rmtree(self._backup, ignore_errors=True)

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """The callbacks that keep it, for the end of the list.

        After KerasTuner's own: the best weights are on the disk before an epoch
        counts as finished.
        """
        return [
            keras.callbacks.LambdaCallback(on_epoch_end=self._add),
            keras.callbacks.BackupAndRestore(
                str(self._backup), double_checkpoint=True
            ),
        ]

    def show_best(self, best_epoch: Any) -> None:
        """Tells KerasTuner's `SaveBestEpoch` the best of these epochs."""
        objective = best_epoch.objective
        for _, logs in self.epochs:
            if objective.has_value(logs):
                value = objective.get_value(logs)
                if objective.better_than(value, best_epoch.best_value):
                    best_epoch.best_value = value

    def finish(self) -> None:
        """Says that there is no more to train."""
        self.is_done = True
        self._write()

    def fail(self) -> None:
        """Deletes the state of training, which nobody will go on with."""
        shutil.rmtree(self._backup, ignore_errors=True)

    def history(self) -> keras.callbacks.History:
        """All epochs, as `fit` returns them."""
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
        # A killed process leaves no half of one.
        partial = self._path.with_name("progress.json.partial")
        partial.write_text(json.dumps(state), encoding="utf-8")
        partial.replace(self._path)


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
