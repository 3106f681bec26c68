"""Handwritten digits, pixel by pixel: credit across 60 steps, 4 at a time.

Three networks read a digit as 64 pixels in a fixed random order and predict its
class after the last pixel:

- `sab`: `SABLSTM`, with its gradient cut every 4 steps;
- `truncated`: the same layer without attention, with the same cuts;
- `full`: `keras.layers.LSTM`, with its gradient through all 64 steps.

Prints a table and writes to `--logdir`: logs for TensorBoard with views into
the networks, a picture of the trained network's attention, the network itself
and the results as JSON. Run the same command again to resume a killed run.

    python examples/sequential_digits.py
    tensorboard --logdir runs/sequential_digits

`--tune` tries learning rates for each network, evaluated on the last fifth of
the training digits, which it holds out, and writes the results to `tune.json`.
The default rates were found this way, with seed 0; the test digits were not
used for the choice. The form of the paper is
`--attention additive --memory-content state --read-into state`.

`--data-dir` is the folder with `mnist.npz`: MNIST, 784 pixels. JAX takes one to
three steps of 100 digits per second on one core, so the three networks take
about an hour with `--backend jax --no-views --train-size 10000 --epochs 20
--batch-size 100`.
"""

import argparse
import gc
import pathlib
import statistics
import time

import common

common.select_backend()

import keras  # noqa: E402
import nets  # noqa: E402
import runs  # noqa: E402
import streams  # noqa: E402

from keras_seqcredit import callbacks  # noqa: E402
from keras_seqcredit import datasets  # noqa: E402

RATES = (5e-3, 1e-2, 2e-2)
# For each network, the best of these on held-out digits, with seed 0.
LEARNING_RATES = {"sab": 2e-2, "truncated": 2e-2, "full": 1e-2}
NAMES = tuple(LEARNING_RATES)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    common.add_backend_argument(parser)
    add = parser.add_argument
    add("--epochs", type=nets.positive, default=60)
    add("--seed", type=int, default=0)
    add("--logdir", type=pathlib.Path, default="runs/sequential_digits")
    add("--data-dir", help="folder of mnist.npz, for MNIST (784 pixels)")
    add(
        "--views",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="log views of the networks during training",
    )
    add("--models", nargs="+", default=NAMES, choices=NAMES)
    nets.add_layer_arguments(
        parser, k_top=8, k_att=4, k_trunc=4, kernel_scale=1.0
    )
    add("--batch-size", type=nets.positive, default=64)
    add(
        "--learning-rate",
        type=nets.non_negative,
        help="for all networks (each has its own)",
    )
    add(
        "--train-size",
        type=nets.positive,
        help="first digits to train on (default: all)",
    )
    add(
        "--tune",
        action="store_true",
        help="only try learning rates, on held-out digits",
    )
    arguments = parser.parse_args()
    if arguments.tune and arguments.learning_rate is not None:
        parser.error("argument --tune: not allowed with --learning-rate")
    return arguments


def load_data(arguments: argparse.Namespace):
    if arguments.data_dir is None:
        (x, y), test = datasets.sequential_digits(permute=True)
    else:
        (x, y), test = datasets.sequential_mnist(
            permute=True, path=arguments.data_dir
        )
    x, y = x[: arguments.train_size], y[: arguments.train_size]
    if arguments.tune:
        # Their order is already random.
        rest = len(x) - len(x) // 5
        (x, y), test = (x[:rest], y[:rest]), (x[rest:], y[rest:])
    if len(x) < arguments.batch_size:
        raise SystemExit(
            f"Expected at least --batch-size {arguments.batch_size} digits to "
            f"train on, received {len(x)}"
        )
    return (x, y), test


def make_model(name: str, shape, steps: int, arguments: argparse.Namespace):
    """The compiled network; `steps` is the number of updates."""
    keras.utils.set_random_seed(arguments.seed)
    inputs = keras.Input(shape)
    arguments = argparse.Namespace(**{**vars(arguments), "net": name})
    state = nets.recurrent(arguments, inputs, return_sequences=False)
    model = keras.Model(inputs, keras.layers.Dense(10)(state), name=name)
    schedule = keras.optimizers.schedules.CosineDecay(
        arguments.learning_rate or LEARNING_RATES[name], steps
    )
    model.compile(
        keras.optimizers.Adam(schedule, global_clipnorm=1.0),
        # From logits: a softmax that saturates in float32 would stop learning.
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def train(name: str, data, arguments: argparse.Namespace) -> dict:
    """Trains one of the networks and returns its figures."""
    (x, y), (x_test, y_test) = data
    # Whole batches only, so that one program is compiled, not two.
    size = arguments.batch_size
    whole = len(x) // size * size
    x, y = x[:whole], y[:whole]
    model = make_model(
        name, x.shape[1:], arguments.epochs * (whole // size), arguments
    )
    logdir = arguments.logdir / name
    views = []
    if arguments.views:
        views = make_views(name, logdir, data[1], arguments)
    start = time.perf_counter()
    print(f"\n{name}: {model.count_params():,} parameters")
    history = model.fit(
        x,
        y,
        batch_size=size,
        epochs=arguments.epochs,
        validation_data=(x_test, y_test),
        # A sixth of the epochs, including the last.
        validation_freq=list(range(arguments.epochs, 0, -6)),
        validation_batch_size=len(x_test) if len(x_test) < 1000 else size,
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            runs.StepTime(),
            *common.tensorboard(logdir),
            *views,
            callbacks.ExactResume(logdir / "backup"),
        ],
    )
    fit_seconds = time.perf_counter() - start
    model.save(arguments.logdir / f"{name}.keras")
    found = history.history
    # The first epoch includes compilation.
    times = found["seconds_per_step"]
    seconds = statistics.median(times[1:] or times)
    return {
        "test_accuracy": found["val_accuracy"][-1],
        "test_loss": found["val_loss"][-1],
        "train_accuracy": found["accuracy"][-1],
        "step_seconds": seconds,
        "steps_per_second": 1 / seconds,
        "fit_seconds": fit_seconds,
        # Of these, the time spent on views.
        "view_seconds": sum(view.seconds for view in views),
        "backpropagation_steps": (
            x.shape[1] if name == "full" else arguments.k_trunc
        ),
        "parameters": model.count_params(),
    }


def make_views(name: str, logdir: pathlib.Path, test, arguments) -> list:
    """All views that apply to a network."""
    x, y = (values[:32] for values in test)
    frequency = max(1, arguments.epochs // 3)
    views = [
        callbacks.ScheduleLogger(
            logdir,
            {
                "net": name,
                "units": arguments.units,
                "seed": arguments.seed,
                "learning_rate": (
                    arguments.learning_rate or LEARNING_RATES[name]
                ),
            },
        ),
        callbacks.CreditAssignment(x, y, logdir, frequency=frequency),
    ]
    if name == "sab":
        views.append(callbacks.AttentionMap(x, logdir, frequency=frequency))
    return views


def run(cases: dict, data, arguments: argparse.Namespace, settings) -> dict:
    """The figures of each case, including those of an interrupted run.

    Args:
        cases: For each, the network and the flags it changes.
        data: Digits to train on and to evaluate on.
        arguments: The flags.
        settings: Settings that must match for a run to resume another.
    """

    def compute(case):
        # Release earlier networks now, not during training: for a dozen
        # compiled programs, that takes TensorFlow seconds.
        gc.collect()
        name, changes = cases[case]
        flags = argparse.Namespace(**{**vars(arguments), **changes})
        return train(name, data, flags)

    return runs.results_of(
        cases, compute, arguments.logdir / "unfinished.json", settings
    )


def tune(data, arguments: argparse.Namespace, settings) -> dict:
    """Held-out accuracy by network and learning rate, and the best rate."""
    cases = {
        f"{name} {rate:g}": (
            name,
            {
                "learning_rate": rate,
                "logdir": arguments.logdir / f"rate{rate:g}",
                "views": False,
            },
        )
        for name in arguments.models
        for rate in RATES
    }
    results = run(cases, data, arguments, settings)
    accuracies = {
        name: {
            f"{rate:g}": results[f"{name} {rate:g}"]["test_accuracy"]
            for rate in RATES
        }
        for name in arguments.models
    }
    return {
        "accuracy_held_out": accuracies,
        "learning_rates": {
            name: float(max(found, key=found.get))
            for name, found in accuracies.items()
        },
    }


def draw(data, arguments: argparse.Namespace) -> pathlib.Path:
    """Plots the trained network's attention while it reads one digit."""
    from keras_seqcredit import utils

    _, (x_test, y_test) = data
    model = keras.models.load_model(arguments.logdir / "sab.keras")
    slots, weights = nets.reader(model).predict_on_batch(x_test[:1])
    path = arguments.logdir / "attention.png"
    utils.plot_attention(
        slots[0],
        weights[0],
        k_att=arguments.k_att,
        inputs=x_test[0, :, 0],
        title=f"What the network reads in a digit {y_test[0]}, pixel by pixel",
        path=path,
    )
    return path


def print_table(results: dict) -> None:
    print(
        "\n| net | steps of back-propagation | test accuracy | steps a second |"
        "\n| --- | ---: | ---: | ---: |"
    )
    for name, figures in results.items():
        print(
            f"| {name} | {figures['backpropagation_steps']} "
            f"| {figures['test_accuracy']:.1%} "
            f"| {figures['steps_per_second']:.1f} |"
        )


def print_rates(found: dict) -> None:
    rates = [f"{rate:g}" for rate in RATES]
    print(f"\n| net | {' | '.join(rates)} | choice |")
    print(f"| --- |{' ---: |' * (len(rates) + 1)}")
    for name, accuracies in found["accuracy_held_out"].items():
        cells = " | ".join(f"{accuracies[rate]:.1%}" for rate in rates)
        print(f"| {name} | {cells} | {found['learning_rates'][name]:g} |")


def main() -> None:
    arguments = parse_arguments()
    data = load_data(arguments)
    settings = streams.settings_of(arguments) | {
        "models": list(arguments.models),
        "data": "mnist" if arguments.data_dir else "digits",
    }
    result = {"example": "sequential_digits", "settings": settings}
    if arguments.tune:
        found = tune(data, arguments, settings)
        path = arguments.logdir / "tune.json"
    else:
        cases = {name: (name, {}) for name in arguments.models}
        found = {"results": run(cases, data, arguments, settings)}
        path = arguments.logdir / "result.json"
        if "sab" in arguments.models:
            print(f"\nPicture: {draw(data, arguments)}")
    machine = common.describe_machine()
    common.write_json(path, {**result, **found, "machine": machine})
    (arguments.logdir / "unfinished.json").unlink(missing_ok=True)
    print(f"Results: {path}")
    print(f"Logs:    tensorboard --logdir {arguments.logdir}")
    if arguments.tune:
        print_rates(found)
    else:
        print_table(found["results"])


if __name__ == "__main__":
    main()
