"""Searches for a network that reads permuted digits, 4 to 16 steps at a time.

KerasTuner tries networks with `SABLSTM` and `SABGRU` from the search space of
`tuners.SABHyperModel` on scikit-learn's digits, pixel by pixel in a fixed
random order. Part of the training digits is held out for the choice; the test
digits are seen once, by the best network.

    python examples/tune.py
    tensorboard --logdir runs/tune/logs

Writes to `--logdir`: logs for TensorBoard, whose "HParams" tab compares the
trials; the best network; the results as JSON. Run the same command again to
resume a killed search inside its running trial, or to continue with more
trials. `--workers 2` runs two trials at once.
"""

import argparse
import functools
import pathlib
import shutil

import common

common.select_backend()

import keras  # noqa: E402
import keras_tuner  # noqa: E402

from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import tuners  # noqa: E402

TUNERS = {
    "bayesian": keras_tuner.BayesianOptimization,
    "random": keras_tuner.RandomSearch,
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    common.add_backend_argument(parser)
    add = parser.add_argument
    add("--tuner", choices=tuple(TUNERS), default="random")
    add("--max-trials", type=int, default=6, help="networks to try")
    add("--epochs", type=int, default=15, help="per trial")
    add("--units", type=int, nargs="+", default=[32, 64])
    add("--batch-size", type=int, nargs="+", default=[32, 64])
    add("--max-parameters", type=int, help="skip larger networks")
    add("--train-size", type=int, help="digits to train on (default: all)")
    add("--workers", type=int, default=1, help="trials to run at once")
    add("--seed", type=int, default=0)
    add("--logdir", type=pathlib.Path, default="runs/tune")
    add(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="resume a killed search",
    )
    return parser.parse_args()


def load_data(arguments: argparse.Namespace):
    """Digits for training, validation and testing."""
    (x, y), test = datasets.sequential_digits(permute=True)
    # Their order is already random.
    held_out = len(x) // 5
    train = x[held_out:], y[held_out:]
    if arguments.train_size is not None:
        train = tuple(values[: arguments.train_size] for values in train)
    return train, (x[:held_out], y[:held_out]), test


def make_tuner(arguments: argparse.Namespace):
    train, _, _ = load_data(arguments)
    space = tuners.SABHyperModel(
        train[0].shape[1:],
        num_outputs=10,
        objective=keras_tuner.Objective("val_accuracy", "max"),
        max_parameters=arguments.max_parameters,
        batch_sizes=tuple(arguments.batch_size),
        epochs=arguments.epochs,
        train_size=len(train[0]),
        log_dir=arguments.logdir / "logs",
        seed=arguments.seed,
    )
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Choice("units", arguments.units)
    return TUNERS[arguments.tuner](
        space,
        objective=space.objective,
        max_trials=arguments.max_trials,
        # The search continues even if a few networks in a row fail.
        max_consecutive_failed_trials=arguments.max_trials,
        hyperparameters=hyperparameters,
        seed=arguments.seed,
        directory=arguments.logdir,
        project_name="search",
    )


def search(tuner, arguments: argparse.Namespace) -> None:
    train, held_out, _ = load_data(arguments)
    tuner.search(
        *train,
        validation_data=held_out,
        validation_batch_size=len(held_out[0]),
        verbose=2,
    )


def run_search(arguments: argparse.Namespace):
    """The tuner, with all trials."""
    if arguments.workers > 1:
        return tuners.parallel_search(
            functools.partial(make_tuner, arguments),
            functools.partial(search, arguments=arguments),
            arguments.workers,
        )
    tuner = make_tuner(arguments)
    search(tuner, arguments)
    return tuner


def describe(trial) -> dict:
    """A trial, as in the result file."""
    message = (trial.message or "").strip().splitlines()
    return {
        "status": trial.status,
        "val_accuracy": trial.score,
        "best_epoch": None if trial.score is None else trial.best_step + 1,
        "hyperparameters": trial.hyperparameters.values,
        # The last line says why it failed.
        "message": message[-1] if message else None,
    }


def print_table(trials: dict) -> None:
    columns = ("layer", "units", "k_top", "k_att", "k_trunc", "attention")
    columns = (*columns, "learning_rate", "batch_size")
    print("\n| trial | accuracy held out |", " | ".join(columns), "|")
    print("| --- | ---: |", " | ".join(["---:"] * len(columns)), "|")
    best_first = sorted(
        trials.items(), key=lambda item: -(item[1]["val_accuracy"] or 0)
    )
    for name, trial in best_first:
        score = trial["val_accuracy"]
        found = trial["status"].lower() if score is None else f"{score:.1%}"
        values = [trial["hyperparameters"][column] for column in columns]
        cells = [
            f"{value:.2g}" if isinstance(value, float) else str(value)
            for value in values
        ]
        print(f"| {name} | {found} |", " | ".join(cells), "|")


def main() -> None:
    arguments = parse_arguments()
    settings = {
        name: value
        for name, value in vars(arguments).items()
        if name not in ("logdir", "resume")
    }
    common.check_settings(
        arguments.logdir,
        settings,
        arguments.resume,
        free=("max_trials", "workers"),
    )
    if not arguments.resume:
        shutil.rmtree(arguments.logdir / "search", ignore_errors=True)
    tuner = run_search(arguments)
    trials = {
        name: describe(trial)
        for name, trial in sorted(tuner.oracle.trials.items())
    }
    print_table(trials)
    if not any(trial["status"] == "COMPLETED" for trial in trials.values()):
        raise SystemExit("No trial was completed.")
    _, _, test = load_data(arguments)
    model = tuner.get_best_models()[0]
    path = arguments.logdir / "best.keras"
    model.save(path)
    # Tests the saved file.
    found = keras.saving.load_model(path).evaluate(
        *test, batch_size=len(test[0]), verbose=0, return_dict=True
    )
    result = arguments.logdir / "result.json"
    common.write_json(
        result,
        {
            "example": "tune",
            "settings": settings,
            "best_trial": tuner.oracle.get_best_trials()[0].trial_id,
            "parameters": model.count_params(),
            "test_accuracy": found["accuracy"],
            "test_loss": found["loss"],
            "trials": trials,
            "machine": common.describe_machine(),
        },
    )
    print(f"\nTest accuracy of the best: {found['accuracy']:.1%}, {path}")
    print(f"Results: {result}")
    print(f"Logs:    tensorboard --logdir {arguments.logdir / 'logs'}")


if __name__ == "__main__":
    main()
