"""Shared code of the multi-device examples: network, data, results."""

import argparse
import pathlib
import time
from typing import Any

import keras
import numpy as np
from common import check_settings
from common import describe_machine
from common import tensorboard
from common import write_json

from keras_seqcredit import callbacks
from keras_seqcredit import datasets
from keras_seqcredit import layers
from keras_seqcredit import utils


def add_arguments(parser: argparse.ArgumentParser, logdir: str) -> None:
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument(
        "--batch-size", type=int, default=64, help="across all devices"
    )
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logdir", default=logdir)
    parser.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True
    )


class SharedBatches(keras.utils.PyDataset):
    """A process's share of batches that all processes draw alike.

    All processes share the order, from NumPy's global random numbers.
    """

    def __init__(self, x, y, batch_size: int, process: int, processes: int):
        super().__init__()
        self.x, self.y = x, y
        self.batch_size = batch_size
        self.own = slice(process, None, processes)
        self.order = np.arange(len(x))

    def on_epoch_begin(self):
        self.order = np.random.permutation(len(self.x))

    def __len__(self):
        return len(self.x) // self.batch_size

    def __getitem__(self, index):
        start = index * self.batch_size
        rows = self.order[start : start + self.batch_size][self.own]
        return self.x[rows], self.y[rows]


def make_model(shape, arguments: argparse.Namespace) -> keras.Model:
    """A network that predicts a digit's class after its last pixel."""
    keras.utils.set_random_seed(arguments.seed)
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.SABLSTM(arguments.units, k_top=8, k_att=4, k_trunc=4),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        keras.optimizers.Adam(arguments.learning_rate, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def train(
    make: Any,
    arguments: argparse.Namespace,
    devices: int,
    process: int = 0,
    processes: int = 1,
) -> dict[str, Any]:
    """Trains, evaluates and, in the first process, writes the result.

    Args:
        make: Function without arguments that calls `make_model` where the
            devices are known.
        arguments: Command-line arguments.
        devices: Number of devices across all processes.
        process: Index of this process.
        processes: Number of processes.

    Returns:
        Dictionary, the result.
    """
    logdir = pathlib.Path(arguments.logdir)
    settings = {
        name: getattr(arguments, name)
        for name in ("batch_size", "units", "learning_rate", "seed")
    }
    first = process == 0
    if first:
        check_settings(logdir, settings, arguments.resume)
    (x, y), test = data()
    size = arguments.batch_size
    whole = len(x) // size * size
    if whole == 0 or size % devices:
        raise SystemExit(
            f"Expected --batch-size to be a multiple of the {devices} devices "
            f"that share it, and at most {len(x)}. Received: {size}"
        )
    model = make()
    utils.check_batches(model, whole // processes, size // processes)
    start = time.perf_counter()
    history = model.fit(
        SharedBatches(x[:whole], y[:whole], size, process, processes),
        epochs=arguments.epochs,
        shuffle=False,
        verbose=1 if first else 0,
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            *(tensorboard(logdir) if first else []),
            callbacks.ExactResume(logdir / "backup"),
        ],
    ).history
    seconds = time.perf_counter() - start
    # Only whole batches of test examples; each process has its share.
    whole = len(test[0]) // size * size
    x_test, y_test = (a[:whole][process::processes] for a in test)
    loss, accuracy = model.evaluate(
        x_test, y_test, batch_size=size // processes, verbose=0
    )
    result = {
        "settings": {**settings, "epochs": arguments.epochs},
        "devices": devices,
        "processes": processes,
        "history": history,
        "seconds": seconds,
        "test_loss": loss,
        "test_accuracy": accuracy,
        "machine": describe_machine(),
    }
    if first:
        write_json(logdir / "result.json", result)
        print(
            f"{devices} devices, {processes} processes: test accuracy "
            f"{accuracy:.1%}, {seconds:.1f} s. {logdir / 'result.json'}"
        )
    return result


def data():
    return datasets.sequential_digits(permute=True)
