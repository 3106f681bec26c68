"""Times `tuners.parallel_search`: trials per hour by number of workers.

A trial trains an `SABLSTM` on permuted digits, newly compiled as in any search;
only the learning rate differs. Searches with few and with many workers take
turns. The time is measured from the first worker's first trial to the end of
the search; the time before that, to start processes, is reported separately.

    KERAS_BACKEND=jax python -m examples.benchmarks.parallel_search

Prints a Markdown table and writes JSON to `--output`.
"""

import argparse
import functools
import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

READY = "ready"


def make_tuner(folder: str, settings: argparse.Namespace):
    import keras_tuner

    from keras_seqcredit import tuners

    hyperparameters = keras_tuner.HyperParameters()
    for name, value in {
        "layer": "lstm",
        "units": settings.units,
        "k_top": 8,
        "k_att": 4,
        "k_trunc": 4,
        "attention": "additive",
        "memory_content": "state",
        "batch_size": 64,
    }.items():
        hyperparameters.Fixed(name, value)
    space = tuners.SABHyperModel((64, 1), 10, epochs=settings.epochs, seed=0)
    return keras_tuner.RandomSearch(
        space,
        objective=space.objective,
        max_trials=settings.trials,
        hyperparameters=hyperparameters,
        seed=0,
        directory=folder,
    )


def search(tuner) -> None:
    from keras_seqcredit import datasets

    train, held_out = datasets.sequential_digits(permute=True)
    ready = pathlib.Path(tuner.directory) / READY
    if not ready.exists():
        ready.touch()
    tuner.search(*train, validation_data=held_out, verbose=0)


def time_search(workers: int, settings: argparse.Namespace) -> dict:
    from keras_seqcredit import tuners

    with tempfile.TemporaryDirectory() as folder:
        start = time.time()
        tuner = tuners.parallel_search(
            functools.partial(make_tuner, folder, settings),
            search,
            workers,
            gpus="auto" if settings.gpus else [],
            verbose=0,
        )
        end = time.time()
        ready = (pathlib.Path(folder) / READY).stat().st_mtime
    statuses = [trial.status for trial in tuner.oracle.trials.values()]
    assert statuses == ["COMPLETED"] * settings.trials, statuses
    return {"start_seconds": ready - start, "search_seconds": end - ready}


def summarize(runs: list[dict], trials: int) -> dict:
    import numpy as np

    seconds = [run["search_seconds"] for run in runs]
    return {
        "trials_an_hour": 3600 * trials / float(np.median(seconds)),
        "search_seconds": seconds,
        "start_seconds": [run["start_seconds"] for run in runs],
    }


def table(found: dict) -> str:
    base = next(iter(found.values()))["trials_an_hour"]
    lines = [
        "| workers | trials per hour | ratio | start, seconds |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for workers, values in found.items():
        speed = values["trials_an_hour"]
        lines.append(
            f"| {workers} | {speed:.0f} | {speed / base:.2f} "
            f"| {min(values['start_seconds']):.0f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--workers", type=int, nargs="+", default=[1, 2])
    add("--trials", type=int, default=8)
    add("--epochs", type=int, default=10)
    add("--units", type=int, default=64)
    add("--repeats", type=int, default=3)
    add("--gpus", action="store_true", help="one for each worker")
    add("--output", default="runs/benchmarks")
    settings = parser.parse_args()

    import keras

    from examples.common import describe_machine
    from examples.common import write_json

    runs: dict = {workers: [] for workers in settings.workers}
    for _ in range(settings.repeats):
        for workers, found in runs.items():
            found.append(time_search(workers, settings))
    found = {
        workers: summarize(values, settings.trials)
        for workers, values in runs.items()
    }
    print(table(found))
    backend = keras.backend.backend()
    path = pathlib.Path(settings.output) / f"parallel_search_{backend}.json"
    write_json(
        path,
        {
            "machine": describe_machine(),
            "settings": {
                name: value
                for name, value in vars(settings).items()
                if name != "output"
            },
            "workers": found,
        },
    )
    print(path)


if __name__ == "__main__":
    main()
