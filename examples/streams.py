"""Training on streams of fresh sequences, in resumable runs.

Run the same command again to resume a killed run, or with more `--epochs` to
extend a finished one.
"""

import argparse
import csv
import pathlib
import statistics
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import common
import keras
import nets
import numpy as np
import runs
from keras import ops

# Settings that may change when an interrupted run resumes.
FREE_SETTINGS = (
    "epochs",
    "evaluate_lengths",
    "evaluate_sequences",
    "exchange",
)


def add_arguments(parser: argparse.ArgumentParser, **defaults) -> None:
    """Adds the training flags; `defaults` are the example's own."""
    add = parser.add_argument
    add("--batch-size", type=nets.positive, help="sequences per step")
    add("--learning-rate", type=nets.non_negative, help="for Adam")
    add("--clip", type=nets.positive, help="maximum gradient norm")
    add("--steps-per-epoch", type=nets.positive, help="training steps")
    add("--epochs", type=nets.positive, help="total epochs")
    add(
        "--decay-epochs",
        type=int,
        help="epochs of cosine decay of the learning rate to 0 "
        "(default: all; 0 keeps it constant)",
    )
    add("--seed", type=int, help="for weights and data")
    add(
        "--evaluate-sequences",
        type=nets.positive,
        help="fresh sequences to evaluate on",
    )
    add(
        "--jit",
        action=argparse.BooleanOptionalAction,
        help="compile the whole training step with XLA",
    )
    add(
        "--views",
        action=argparse.BooleanOptionalAction,
        help="log views of the network during training",
    )
    add(
        "--resume",
        action=argparse.BooleanOptionalAction,
        help="resume an interrupted run",
    )
    add("--logdir", type=pathlib.Path, help="folder for logs and results")
    common.add_backend_argument(parser)
    parser.set_defaults(
        **{
            "batch_size": 64,
            "clip": 1,
            "steps_per_epoch": 100,
            "seed": 0,
            "evaluate_sequences": 2048,
            "jit": True,
            "views": True,
            "resume": True,
            **defaults,
        }
    )


def parse(parser: argparse.ArgumentParser, argv=None) -> argparse.Namespace:
    """Reads the command line; a run gets a folder named by its settings."""
    arguments = parser.parse_args(argv)
    if arguments.seed < 0:
        parser.error("argument --seed: expected a non-negative number")
    if arguments.decay_epochs is None:
        arguments.decay_epochs = arguments.epochs
    return arguments


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The flags in JSON types, except those that do not affect results."""
    free = ("logdir", "resume", "views", "data_dir")
    return {
        name: value
        for name, value in vars(arguments).items()
        if name not in free
    }


def optimizer(arguments: argparse.Namespace) -> keras.optimizers.Optimizer:
    """Adam with clipped gradient norm and a rate that decays to 0."""
    rate = arguments.learning_rate
    if arguments.decay_epochs:
        rate = keras.optimizers.schedules.CosineDecay(
            rate, arguments.decay_epochs * arguments.steps_per_epoch
        )
    return keras.optimizers.Adam(rate, global_clipnorm=float(arguments.clip))


def train(
    arguments: argparse.Namespace,
    model: keras.Model,
    make_stream: Callable[[int], keras.utils.PyDataset],
    callbacks: Sequence[keras.callbacks.Callback],
) -> dict[str, Any]:
    """Trains, and returns the figures of all epochs, including earlier ones.

    Args:
        arguments: The flags.
        model: A compiled model.
        make_stream: Function that takes the first epoch and makes the stream.
        callbacks: Callbacks in addition to those of every run.
    """
    backup = keras.callbacks.BackupAndRestore(
        str(arguments.logdir / "backup"),
        double_checkpoint=True,
        delete_checkpoint=False,
    )
    # `fit` restores too, but the stream needs to know the epoch earlier.
    backup.set_model(model)
    backup.on_train_begin()
    initial_epoch = int(model.optimizer.iterations) // arguments.steps_per_epoch
    if initial_epoch:
        print(f"Going on after epoch {initial_epoch}.")
    path = arguments.logdir / "history.csv"
    if initial_epoch < arguments.epochs:
        model.fit(
            make_stream(initial_epoch),
            initial_epoch=initial_epoch,
            epochs=arguments.epochs,
            shuffle=False,
            callbacks=[
                keras.callbacks.TerminateOnNaN(raise_error=True),
                runs.StepTime(),
                keras.callbacks.CSVLogger(str(path), append=initial_epoch > 0),
                *common.tensorboard(arguments.logdir),
                *callbacks,
                backup,
            ],
        )
    history = read_history(path)
    # The first epoch includes compilation.
    times = [row["seconds_per_step"] for row in history]
    return {
        "parameters": model.count_params(),
        "initial_epoch": initial_epoch,
        "steps": int(model.optimizer.iterations),
        "seconds_per_step": statistics.median(times[1:] or times),
        "history": history,
    }


def run(
    arguments: argparse.Namespace,
    build_model: Callable[[], keras.Model],
    make_stream: Callable[[int], keras.utils.PyDataset],
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple[keras.Model, dict[str, Any]]:
    """Trains and saves a model; returns it and what `train` returns.

    Args:
        arguments: The flags.
        build_model: Function that makes a compiled model.
        make_stream: As in `train`.
        callbacks: As in `train`.
    """
    common.check_settings(
        arguments.logdir,
        settings_of(arguments),
        arguments.resume,
        FREE_SETTINGS,
    )
    keras.utils.set_random_seed(arguments.seed)
    model = build_model()
    trained = train(arguments, model, make_stream, callbacks)
    model.save(arguments.logdir / "model.keras")
    return model, trained


def write_result(
    arguments: argparse.Namespace,
    task: str,
    figures: dict[str, Any],
    trained: dict[str, Any],
) -> pathlib.Path:
    """Writes the result of a run, and returns the path of the file."""
    path = arguments.logdir / "result.json"
    common.write_json(
        path,
        {
            "task": task,
            "settings": settings_of(arguments),
            **figures,
            **trained,
            "machine": common.describe_machine(),
        },
    )
    return path


def read_history(path: pathlib.Path) -> list[dict[str, float]]:
    """Reads the figures of each epoch; if logged twice, the last ones."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = {
            row["epoch"]: {
                # Views log only in some epochs.
                name: float(value)
                for name, value in row.items()
                if value != "NA"
            }
            for row in csv.DictReader(file)
        }
    return list(rows.values())


def add_recall_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that `step_weights` reads."""
    parser.add_argument(
        "--recall-weight",
        type=nets.non_negative,
        default=5.0,
        help="weight of the mean recall loss relative to that of the other "
        "steps; 0 takes the plain mean over all steps",
    )


def step_weights(
    y: np.ndarray, real: np.ndarray, recall_weight: float
) -> np.ndarray:
    """Loss weights of steps; each sequence's sum to its number of steps.

    Args:
        y: Targets `(batch, steps)`; 0 where there is nothing to recall.
        real: `(batch, steps)`, 0 where a step is padding, else 1.
        recall_weight: The flag.
    """
    if not recall_weight:
        parts = real / real.sum(axis=1, keepdims=True)
    else:
        recall, other = y > 0, real * (y == 0)
        parts = recall_weight * recall / recall.sum(axis=1, keepdims=True)
        parts = parts + other / other.sum(axis=1, keepdims=True)
        parts = parts / (1 + recall_weight)
    return (y.shape[1] * parts).astype("float32")


def compile_for_recall(
    arguments: argparse.Namespace, model: keras.Model
) -> None:
    """Compiles a model with logits at each step; class 0 is blank."""
    model.compile(
        optimizer(arguments),
        # From logits: a softmax that saturates in float32 would stop learning.
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[recall_accuracy, recall_cross_entropy],
        jit_compile=arguments.jit,
    )


# Blanks count only in the loss.
def recall_accuracy(y_true, y_pred):
    """Share of nonblank targets that are recalled, for each sequence."""
    right = keras.metrics.sparse_categorical_accuracy(y_true, y_pred)
    return _mean_of_recall(y_true, right)


def recall_cross_entropy(y_true, y_pred):
    """Cross-entropy of nonblank targets, for each sequence."""
    losses = keras.losses.sparse_categorical_crossentropy(
        y_true, y_pred, from_logits=True
    )
    return _mean_of_recall(y_true, losses)


def _mean_of_recall(y_true, values):
    recall = ops.cast(y_true > 0, values.dtype)
    return ops.sum(recall * values, axis=-1) / ops.sum(recall, axis=-1)


def steps_to(
    accuracy: float, history: list[dict[str, float]], steps_per_epoch: int
) -> int | None:
    """Steps at the end of the first epoch that reaches a recall accuracy."""
    for row in history:
        if row["recall_accuracy"] >= accuracy:
            return (int(row["epoch"]) + 1) * steps_per_epoch
    return None
