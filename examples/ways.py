"""Shared code of the examples that compare several ways to train a network.

Each way gets a folder with logs, checkpoints and the trained model; the results
of all go to `result.json`. Run the same command again to resume a killed run.
"""

import argparse
import csv
import pathlib

import common
import keras
import runs

from keras_seqcredit import callbacks


def add_arguments(
    parser: argparse.ArgumentParser, choices: tuple[str, ...], **defaults
) -> None:
    """Adds the flags of all ways; `defaults` are the example's own."""
    add = parser.add_argument
    common.add_backend_argument(parser)
    add("--ways", nargs="+", choices=choices, help="ways to train")
    add("--epochs", type=int, help="epochs for each way")
    add("--seed", type=int, help="for weights, noise and the order of the data")
    add("--batch-size", type=int, help="sequences per step")
    add("--learning-rate", type=float, help="for Adam; decays to 0")
    add("--units", type=int, help="units of every recurrent network")
    add("--logdir", type=pathlib.Path, help="folder for logs and results")
    add(
        "--resume",
        action=argparse.BooleanOptionalAction,
        help="resume an interrupted run",
    )
    parser.set_defaults(
        **{
            "ways": choices,
            "seed": 0,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "resume": True,
            **defaults,
        }
    )


def settings_of(arguments: argparse.Namespace) -> dict:
    """The flags in JSON types, except those that do not affect results."""
    settings = {**vars(arguments), "ways": list(arguments.ways)}
    for name in ("logdir", "resume", "data_dir", "figure", "measure"):
        settings.pop(name, None)
    return settings


def whole_batches(x, batch_size):
    """The sequences that fill batches, and the number of batches.

    With whole batches only, one program is compiled, not two.
    """
    steps = len(keras.tree.flatten(x)[0]) // batch_size
    number = steps * batch_size
    return keras.tree.map_structure(lambda values: values[:number], x), steps


def some_of(x, number=32):
    """The first sequences, to look at."""
    return keras.tree.map_structure(lambda values: values[:number], x)


def fit(model, way, x, x_test, arguments, make_views) -> dict:
    """Fits a compiled model, with logs and checkpoints, and saves it.

    Args:
        model: See above.
        way: String.
        x: Sequences to train on.
        x_test: Sequences to validate on.
        arguments: The flags.
        make_views: Function that takes `log_dir` and `frequency` as keyword
            arguments and returns views to log during training.

    Returns:
        Dictionary of its `parameters`, the median `seconds_per_step` and the
        `history`, a dictionary per epoch.
    """
    logdir = arguments.logdir / way
    common.check_settings(
        logdir,
        {**settings_of(arguments), "way": way, "ways": None},
        arguments.resume,
    )
    print(f"\n{way}: logs in {logdir}")
    settings = settings_of(arguments)
    parameters = {
        name: value
        for name, value in settings.items()
        if isinstance(value, (bool, int, float, str))
    }
    model.fit(
        x,
        batch_size=arguments.batch_size,
        epochs=arguments.epochs,
        validation_data=(x_test, None),
        validation_batch_size=arguments.batch_size,
        callbacks=[
            runs.StepTime(),
            keras.callbacks.CSVLogger(
                str(logdir / "history.csv"),
                append=arguments.resume and (logdir / "backup").exists(),
            ),
            *common.tensorboard(logdir),
            callbacks.ScheduleLogger(logdir, {**parameters, "way": way}),
            *make_views(
                log_dir=logdir, frequency=max(1, arguments.epochs // 4)
            ),
            callbacks.ExactResume(logdir / "backup", delete_checkpoint=False),
        ],
    )
    model.save(logdir / "model.keras")
    with (logdir / "history.csv").open(encoding="utf-8", newline="") as file:
        # For an epoch that ran again, the last row.
        rows = {row["epoch"]: row for row in csv.DictReader(file)}
    history = [
        {name: float(value) for name, value in row.items() if value}
        for row in rows.values()
    ]
    seconds = sorted(row["seconds_per_step"] for row in history)
    return {
        "parameters": model.count_params(),
        "seconds_per_step": seconds[len(seconds) // 2],
        "history": history,
    }


def run(name, train, arguments, columns) -> dict:
    """Trains in all ways, prints a table and writes `result.json`.

    Args:
        name: String, name of the example.
        train: `train(way)`, which returns the figures of a way.
        arguments: The flags.
        columns: Dictionary from the titles of the table's columns to functions
            that format the figures.

    Returns:
        Dictionary of the figures of each way.
    """
    settings = settings_of(arguments)
    unfinished = arguments.logdir / "unfinished.json"
    results = runs.results_of(
        arguments.ways, train, unfinished, settings, arguments.resume
    )
    path = arguments.logdir / "result.json"
    common.write_json(
        path,
        {
            "example": name,
            "settings": settings,
            "results": results,
            "machine": common.describe_machine(),
        },
    )
    unfinished.unlink(missing_ok=True)
    columns = {
        **columns,
        "ms per step": lambda figures: (
            f"{1000 * figures['seconds_per_step']:.0f}"
        ),
    }
    print("\n| training |", " | ".join(columns), "|")
    print("| --- |", " | ".join(["---:"] * len(columns)), "|")
    for way, figures in results.items():
        cells = (text(figures) for text in columns.values())
        print(f"| {way} |", " | ".join(cells), "|")
    print(f"\nResults: {path}\nLogs:    tensorboard --logdir {path.parent}")
    return results
