"""Paired runs on spoken digits: effects of annealing and the auxiliary cost.

Networks with latent variables, and others for comparison, are trained on frames
of raw speech. Networks of one seed start from the same weights, where they
share weights, and see the data in the same order, so that their differences say
more than their absolute results. The ways are

- `plain`: the plain evidence lower bound; the posterior knows the future, as in
  an SRNN;
- `annealing`, `backward`, `auxiliary`, `both`: see `z_forcing.py`;
- `vrnn`: the posterior sees the current frame, but no later one;
- `storn`: the same, and the prior is a standard normal distribution;
- `plain+target`, `annealing+target`, `auxiliary+target`, `both+target`: the
  posterior sees the current frame itself, beside the backward network's state;
- `lstm`: no latents, the same head.

The weight of the auxiliary cost, and with it of the backward network's
likelihood, is chosen for `auxiliary` on the first seed, by the bound on
recordings held out from training. All other ways that need one use it too.
The epoch at which each network is evaluated is chosen the same way. Tests use
other recordings. `result.json` has the results of each network, the chosen
weights, and the differences from `plain`, or from `plain+target` for the others
with `+target`, with their standard errors over seeds.
Run the same command again to resume a killed run.

    python examples/speech_paired.py --data-dir data --backend jax

On JAX, the order of the data is the same for all ways of a seed; TensorFlow
counts random operations, so its orders differ.

References:
    - Goyal et al., "Z-Forcing: Training Stochastic Recurrent Networks", NeurIPS
      2017, arXiv:1711.05411, section 5.1.
    - Jackson et al., "Free Spoken Digit Dataset", doi:10.5281/zenodo.1342401.
"""

import argparse
import json
import pathlib

import common

common.select_backend()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import runs  # noqa: E402
import ways  # noqa: E402
import z_forcing  # noqa: E402

from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402
from keras_seqcredit import models  # noqa: E402

# The first decides the weight.
WEIGHTED = ("auxiliary", "both", "backward", "auxiliary+target", "both+target")
TARGET = ("plain+target", "annealing+target")
WAYS = ("plain", "annealing", *WEIGHTED, *TARGET, "vrnn", "storn", "lstm")
EVALUATIONS = 5  # Of the bound, each with different latents.


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data-dir", required=True, help="folder of fsdd_8khz.npz")
    add("--frame-size", type=int, default=200)
    add("--max-frames", type=int, default=20, help="half a second")
    add("--validation-recordings", type=int, default=300)
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add(
        "--weights",
        type=float,
        nargs="+",
        default=[5e-4, 2.5e-3, 1e-2],
        help="for the auxiliary cost and backward network, to choose from",
    )
    z_forcing.add_arguments(
        parser,
        choices=WAYS,
        ways=WAYS,
        epochs=133,
        units=128,
        latent_dim=32,
        kl_increment=3e-4,
        logdir=pathlib.Path("runs/speech_paired"),
    )
    return parser.parse_args()


def load_data(arguments):
    """Recordings for training, validation and testing."""
    (x, _), (x_test, _) = datasets.spoken_digits(
        arguments.data_dir, arguments.frame_size, arguments.max_frames
    )
    scale = np.float32(x["sequences"][x["mask"]].std())
    for part in (x, x_test):
        part["sequences"] = part["sequences"] / scale
    order = np.random.default_rng(0).permutation(len(x["mask"]))
    held_back = arguments.validation_recordings
    return (
        {name: values[order[held_back:]] for name, values in x.items()},
        {name: values[order[:held_back]] for name, values in x.items()},
        x_test,
    )


def make_model(way, seed, steps, arguments):
    """A compiled model for a way of training."""
    keras.utils.set_random_seed(seed)
    head = layers.GaussianHead(arguments.frame_size, arguments.units)
    if way == "lstm":
        model = models.AutoregressiveRNN(
            keras.layers.LSTMCell(arguments.units), head, seed=seed
        )
    else:
        latents = {}
        way, _, more = way.partition("+")
        if more:
            latents["posterior"] = "backward_and_target"
        if way in ("vrnn", "storn"):
            latents["posterior"] = "target"
        if way == "storn":
            # Means and log-variances of 0.
            latents["prior_network"] = keras.layers.Dense(
                2 * arguments.latent_dim,
                kernel_initializer="zeros",
                trainable=False,
            )
        rnn = layers.StochasticRNN(
            arguments.units, arguments.latent_dim, seed=seed, **latents
        )
        weights = z_forcing.weights_of(way, steps, arguments)
        model = models.ZForcing(rnn, head, **weights, seed=seed)
    z_forcing.compile_model(model, steps, arguments)
    return model


class Best(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the best validation bound.

    The weights, the epoch and the bound are in files, so that a run can resume.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__()
        self.weights = folder / "best.weights.h5"
        self.figures = folder / "best.json"

    def on_epoch_end(self, epoch, logs=None):
        nats = logs["val_nll"] + logs.get("val_kl", 0.0)
        if nats < self.read().get("nats", float("inf")):
            self.model.save_weights(self.weights)
            common.write_json(self.figures, {"epoch": epoch, "nats": nats})

    def read(self) -> dict:
        if not self.figures.exists():
            return {}
        return json.loads(self.figures.read_text(encoding="utf-8"))


def nats(model, x, arguments) -> dict[str, float]:
    """Means over evaluations of the bound, or likelihood, and its terms."""
    found = [
        model.evaluate(
            x, batch_size=arguments.batch_size, verbose=0, return_dict=True
        )
        for _ in range(1 if hasattr(model, "core") else EVALUATIONS)
    ]
    names = [x for x in z_forcing.FIGURES if x in found[0]]
    means = {k: float(np.mean([f[k] for f in found])) for k in names}
    return {"elbo": -means["nll"], "kl": 0.0, **means}


def train(way, seed, data, arguments) -> dict:
    """The figures of one network."""
    x, x_validation, x_test = data
    x, steps = ways.whole_batches(x, arguments.batch_size)
    model = make_model(way, seed, steps * arguments.epochs, arguments)
    model.build(keras.tree.map_structure(lambda a: (None, *a.shape[1:]), x))
    name = f"seed{seed}/{way}"
    if way in WEIGHTED:
        name += f"_{arguments.auxiliary_weight:g}"
    best = Best(arguments.logdir / name)
    if not arguments.resume:
        best.figures.unlink(missing_ok=True)
    keras.utils.set_random_seed(seed)  # For the order of the data.
    trained = ways.fit(
        model, name, x, x_validation, arguments, lambda **_: [best]
    )
    model.load_weights(best.weights)
    value, error = nats(model, x_test, arguments), 0.0
    bound = value["elbo"]
    if way != "lstm":
        bounds, errors = model.log_likelihood(
            x_test,
            num_samples=arguments.likelihood_samples,
            batch_size=arguments.batch_size,
            return_error=True,
        )
        bound = float(bounds.mean())
        error = float((errors**2).sum() ** 0.5 / len(errors))
    return {
        "validation": nats(model, x_validation, arguments)["elbo"],
        "best_epoch": best.read()["epoch"],
        **value,
        "log_likelihood_bound": bound,
        "log_likelihood_error": error,
        "parameters": trained["parameters"],
        "seconds_per_step": trained["seconds_per_step"],
        "validation_history": [
            -row["val_nll"] - row.get("val_kl", 0.0)
            for row in trained["history"]
        ],
    }


def baseline(way) -> str:
    """What a way is compared with: nothing else differs."""
    start, more, _ = way.partition("+")
    return "plain+target" if more and start != "plain" else "plain"


def paired(results, chosen, names, seeds) -> dict:
    """Differences from the baseline, with standard errors over seeds."""
    found = {}
    for way in names:
        base = baseline(way)
        if way == base or base not in names:
            continue
        found[way] = {"weight": chosen.get(way), "baseline": base}
        for figure in ("elbo", "log_likelihood_bound"):
            differences = [
                results[case(way, seed, chosen.get(way))][figure]
                - results[case(base, seed)][figure]
                for seed in seeds
            ]
            found[way][figure] = {
                "differences": differences,
                "mean": float(np.mean(differences)),
                "standard_error": standard_error(differences),
            }
    return found


def standard_error(values) -> float | None:
    """Standard error of the mean; None for one value."""
    if len(values) == 1:
        return None
    return float(np.std(values, ddof=1) / len(values) ** 0.5)


def case(way, seed, weight=None) -> str:
    return f"{way} {seed}" + ("" if weight is None else f" {weight:g}")


def main() -> None:
    arguments = parse_arguments()
    # Not among the settings: a run may resume with more of them.
    seeds, names = arguments.seeds, arguments.ways
    del arguments.seeds, arguments.seed
    data = load_data(arguments)
    settings = ways.settings_of(arguments)
    del settings["ways"]
    unfinished = arguments.logdir / "unfinished.json"
    cases: dict = {}

    def add(way, seed, weight=None):
        cases[case(way, seed, weight)] = way, seed, weight

    def compute(name):
        way, seed, arguments.auxiliary_weight = cases[name]
        return train(way, seed, data, arguments)

    def results_of():
        return runs.results_of(
            cases, compute, unfinished, settings, arguments.resume
        )

    chosen = {}
    weighted = [way for way in WEIGHTED if way in names]
    if weighted:
        tuned = weighted[0]
        for weight in arguments.weights:
            add(tuned, seeds[0], weight)
        results = results_of()
        arguments.resume = True
        best = max(
            arguments.weights,
            key=lambda w: results[case(tuned, seeds[0], w)]["validation"],
        )
        chosen = dict.fromkeys(weighted, best)
    for seed in seeds:
        for way in names:
            add(way, seed, chosen.get(way))
    results = results_of()
    pairs = paired(results, chosen, names, seeds)
    path = arguments.logdir / "result.json"
    common.write_json(
        path,
        {
            "example": "speech_paired",
            "settings": settings,
            "seeds": seeds,
            "ways": names,
            "steps": len(data[0]["mask"])
            // arguments.batch_size
            * arguments.epochs,
            "chosen": chosen,
            "paired": pairs,
            "results": results,
            "machine": common.describe_machine(),
        },
    )
    print(
        "\n| training | weight | ELBO | log-likelihood | KL | ELBO - baseline |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for way in names:
        rows = [results[case(way, s, chosen.get(way))] for s in seeds]
        cells = [
            f"{np.mean([row[figure] for row in rows]):.1f}"
            for figure in ("elbo", "log_likelihood_bound", "kl")
        ]
        pair = pairs.get(way, {}).get("elbo", {"mean": 0.0})
        cells.append(f"{pair['mean']:+.1f}")
        if pair.get("standard_error") is not None:
            cells[-1] += f" ± {pair['standard_error']:.1f}"
        print(f"| {way} | {chosen.get(way, '')} |", " | ".join(cells), "|")
    print(f"\nResults: {path}\nLogs:    tensorboard --logdir {path.parent}")


if __name__ == "__main__":
    main()
