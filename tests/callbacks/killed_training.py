"""Trains every system; killed in the middle of all of them, or goes on.

A callback in the middle of each training starts the next one, and one in the
middle of the last kills the process, so that one process serves for all.
"""

import os
import pathlib
import pickle
import signal
import sys

import keras

from keras_seqcredit import callbacks
from tests import small_systems

EPOCHS = 4


def train(name, folder, others=()):
    """What a training ends with."""
    make = small_systems.SYSTEMS[name]
    model = small_systems.compiled(make)
    plateau = keras.callbacks.ReduceLROnPlateau(
        "loss", factor=0.5, patience=1, min_delta=100.0
    )
    started = Started()
    resume = callbacks.ExactResume(folder / name, keep=[plateau])
    history = model.fit(
        *small_systems.data(make),
        batch_size=8,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[plateau, *others, started, resume],
    )
    to_numpy = keras.ops.convert_to_numpy
    return {
        "started": started.epoch,
        "epochs": history.epoch,
        "history": history.history,
        "weights": list(map(to_numpy, model.weights)),
        "optimizer": list(map(to_numpy, model.optimizer.variables)),
    }


class Started(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epoch = None

    def on_epoch_begin(self, epoch, logs=None):
        if self.epoch is None:
            self.epoch = epoch


class InTheMiddle(keras.callbacks.Callback):
    def __init__(self, act):
        super().__init__()
        self.act = act
        self.epoch = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (2, 1):
            self.act()


def killed(names, folder):
    if not names:
        os.kill(os.getpid(), signal.SIGKILL)
    first, *rest = names
    train(first, folder, [InTheMiddle(lambda: killed(rest, folder))])


if __name__ == "__main__":
    what, names, *folders = sys.argv[1:]
    names = names.split(",")
    folders = list(map(pathlib.Path, folders))
    if what == "kill":
        killed(names, *folders)
    for folder in folders:
        found = {name: train(name, folder) for name in names}
        folder.with_suffix(".pickle").write_bytes(pickle.dumps(found))
