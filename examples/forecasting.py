"""Forecasting a series that a net has only learned to follow.

The Mackey-Glass equation, a chaotic model of blood cells that is a common test
of forecasters, with noise in what is observed. A net that is trained to predict
the next value drifts when it runs on its own; here it is trained in several
ways, see `generators.py`. Each draws many continuations of the test series. The
error of their mean and the continuous ranked probability score by horizon go to
`result.json` and to `errors.png`, next to those of two naive forecasts: the
last value, and values of the training series at large. A run that was killed
goes on where it was, by the same command.

    python examples/forecasting.py

References:
    - Mackey and Glass, "Oscillation and Chaos in Physiological Control
      Systems", Science 197, 1977.
    - Lamb et al., "Professor Forcing: A New Algorithm for Training Recurrent
      Networks", NeurIPS 2016, arXiv:1610.09038.
    - Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and
      Estimation", JASA 102, 2007: the score.
"""

import argparse
import pathlib

import common

common.select_backend()

import generators  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

from keras_seqcredit import layers  # noqa: E402
from keras_seqcredit import models  # noqa: E402

# Steps of Euler's method a unit of time, and the units before the first value.
SUBSTEPS, WARM_UP = 10, 500
SHOWN = 4


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--length", type=int, default=100, help="of training, and of a context")
    add("--horizon", type=int, default=200, help="steps to forecast")
    add("--train-series", type=int, default=2048, help="to train on")
    add("--test-series", type=int, default=256, help="to forecast")
    add("--num-samples", type=int, default=50, help="forecasts a series")
    add("--noise", type=float, default=0.05, help="of what is observed")
    generators.add_arguments(
        parser,
        epochs=40,
        units=64,
        batch_size=64,
        learning_rate=3e-3,
        logdir=pathlib.Path("runs/forecasting"),
    )
    return parser.parse_args()


def mackey_glass(num_series, length, random):
    """Solutions of the Mackey-Glass equation with a delay of 17.

    Returns:
        `(num_series, length)`, a value each unit of time, from starts of their
        own, of mean 0 and variance 1 on the whole.
    """
    delay = 17 * SUBSTEPS
    steps = (WARM_UP + length) * SUBSTEPS
    x = np.empty((delay + steps, num_series))
    x[:delay] = random.uniform(0.5, 1.5, num_series)
    for i in range(delay, len(x)):
        late = x[i - delay]
        growth = 0.2 * late / (1 + late**10) - 0.1 * x[i - 1]
        x[i] = x[i - 1] + growth / SUBSTEPS
    x = x[delay + WARM_UP * SUBSTEPS :: SUBSTEPS].T
    return (x - x.mean()) / x.std()


def load_data(arguments):
    """Observed series `(series, steps, 1)`, to train on and to forecast."""
    random = np.random.default_rng(arguments.seed)
    total = arguments.train_series + arguments.test_series
    x = mackey_glass(total, arguments.length + arguments.horizon, random)
    x = x + arguments.noise * random.normal(size=x.shape)
    x = x[..., None].astype("float32")
    train, test = np.split(x, [arguments.train_series])
    return train[:, : arguments.length], test


def errors_of(samples, truth) -> dict:
    """Errors by horizon.

    Args:
        samples: `(series, num_samples, horizon)`.
        truth: `(series, horizon)`.

    Returns:
        Dictionary of `rmse`, of the mean, and `crps`, lists over the horizon.
    """
    number = samples.shape[1]
    square = (samples.mean(axis=1) - truth) ** 2
    # The mean distance of all pairs, from the order of the samples.
    ranks = 2 * np.arange(1, number + 1) - number - 1
    ordered = np.sort(samples, axis=1)
    spread = np.einsum("bnh,n->bh", ordered, ranks) / max(
        number * (number - 1), 1
    )
    crps = np.abs(samples - truth[:, None]).mean(axis=1) - spread
    return {
        "rmse": np.sqrt(square.mean(axis=0)).tolist(),
        "crps": crps.mean(axis=0).tolist(),
    }


def draw(path, naive, results, context, truth, forecasts) -> None:
    """Errors by horizon, and forecasts of some series."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1, 2, figsize=(9, 3.4), layout="constrained", sharex=True
    )
    for axis, name in zip(axes, ("rmse", "crps"), strict=True):
        for way, errors in naive.items():
            axis.plot(errors[name], ":", color="gray")
            axis.text(len(truth[0]), errors[name][-1], way, fontsize=7)
        for way, figures in results.items():
            axis.plot(figures[name], label=way)
        axis.set_xlabel("horizon (steps)")
        axis.set_ylabel(name.upper())
    axes[0].legend(frameon=False)
    figure.savefig(path / "errors.png", dpi=120)
    plt.close(figure)

    figure, axes = plt.subplots(
        len(forecasts),
        SHOWN,
        figsize=(3 * SHOWN, 1.5 * len(forecasts)),
        layout="constrained",
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    steps = np.arange(-context.shape[1], truth.shape[1])
    for line, (way, samples) in zip(axes, forecasts.items(), strict=True):
        line[0].set_ylabel(way)
        for row, axis in enumerate(line):
            low, high = np.quantile(samples[row], [0.05, 0.95], axis=0)
            ahead = steps[context.shape[1] :]
            axis.fill_between(ahead, low, high, alpha=0.25)
            axis.plot(ahead, samples[row, 0], linewidth=0.8)
            whole = np.concatenate([context[row], truth[row]])
            axis.plot(steps, whole, color="black", linewidth=0.6)
    figure.savefig(path / "forecasts.png", dpi=120)
    plt.close(figure)


def main() -> None:
    arguments = parse_arguments()
    x, series = load_data(arguments)
    length = arguments.length
    context, truth = series[:, :length], series[:, length:, 0]
    past = np.random.default_rng(0).choice(x.ravel(), arguments.num_samples)
    shape = (len(truth), arguments.num_samples, arguments.horizon)
    naive = {
        "last value": errors_of(
            np.broadcast_to(context[:, -1:], (len(truth), 1, shape[-1])), truth
        ),
        "any value": errors_of(np.broadcast_to(past[:, None], shape), truth),
    }

    def make_generator(sampling_probability):
        return models.AutoregressiveRNN(
            keras.layers.GRUCell(arguments.units),
            layers.GaussianHead(1),
            sampling_probability=sampling_probability,
            seed=arguments.seed,
        )

    def forecast(generator, figures, folder):
        samples = generator.forecast(
            context,
            arguments.horizon,
            arguments.num_samples,
            seed=arguments.seed,
        )[..., 0]
        np.save(folder / "forecasts.npy", samples[:SHOWN])
        figures |= {"naive": naive, **errors_of(samples, truth)}

    results = generators.run(
        "forecasting",
        make_generator,
        (x, context),
        arguments,
        more=forecast,
        samples={
            "length": length + arguments.horizon,
            "prompt": context[:SHOWN],
        },
        columns={
            f"CRPS at {step}": lambda found, step=step: (
                f"{found['crps'][step - 1]:.3f}"
            )
            for step in _horizons(arguments.horizon)
        },
    )
    forecasts = {
        way: np.load(arguments.logdir / way / "forecasts.npy")
        for way in results
    }
    draw(arguments.logdir, naive, results, context[..., 0], truth, forecasts)


def _horizons(last) -> list[int]:
    """Horizons of the table."""
    return sorted({1, last // 10, last // 4, last // 2, last} - {0})


if __name__ == "__main__":
    main()
