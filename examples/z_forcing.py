"""What the examples of Z-Forcing share: flags, training and figures.

Each example trains a net in several ways, on the same data for the same number
of steps, so that what keeps its latents alive can be seen:

- `plain`: the evidence lower bound as it is;
- `annealing`: its KL term grows from a small weight to 1 in the first half;
- `auxiliary`: Z-Forcing, a latent must also predict what the backward net
  knows of the future;
- `both`.
"""

import argparse
import csv
import json
import pathlib
import time

import common
import keras

from keras_seqcredit import layers
from keras_seqcredit import models
from keras_seqcredit import schedules

WAYS = ("plain", "annealing", "auxiliary", "both")
KL_START = 0.2  # Of the released code.


def add_arguments(parser: argparse.ArgumentParser, **defaults) -> None:
    """Adds the flags; `defaults` are those of the example."""
    add = parser.add_argument
    common.add_backend_argument(parser)
    add("--ways", nargs="+", choices=WAYS, help="see examples/z_forcing.py")
    add("--epochs", type=int, help="epochs of each way")
    add("--seed", type=int, help="of weights, noise and the order of the data")
    add("--batch-size", type=int, help="sequences a step")
    add("--learning-rate", type=float, help="of Adam, falls to 0")
    add("--units", type=int, help="units of every recurrent net")
    add("--latent-dim", type=int, help="latents a step")
    add("--auxiliary-weight", type=float, help="of the auxiliary cost")
    add("--likelihood-samples", type=int, help="of the posterior, a sequence")
    add("--logdir", type=pathlib.Path, help="folder for logs and results")
    add(
        "--resume",
        action=argparse.BooleanOptionalAction,
        help="go on with an interrupted run",
    )
    parser.set_defaults(
        **{
            "ways": WAYS[:3],
            "seed": 0,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "likelihood_samples": 20,
            "resume": True,
            **defaults,
        }
    )


def settings_of(arguments: argparse.Namespace) -> dict:
    """The flags as JSON has them, without those that change no figure."""
    settings = {**vars(arguments), "ways": list(arguments.ways)}
    for name in ("logdir", "resume", "data_dir"):
        settings.pop(name, None)
    return settings


def make_model(way, head, steps, arguments, embedding=None):
    """A compiled `ZForcing`; `steps` is the number of updates to come."""
    keras.utils.set_random_seed(arguments.seed)
    annealed = way in ("annealing", "both")
    kl_weight = schedules.LinearSchedule(KL_START, 1.0, steps // 2)
    auxiliary = way in ("auxiliary", "both")
    rnn = layers.StochasticRNN(
        arguments.units, arguments.latent_dim, seed=arguments.seed
    )
    model = models.ZForcing(
        rnn,
        head,
        embedding=embedding,
        kl_weight=kl_weight if annealed else 1.0,
        auxiliary_weight=arguments.auxiliary_weight if auxiliary else 0.0,
        seed=arguments.seed,
        name=f"z_forcing_{way}",
    )
    schedule = keras.optimizers.schedules.CosineDecay(
        arguments.learning_rate, steps
    )
    # The released code's epsilon and bound of the gradient's norm.
    model.compile(
        keras.optimizers.Adam(schedule, epsilon=1e-5, global_clipnorm=100.0),
        jit_compile=True,
    )
    return model


def size_of(x) -> int:
    """The number of sequences."""
    return len(x["sequences"] if isinstance(x, dict) else x)


def first(x, number):
    """The first sequences."""
    if isinstance(x, dict):
        return {name: values[:number] for name, values in x.items()}
    return x[:number]


class Seconds(keras.callbacks.Callback):
    """Adds `seconds_per_step` to the figures of an epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps = batch + 1
        self.end = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds_per_step"] = (self.end - self.start) / self.steps


def train(way, head, data, arguments, embedding=None):
    """Trains in one way, and returns the model and its figures.

    Args:
        way: One of `WAYS`.
        head: An unbuilt head.
        data: `(train, test)`, as `ZForcing.fit` takes them.
        arguments: The flags.
        embedding: An unbuilt layer or None.
    """
    x, x_test = data
    # Whole batches, so that one program is compiled and not two.
    steps = size_of(x) // arguments.batch_size
    x = first(x, steps * arguments.batch_size)
    model = make_model(
        way, head, steps * arguments.epochs, arguments, embedding
    )
    logdir = arguments.logdir / way
    common.check_settings(
        logdir,
        {**settings_of(arguments), "way": way, "ways": None},
        arguments.resume,
    )
    print(f"\n{way}: logs in {logdir}")
    model.fit(
        x,
        batch_size=arguments.batch_size,
        epochs=arguments.epochs,
        validation_data=(x_test, None),
        validation_batch_size=arguments.batch_size,
        callbacks=[
            Seconds(),
            keras.callbacks.CSVLogger(
                str(logdir / "history.csv"),
                append=arguments.resume and (logdir / "backup").exists(),
            ),
            *common.tensorboard(logdir),
            keras.callbacks.BackupAndRestore(
                str(logdir / "backup"), delete_checkpoint=False
            ),
        ],
    )
    model.save(logdir / "model.keras")
    return model, measure(model, x_test, logdir, arguments)


def measure(model, x_test, logdir, arguments) -> dict:
    """The figures of a trained model, in nats a sequence."""
    found = model.evaluate(
        x_test, batch_size=arguments.batch_size, verbose=0, return_dict=True
    )
    value, error = model.log_likelihood(
        x_test,
        num_samples=arguments.likelihood_samples,
        batch_size=arguments.batch_size,
        return_error=True,
    )
    with (logdir / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["epoch"]: row for row in csv.DictReader(file)}
    history = [
        {name: float(value) for name, value in row.items() if value}
        for row in rows.values()
    ]
    seconds = sorted(row["seconds_per_step"] for row in history)
    return {
        **{name: found[name] for name in ("nll", "kl", "elbo", "active_units")},
        "log_likelihood_bound": float(value.mean()),
        "log_likelihood_error": float((error**2).sum() ** 0.5 / len(error)),
        "parameters": model.count_params(),
        "seconds_per_step": seconds[len(seconds) // 2],
        "history": history,
    }


def run(name, make_head, data, arguments, make_embedding=None, more=None):
    """Trains in all ways, prints a table and writes `result.json`.

    Args:
        name: String, of the example.
        make_head: Function that returns a new head.
        data: `(train, test)`.
        arguments: The flags.
        make_embedding: Function that returns a new embedding, or None.
        more: `more(model, figures, folder)`, what the example does with each
            trained model; it may add figures.

    Returns:
        Dictionary of the figures of each way.
    """
    results = {}
    settings = settings_of(arguments)
    # What is finished of a run, so that one that was killed can go on.
    unfinished = arguments.logdir / "unfinished.json"
    if arguments.resume and unfinished.exists():
        found = json.loads(unfinished.read_text(encoding="utf-8"))
        if found["settings"] == settings:
            results = found["results"]
    for way in arguments.ways:
        if way in results:
            continue
        embedding = make_embedding() if make_embedding else None
        model, figures = train(way, make_head(), data, arguments, embedding)
        if more:
            more(model, figures, arguments.logdir / way)
        results[way] = figures
        common.write_json(
            unfinished, {"settings": settings, "results": results}
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
    print_table(results)
    print(f"\nFigures: {path}\nLogs:    tensorboard --logdir {path.parent}")
    return results


def print_table(results: dict) -> None:
    """Nats a sequence of the test."""
    print(
        "\n| training | ELBO | log-likelihood | KL | active units | ms a step |"
        "\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    for way, figures in results.items():
        print(
            f"| {way} | {figures['elbo']:.1f} "
            f"| {figures['log_likelihood_bound']:.1f} | {figures['kl']:.2f} "
            f"| {figures['active_units']:.0f} "
            f"| {1000 * figures['seconds_per_step']:.0f} |"
        )
