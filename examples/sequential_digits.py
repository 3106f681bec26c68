"""Handwritten digits, pixel by pixel: credit across 60 steps, 4 at a time.

Three nets read a digit as 64 pixels in a fixed random order and name it after
the last one:

- `sab`: `SABLSTM`, its gradient cut every 4 steps;
- `truncated`: the same layer without attention, its gradient cut every 4 steps;
- `full`: `keras.layers.LSTM`, its gradient passing through all 64 steps.

Prints a table, and writes to `--logdir`: logs for TensorBoard with views into
the nets, a picture of what the trained net reads, the net itself and the
figures as JSON. A run that was killed goes on where it was, by the same
command.

    python examples/sequential_digits.py
    tensorboard --logdir runs/sequential_digits

`--tune` tries learning rates for each net, on digits that it holds out of those
to train on, and writes what it found to `tune.json`. The rates that are used
without a flag were found so. `--data-dir` is the folder of `mnist.npz`: MNIST,
784 pixels, of which `--train-size` digits are enough for an hour or so.
"""

import argparse
import gc
import json
import pathlib
import time

from common import add_backend_argument
from common import describe_machine
from common import select_backend
from common import tensorboard
from common import write_json

select_backend()

import keras  # noqa: E402
import numpy as np  # noqa: E402

from keras_seqcredit import callbacks  # noqa: E402
from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402

RATES = (5e-3, 1e-2, 2e-2)
# For each net, the best of these for digits held out, with seed 0.
LEARNING_RATES = {"sab": 2e-2, "truncated": 2e-2, "full": 1e-2}
NAMES = tuple(LEARNING_RATES)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_backend_argument(parser)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logdir", default="runs/sequential_digits")
    parser.add_argument(
        "--data-dir", help="folder of mnist.npz: MNIST, 784 pixels, instead"
    )
    parser.add_argument(
        "--views",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="look into the nets while they learn",
    )
    parser.add_argument("--models", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument(
        "--learning-rate", type=float, help="of all nets (each has its own)"
    )
    parser.add_argument("--k-top", type=int, default=8)
    parser.add_argument("--k-att", type=int, default=4)
    parser.add_argument("--k-trunc", type=int, default=4)
    parser.add_argument(
        "--attention", default="dot", choices=("dot", "additive", "concat")
    )
    parser.add_argument(
        "--memory-content",
        default="provisional",
        choices=("provisional", "state"),
    )
    parser.add_argument(
        "--read-into", default="output", choices=("output", "mean", "state")
    )
    parser.add_argument(
        "--train-size", type=int, help="digits to train on (default: all)"
    )
    parser.add_argument(
        "--tune",
        action="store_true",
        help="try learning rates on digits held out, and nothing else",
    )
    return parser.parse_args()


def load_data(arguments: argparse.Namespace):
    if arguments.data_dir is None:
        (x, y), test = datasets.sequential_digits(permute=True)
    else:
        (x, y), test = datasets.sequential_mnist(
            permute=True, path=arguments.data_dir
        )
    x, y = x[: arguments.train_size], y[: arguments.train_size]
    if arguments.tune:
        held_out = len(x) // 5
        return (x[:-held_out], y[:-held_out]), (x[-held_out:], y[-held_out:])
    return (x, y), test


def make_layer(name: str, arguments: argparse.Namespace):
    if name == "full":
        return keras.layers.LSTM(arguments.units)
    return layers.SABLSTM(
        arguments.units,
        k_top=arguments.k_top if name == "sab" else 0,
        k_att=arguments.k_att,
        k_trunc=arguments.k_trunc,
        attention=arguments.attention,
        memory_content=arguments.memory_content,
        read_into=arguments.read_into,
    )


def make_model(name: str, shape, steps: int, arguments: argparse.Namespace):
    """The net, compiled; `steps` is the number of updates to come."""
    keras.utils.set_random_seed(arguments.seed)
    model = keras.Sequential(
        [
            keras.Input(shape),
            make_layer(name, arguments),
            keras.layers.Dense(10),
        ],
        name=name,
    )
    schedule = keras.optimizers.schedules.CosineDecay(
        arguments.learning_rate or LEARNING_RATES[name], steps
    )
    model.compile(
        keras.optimizers.Adam(schedule, global_clipnorm=1.0),
        # Of logits: a softmax that saturates in float32 would learn no more.
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


class EpochTimes(keras.callbacks.Callback):
    """Seconds of each epoch's updates, without validation."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._end = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(self._end - self._start)


def train(name: str, data, arguments: argparse.Namespace) -> dict:
    """Trains one of the nets and returns its figures."""
    (x, y), (x_test, y_test) = data
    # Whole batches, so that one program is compiled and not two.
    size = arguments.batch_size
    whole = len(x) // size * size
    x, y = x[:whole], y[:whole]
    model = make_model(
        name, x.shape[1:], arguments.epochs * (whole // size), arguments
    )
    logdir = pathlib.Path(arguments.logdir) / name
    times = EpochTimes()
    watching = [
        times,
        keras.callbacks.TerminateOnNaN(),
        *tensorboard(logdir),
    ]
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
        # A sixth of the epochs, the last one in.
        validation_freq=list(range(arguments.epochs, 0, -6)),
        validation_batch_size=len(x_test) if len(x_test) < 1000 else size,
        callbacks=[
            *watching,
            *views,
            callbacks.ExactResume(logdir / "backup"),
        ],
    )
    fit_seconds = time.perf_counter() - start
    model.save(pathlib.Path(arguments.logdir) / f"{name}.keras")
    found = history.history
    seconds = times.seconds[1:] or times.seconds
    return {
        "test_accuracy": found["val_accuracy"][-1],
        "test_loss": found["val_loss"][-1],
        "train_accuracy": found["accuracy"][-1],
        "step_seconds": float(np.median(seconds)) / (whole // size),
        "fit_seconds": fit_seconds,
        # Of these, what it took to look into the net.
        "view_seconds": sum(view.seconds for view in views),
        "backpropagation_steps": (
            x.shape[1] if name == "full" else arguments.k_trunc
        ),
        "parameters": model.count_params(),
    }


def make_views(name: str, logdir: pathlib.Path, test, arguments) -> list:
    """All views that fit a net."""
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


def tune(data, arguments: argparse.Namespace) -> dict:
    """Accuracy for digits held out, by net and learning rate."""
    folder = pathlib.Path(arguments.logdir)
    found: dict = {}
    for name in arguments.models:
        found[name] = {}
        for rate in RATES:
            arguments.learning_rate = rate
            arguments.logdir = folder / f"rate{rate:g}"
            gc.collect()
            figures = train(name, data, arguments)
            found[name][f"{rate:g}"] = figures["test_accuracy"]
    arguments.logdir, arguments.learning_rate = folder, None
    return found


def draw(data, arguments: argparse.Namespace) -> pathlib.Path:
    """Pictures what the trained net reads while it reads one digit."""
    from keras_seqcredit import utils

    _, (x_test, y_test) = data
    folder = pathlib.Path(arguments.logdir)
    model = keras.models.load_model(folder / "sab.keras")
    layer = model.layers[0]
    config = {**layer.get_config(), "return_attention": True}
    reader = layers.SABLSTM.from_config(config)
    reader.build((None, *x_test.shape[1:]))
    reader.set_weights(layer.get_weights())
    _, slots, weights = reader(x_test[:1])
    path = folder / "attention.png"
    utils.plot_attention(
        np.asarray(slots)[0],
        np.asarray(weights)[0],
        k_att=arguments.k_att,
        inputs=x_test[0, :, 0],
        title=f"What the net reads in a digit {y_test[0]}, pixel by pixel",
        path=path,
    )
    return path


def print_table(results: dict) -> None:
    print(
        "\n| net | steps of back-propagation | test accuracy | ms a step |"
        "\n| --- | ---: | ---: | ---: |"
    )
    for name, figures in results.items():
        print(
            f"| {name} | {figures['backpropagation_steps']} "
            f"| {figures['test_accuracy']:.1%} "
            f"| {1000 * figures['step_seconds']:.1f} |"
        )


def main() -> None:
    arguments = parse_arguments()
    data = load_data(arguments)
    folder = pathlib.Path(arguments.logdir)
    settings = {
        name: value
        for name, value in vars(arguments).items()
        if name not in ("logdir", "data_dir")
    }
    settings["models"] = list(arguments.models)
    settings["data"] = "mnist" if arguments.data_dir else "digits"
    if arguments.tune:
        arguments.views = False
        rates = tune(data, arguments)
        path = folder / "tune.json"
        machine = describe_machine()
        write_json(
            path,
            {
                "example": "sequential_digits",
                "settings": settings,
                "accuracy_held_out": rates,
                "machine": machine,
            },
        )
        for name, accuracies in rates.items():
            print(name, accuracies)
        print(f"Figures: {path}")
        return
    # What is finished of a run, so that one that was killed can go on.
    unfinished = folder / "unfinished.json"
    results = {}
    if unfinished.exists():
        found = json.loads(unfinished.read_text())
        if found["settings"] == settings:
            results = found["results"]
    for name in arguments.models:
        if name not in results:
            # Nets before this one are released now, and not while it learns:
            # of a dozen compiled programs that takes TensorFlow seconds.
            gc.collect()
            results[name] = train(name, data, arguments)
            write_json(unfinished, {"settings": settings, "results": results})
    if "sab" in results:
        print(f"\nPicture: {draw(data, arguments)}")
    write_json(
        folder / "result.json",
        {
            "example": "sequential_digits",
            "settings": settings,
            "results": results,
            "machine": describe_machine(),
        },
    )
    unfinished.unlink(missing_ok=True)
    print(f"Figures: {folder / 'result.json'}")
    print(f"Logs:    tensorboard --logdir {folder}")
    print_table(results)


if __name__ == "__main__":
    main()
