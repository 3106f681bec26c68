"""Forecasters that drift, and ways to keep them on course.

A network trained to predict the next value runs on its own samples for ten
times the length of its training series. There are two systems: the Lorenz
equations, with one coordinate observed with noise, and speech, recordings of
spoken digits. Each training method gets the same time, according to the cost of
its step:

- `teacher`: teacher forcing, which only reads data; `dropout` and
  `weight_decay`: the same with these regularizers; `temperature`: the network
  of `teacher` with the temperature that forecasts best on validation data;
  `mixture`: the density is a mixture of five components;
- `rising` and `falling`: scheduled sampling, with a rising or falling
  probability;
- `generalized`: generalized teacher forcing, where each step reads a mixture of
  its own sample and the data; `rollout`: the likelihood of the next steps on
  its own samples; both with gradients through samples;
- `professor`: Professor Forcing; `penalty`: with a penalty for the
  discriminator and a relative weight; `samples`: also with gradients through
  samples. The first half of their time is teacher forcing: as in the authors'
  code, they start from a trained network, which is `half`.

Measures the continuous ranked probability score (CRPS) by horizon and, for
windows at one, four and ten times the trained length, how well a fresh
discriminator distinguishes samples and behaviors from data, the ratio of
variances, and the distance of power spectra. Results go to `result.json` and
`drift.png`; `--figure` plots the means of several result files. Run the same
command again to resume a killed run.

    python examples/forecasting.py --system lorenz
    python examples/forecasting.py --system speech --data-dir data

References:
    - Lorenz, "Deterministic Nonperiodic Flow", Journal of the Atmospheric
      Sciences 20, 1963.
    - Lamb et al., "Professor Forcing: A New Algorithm for Training Recurrent
      Networks", NeurIPS 2016, arXiv:1610.09038.
    - Hess et al., "Generalized Teacher Forcing for Learning Chaotic Dynamics",
      ICML 2023, arXiv:2306.04406.
    - Teutsch and Mäder, "Flipped Classroom: Effective Teaching for Time Series
      Forecasting", TMLR 2022, arXiv:2210.08959.
    - Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and
      Estimation", JASA 102, 2007: the score.
"""

import argparse
import json
import pathlib
import time

import common

common.select_backend()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import ways  # noqa: E402

from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402
from keras_seqcredit import models  # noqa: E402
from keras_seqcredit import schedules  # noqa: E402
from keras_seqcredit import utils  # noqa: E402

# The cost of a training step, in steps of `teacher`; see `--measure`.
COSTS = {
    "teacher": 1.0,
    "dropout": 1.0,
    "weight_decay": 1.0,
    "mixture": 1.2,
    "rising": 1.1,
    "falling": 1.1,
    "generalized": 1.15,
    "rollout": 1.15,
    "professor": 6.0,
    "penalty": 20.0,
    "samples": 20.0,
}
WAYS = ("teacher", "temperature", "half", *list(COSTS)[1:])
FORCING = ("professor", "penalty", "samples")
EPOCH = 400  # Steps, or fewer in a short training run.
TEMPERATURES = (0.7, 0.85, 1.0, 1.15, 1.3)
POSITIONS = (1, 4, 10)
HORIZONS = (1, 10, 50, 200, 500)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--system", choices=("lorenz", "speech"), default="lorenz")
    add("--data-dir", type=pathlib.Path, default=pathlib.Path("data"))
    add("--length", type=int, default=50, help="for training and for a context")
    add("--train-series", type=int, default=12800, help="to train on")
    add("--test-series", type=int, default=192, help="to forecast")
    add("--num-samples", type=int, default=20, help="forecasts per series")
    add("--measure", action="store_true", help="print step costs and exit")
    add(
        "--figure",
        nargs="+",
        type=pathlib.Path,
        help="plot result files of several seeds and exit",
    )
    ways.add_arguments(
        parser,
        WAYS,
        epochs=8,
        units=32,
        batch_size=32,
        learning_rate=3e-3,
        logdir=pathlib.Path("runs/forecasting"),
    )
    return parser.parse_args()


def solved(slope, state, num_steps, step, substeps, warm_up):
    """The first coordinate of a differential equation, by Runge-Kutta.

    Returns:
        `(num_series, num_steps)`, a value every `substeps` steps.
    """
    found = np.empty((num_steps, state.shape[1]))
    for i in range(-warm_up, num_steps * substeps):
        if i >= 0 and i % substeps == 0:
            found[i // substeps] = state[0]
        first = slope(state)
        second = slope(state + step / 2 * first)
        third = slope(state + step / 2 * second)
        fourth = slope(state + step * third)
        state = state + step / 6 * (first + 2 * second + 2 * third + fourth)
    return found.T


def lorenz(num_series, length, random):
    """The Lorenz equations, with noise.

    Values are 0.3 time units apart. This is so far that the next value is often
    one of two, while the head has one peak.
    """

    def slope(state):
        x, y, z = state
        return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    state = random.normal(size=(3, num_series)) + np.array([[0], [0], [25.0]])
    # Divided by the attractor's standard deviation.
    found = solved(slope, state, length, 0.01, 30, 1000) / 7.93
    return found + 0.05 * random.normal(size=found.shape)


def speech(num_series, length, random, recordings):
    """Pieces of recordings at 4 kHz, each of variance 1."""
    pieces = []
    for values in recordings:
        number = len(values) // length
        pieces += list(values[: number * length].reshape(number, length))
    pieces = np.stack(pieces)
    # Without the silence.
    loud = pieces.std(axis=1)
    pieces = pieces[loud > np.quantile(loud, 0.5)]
    chosen = random.choice(len(pieces), num_series, len(pieces) < num_series)
    pieces = pieces[chosen]
    return pieces / pieces.std(axis=1, keepdims=True)


def load_data(arguments):
    """Series `(series, steps, 1)`: to train on, to validate, and to test."""
    random = np.random.default_rng(arguments.seed)
    length, number = arguments.length, arguments.test_series
    longest = length * (1 + max(POSITIONS))
    if arguments.system == "lorenz":
        train = lorenz(arguments.train_series // 10, 10 * length, random)
        train = train.reshape(-1, length)
        test = lorenz(2 * number, longest, random)
    else:
        (x, _), (x_test, _) = datasets.spoken_digits(arguments.data_dir)

        def read(x):
            for frames, mask in zip(x["sequences"], x["mask"], strict=True):
                values = frames[mask].ravel()
                # The mean of two, so that nothing above 2 kHz is aliased.
                yield values.reshape(-1, 2).mean(axis=1)

        whole = speech(
            arguments.train_series // 10, 10 * length, random, read(x)
        )
        train = whole.reshape(-1, length)
        test = speech(2 * number, longest, random, read(x_test))
    train, test = (part[..., None].astype("float32") for part in (train, test))
    random.shuffle(train)
    return train, test[:number], test[number:]


def make_model(way, arguments, steps, start=None):
    """A compiled model, and the generator that it trains.

    Args:
        way: One of `COSTS`.
        arguments: The flags.
        steps: Integer, number of updates.
        start: A generator to continue from, or None. Defaults to `None`.
    """
    keras.utils.set_random_seed(arguments.seed)
    options = {
        "rising": {"sampling_probability": (0.0, 0.5)},
        "falling": {"sampling_probability": (0.5, 0.0)},
        "generalized": {"own_share": (0.0, 0.5), "sample_gradient": True},
        "rollout": {"rollout_steps": 10, "sample_gradient": True},
    }.get(way, {})
    options = {
        name: schedules.LinearSchedule(*value, steps)
        if isinstance(value, tuple)
        else value
        for name, value in options.items()
    }
    dropout = 0.1 if way == "dropout" else 0.0
    generator = start or models.AutoregressiveRNN(
        keras.layers.GRUCell(
            arguments.units, dropout=dropout, recurrent_dropout=dropout
        ),
        layers.GaussianMixtureHead(1, 5)
        if way == "mixture"
        else layers.GaussianHead(1),
        seed=arguments.seed,
        **options,
    )

    def adam(**more):
        rate = keras.optimizers.schedules.CosineDecay(
            arguments.learning_rate, steps
        )
        if way == "weight_decay":
            return keras.optimizers.AdamW(rate, weight_decay=0.01, clipnorm=1.0)
        return keras.optimizers.Adam(rate, clipnorm=1.0, **more)

    optimizers, model = [adam()], generator
    if way in FORCING:
        tamed = {"discriminator_penalty": 10.0, "relative_weight": True}
        model = models.ProfessorForcing(
            generator,
            layers.BehaviorDiscriminator(arguments.units, dtype="float32"),
            adversarial_weight=1.0 if way == "professor" else 0.3,
            sample_gradient=way == "samples",
            ratio_every=100 if way == "professor" else None,
            **({} if way == "professor" else tamed),
        )
        optimizers.append(adam(beta_1=0.9 if way == "professor" else 0.5))
    model.compile(*optimizers, jit_compile=True)
    return model, generator


def measure_costs(x, arguments) -> None:
    """Prints the CPU time that a step of each way takes."""
    first = None
    for way in COSTS:
        model, _ = make_model(way, arguments, 1000)
        seconds = []
        for _ in range(2):  # The first one compiles.
            start = time.process_time()
            model.fit(x, batch_size=arguments.batch_size, verbose=0)
            seconds.append(time.process_time() - start)
        first = first or seconds[1]
        print(f"{way}: {seconds[1] / first:.2f}", flush=True)


def crps_of(samples, truth) -> np.ndarray:
    """CRPS by horizon, of samples `(series, num_samples, horizon)`."""
    number = samples.shape[1]
    # The mean distance of all pairs, from the sorted samples.
    ranks = 2 * np.arange(1, number + 1) - number - 1
    ordered = np.sort(samples, axis=1)
    spread = np.einsum("bnh,n->bh", ordered, ranks) / (number * (number - 1))
    crps = np.abs(samples - truth[:, None]).mean(axis=1) - spread
    return crps.mean(axis=0)


def long_run(samples, truth, length) -> dict:
    """Statistics of windows, compared with the data."""
    found = {}
    for position in POSITIONS:
        window = slice((position - 1) * length, position * length)
        own, data = samples[..., window], truth[:, window]
        ratio = own.var() / data.var()
        found[position] = {"variance_ratio": float(ratio)}
    # The second half of the horizon, where all values are its own.
    half = truth.shape[-1] // 2

    def spectrum(x):
        x = x[..., -half:] * np.hanning(half)
        power = np.abs(np.fft.rfft(x)) ** 2
        # Means over bands of neighboring frequencies.
        power = power.reshape(-1, power.shape[-1]).mean(axis=0)
        return np.array([band.mean() for band in np.array_split(power, 25)])

    distance = np.abs(np.log(spectrum(samples) / spectrum(truth))).mean()
    return {"positions": found, "spectrum_distance": float(distance)}


def evaluate(generator, test, arguments, temperature=None) -> dict:
    """The figures of a trained generator on data it has not seen."""
    length = arguments.length
    context, truth = test[:, :length], test[:, length:, 0]
    samples = generator.forecast(
        context,
        horizon=truth.shape[1],
        num_samples=arguments.num_samples,
        temperature=temperature or 1.0,
        seed=arguments.seed,
    )[..., 0]
    judge = {"units": 16, "updates": 150, "batch_size": 32}
    found = long_run(samples, truth, length)
    crps = crps_of(samples, truth)
    found["crps"] = crps.tolist()
    found["mean_crps"] = float(crps.mean())
    if temperature is None:
        drift = utils.drift_by_position(
            generator, test, length, POSITIONS, prompt_steps=length, **judge
        )
    else:
        drift = {}
        for position in POSITIONS:
            window = slice((position - 1) * length, position * length)
            pair = (x[:, window, None] for x in (truth, samples[:, 0]))
            drift[position] = {"samples": utils.fresh_accuracy(*pair, **judge)}
    for position, figures in drift.items():
        found["positions"][position] |= figures
    return found


def draw(path, files) -> None:
    """CRPS by horizon and accuracy by position, averaged over files."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    systems: dict = {}
    for file in files:
        result = json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
        system = result["settings"]["system"]
        for way, found in result["results"].items():
            ways_of = systems.setdefault(system, {})
            ways_of.setdefault(way, []).append(found)
    figure, axes = plt.subplots(
        len(systems),
        2,
        figsize=(9.5, 3.4 * len(systems)),
        layout="constrained",
        squeeze=False,
    )
    for line, (system, runs) in zip(axes, systems.items(), strict=True):
        for way, found in runs.items():
            number = WAYS.index(way)
            style = ("-", "--", ":")[number // 10]
            style = {"color": f"C{number % 10}", "linestyle": style}
            crps = np.mean([run["crps"] for run in found], axis=0)
            ahead = np.arange(1, 1 + len(crps))
            # Means over neighboring horizons, which are noisy.
            width = np.maximum(1, ahead // 5)
            smooth = [
                crps[max(0, i - w) : i + w].mean()
                for i, w in zip(ahead, width, strict=True)
            ]
            line[0].plot(ahead, smooth, linewidth=1, label=way, **style)
            accuracy = [
                np.mean([_at(run, p)["samples"] for run in found])
                for p in POSITIONS
            ]
            line[1].plot(POSITIONS, accuracy, marker=".", label=way, **style)
        line[0].set(xscale="log", xlabel="horizon (steps)", ylabel="CRPS")
        line[0].set_title(system)
        line[1].set(
            xlabel="position (trained lengths)",
            ylabel="told from data",
            xticks=POSITIONS,
        )
        line[1].axhline(0.5, color="gray", linewidth=0.6)
        line[1].legend(
            frameon=False,
            fontsize=7,
            bbox_to_anchor=(1.01, 1),
            loc="upper left",
        )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    arguments = parse_arguments()
    if arguments.figure:
        arguments.logdir.mkdir(parents=True, exist_ok=True)
        draw(arguments.logdir / "drift.png", arguments.figure)
        return
    x, validation, test = load_data(arguments)
    x, steps = ways.whole_batches(x, arguments.batch_size)
    if arguments.measure:
        measure_costs(x[: 200 * arguments.batch_size], arguments)
        return
    length = arguments.length

    def train(way):
        if way == "temperature":
            path = arguments.logdir / "teacher" / "generator.keras"
            if not path.exists():
                fitted("teacher", "teacher", 1.0)
            generator = keras.saving.load_model(path)
            scores = {}
            for temperature in TEMPERATURES:
                samples = generator.forecast(
                    validation[:, :length],
                    horizon=validation.shape[1] - length,
                    num_samples=arguments.num_samples,
                    temperature=temperature,
                    seed=arguments.seed,
                )[..., 0]
                scores[temperature] = float(
                    crps_of(samples, validation[:, length:, 0]).mean()
                )
            best = min(scores, key=scores.get)
            figures = evaluate(generator, test, arguments, best)
            return {**figures, "temperature": best, "validation": scores,
                    "nll": None, "seconds_per_step": 0.0}  # fmt: skip
        half = arguments.logdir / "half" / "generator.keras"
        if way == "half":
            generator, trained = fitted("half", "teacher", 0.5)
        elif way in FORCING:
            if not half.exists():
                fitted("half", "teacher", 0.5)
            start = keras.saving.load_model(half)
            generator, trained = fitted(way, way, 0.5, start)
        else:
            generator, trained = fitted(way, way, 1.0)
        nll = -generator.log_likelihood(test[:, :length]).mean()
        return {
            **evaluate(generator, test, arguments),
            "nll": float(nll),
            **trained,
        }

    def fitted(name, way, share, start=None):
        """A generator, trained for a share of the time, and its figures."""
        updates = max(1, int(share * arguments.epochs * steps / COSTS[way]))
        epochs = max(1, updates // EPOCH)
        rows = arguments.batch_size * (updates // epochs)
        updates = epochs * (updates // epochs)
        model, generator = make_model(way, arguments, updates, start)
        own = argparse.Namespace(**{**vars(arguments), "epochs": epochs})
        before = time.process_time()
        trained = ways.fit(
            model, name, x[:rows], validation[:, :length], own, lambda **_: []
        )
        seconds = time.process_time() - before
        generator.save(arguments.logdir / name / "generator.keras")
        return generator, {
            "updates": updates,
            "processor_seconds_with_compilation": seconds,
            **trained,
        }

    ways.run(
        f"forecasting_{arguments.system}",
        train,
        arguments,
        {
            "nats": lambda found: (
                "" if found["nll"] is None else f"{found['nll']:.2f}"
            ),
            **{
                f"CRPS at {h}": lambda found, h=h: f"{found['crps'][h - 1]:.3f}"
                for h in HORIZONS
                if h <= length * max(POSITIONS)
            },
            "spectrum": lambda found: f"{found['spectrum_distance']:.3f}",
            **{
                f"{name} at {position} x": lambda found, p=position, k=key: (
                    f"{_at(found, p).get(k, float('nan')):.3f}"
                )
                for position in (1, 10)
                for name, key in (
                    ("variance", "variance_ratio"),
                    ("samples", "samples"),
                    ("behaviors", "behaviors"),
                )
            },
        },
    )
    result = arguments.logdir / "result.json"
    draw(arguments.logdir / "drift.png", [result])


def _at(found, position):
    """Figures of a position; JSON has turned the keys into strings."""
    found = found["positions"]
    return found[position] if position in found else found[str(position)]


if __name__ == "__main__":
    main()
