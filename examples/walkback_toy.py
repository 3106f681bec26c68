"""A Markov chain that learns three densities in the plane.

Trains `VariationalWalkback` on points of a circle, a swiss roll and a mixture
of nine normal distributions, and a denoising diffusion model (DDPM) with the
same network for the same time. Both then generate chains as long as in
training, and chains ten times longer.

    python examples/walkback_toy.py
    python examples/walkback_toy.py --data circle --epochs 5

Writes to `--logdir`, for each density: logs for TensorBoard, a picture of the
data, the samples and the learned vector field, an animation of the chain and
the model; and `result.json`. Run the same command again to resume an
interrupted run.

References:
    - Goyal et al., "Variational Walkback: Learning a Transition Operator as a
      Stochastic Recurrent Net", NeurIPS 2017, arXiv:1711.02282.
"""

import argparse
import json
import pathlib
import shutil

import common

common.select_backend()

import diffusion  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

from keras_seqcredit import callbacks  # noqa: E402
from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402
from keras_seqcredit import models  # noqa: E402

STEPS_PER_EPOCH = 200
POINTS = 2000  # To draw and to evaluate.
LONGER = 10
# The size at which the chain sees each density, and the least scale of its
# operator. At a large size, no step between two components of the mixture is as
# wide as their distance, so the weights come out right.
SETTINGS = {
    "circle": {"size": 1.0, "min_scale": 0.02},
    "swiss_roll": {"size": 4.0, "min_scale": 0.1},
    "mixture": {"size": 4.0, "min_scale": 0.15},
}


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--data", nargs="+", choices=tuple(SETTINGS), default=list(SETTINGS))
    add("--num-steps", type=int, default=20, help="steps of the walk")
    add("--temperature-factor", type=float, default=1.35)
    add("--units", type=int, default=128, help="for each of two hidden layers")
    add("--batch-size", type=int, default=128)
    add(
        "--learning-rate", type=float, default=2e-3, help="initial rate of Adam"
    )
    add("--epochs", type=int, default=80, help=f"of {STEPS_PER_EPOCH} steps")
    add(
        "--online",
        action="store_true",
        help="update after each step of the walk",
    )
    add("--ddpm", action=argparse.BooleanOptionalAction, default=True)
    add("--ddpm-steps", type=int, default=100, help="steps of its chain")
    add("--seed", type=int, default=0, help="for weights, data and samples")
    add("--resume", action=argparse.BooleanOptionalAction, default=True)
    add("--logdir", type=pathlib.Path, default="runs/walkback_toy")
    common.add_backend_argument(parser)
    return parser.parse_args(argv)


def draw_points(name, num, seed):
    if name == "circle":
        return datasets.circle(num, seed=seed)
    if name == "swiss_roll":
        return datasets.swiss_roll(num, seed=seed)
    return datasets.gaussian_mixture(num, seed=seed)[0]


def adam(arguments, updates):
    schedule = keras.optimizers.schedules.CosineDecay(
        arguments.learning_rate, updates
    )
    return keras.optimizers.Adam(schedule, clipnorm=100.0)


def build_model(name, arguments):
    network = models.transition_mlp(2, (arguments.units, arguments.units))
    model = models.VariationalWalkback(
        layers.GaussianTransition(
            network, min_scale=SETTINGS[name]["min_scale"]
        ),
        arguments.num_steps,
        temperature_factor=arguments.temperature_factor,
        online=arguments.online,
        seed=arguments.seed,
    )
    updates = arguments.epochs * STEPS_PER_EPOCH
    if arguments.online:
        updates *= arguments.num_steps
    model.compile(adam(arguments, updates), jit_compile=True)
    return model


def train(name, arguments, folder):
    """Trains the chain; returns it and the seconds it took."""
    keras.utils.set_random_seed(arguments.seed)
    num = STEPS_PER_EPOCH * arguments.batch_size
    x = SETTINGS[name]["size"] * draw_points(name, num, arguments.seed)
    model = build_model(name, arguments)
    model.build(x.shape)
    watch = diffusion.Stopwatch(folder / diffusion.STOPWATCH)
    print(f"\n{name}: {model.count_params():,} parameters")
    model.fit(
        x,
        batch_size=arguments.batch_size,
        epochs=arguments.epochs,
        callbacks=[
            *common.tensorboard(folder),
            watch,
            # Kept, so that a run killed later does not train again.
            callbacks.ExactResume(folder / "backup", delete_checkpoint=False),
        ],
    )
    model.save(folder / "model.keras")
    return model, watch.seconds_of(arguments.epochs * STEPS_PER_EPOCH)


def train_ddpm(name, arguments, seconds):
    """Trains a diffusion model with the same network for `seconds`."""
    keras.utils.set_random_seed(arguments.seed)
    x = draw_points(
        name, STEPS_PER_EPOCH * arguments.batch_size, arguments.seed
    )
    network = models.transition_mlp(
        2,
        units=(arguments.units, arguments.units),
        learned_scale=False,
        num_steps=arguments.ddpm_steps,
    )
    model = diffusion.DDPM(network, arguments.ddpm_steps, seed=arguments.seed)
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=True)
    stop = diffusion.StopAfter(seconds)
    model.fit(
        x,
        batch_size=arguments.batch_size,
        epochs=100_000,
        verbose=0,
        callbacks=[stop],
    )
    return model, stop.steps


def mmd(a, b):
    """Squared maximum mean discrepancy, with kernels of several widths."""

    def kernel(a, b):
        distance = np.square(a[:, None] - b[None]).sum(-1)
        return sum(np.exp(-distance / w) for w in (0.02, 0.1, 0.5)).mean()

    return float(kernel(a, a) + kernel(b, b) - 2 * kernel(a, b))


def measure(name, points):
    """Figures of points, compared with the true density."""
    fresh = draw_points(name, POINTS, seed=12345)
    figures = {"mmd": mmd(points, fresh)}
    if name == "circle":
        error = np.abs(np.hypot(*points.T) - 1)
        figures["radius_error"] = float(error.mean())
    if name == "mixture":
        mode = np.clip(np.round(points), -1, 1)
        share = np.zeros(9)
        values, counts = np.unique(mode @ [3, 1] + 4, return_counts=True)
        share[values.astype(int)] = counts / len(points)
        figures["modes"] = int((share > 0.01).sum())
        figures["total_variation"] = float(np.abs(share - 1 / 9).sum() / 2)
        figures["deviation"] = float((points - mode).std())
    return figures


def draw(name, field, samples, path):
    """Draws data, samples and the field of the operator at temperature 1."""
    from matplotlib.figure import Figure

    panels = {"data": draw_points(name, POINTS, 12345), **samples}
    figure = Figure(figsize=(3.2 * (len(panels) + 1), 3.4), layout="tight")
    axes = figure.subplots(1, len(panels) + 1)
    for axis, (title, points) in zip(axes, panels.items(), strict=False):
        axis.plot(*points.T, ".", markersize=2, alpha=0.5)
        axis.set_title(title, fontsize=10)
    ticks = np.linspace(-1.5, 1.5, 21, dtype="float32")
    grid = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
    arrows = field(grid) - grid
    # Short arrows would be invisible next to those from far away.
    arrows /= np.sqrt(np.linalg.norm(arrows, axis=-1, keepdims=True) + 1e-9)
    axes[-1].quiver(*grid.T, *arrows.T, angles="xy", width=0.004)
    axes[-1].set_title("a step without its noise", fontsize=10)
    for axis in axes:
        axis.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
        axis.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110)


def animate(model, size, arguments, path):
    """Draws a chain from p* to the data, then at temperature 1."""
    from matplotlib import animation
    from matplotlib import pyplot

    states = model.sample(
        500,
        extra_steps=arguments.num_steps,
        return_trajectory=True,
        seed=arguments.seed,
    )
    states = states / size
    figure, axis = pyplot.subplots(figsize=(3.2, 3.4), layout="tight")
    (dots,) = axis.plot([], [], ".", markersize=3, alpha=0.6)
    axis.set(xlim=(-2, 2), ylim=(-2, 2), aspect="equal", xticks=[], yticks=[])

    def show(frame):
        dots.set_data(*states[frame].T)
        axis.set_title(f"step {frame}", fontsize=10)
        return [dots]

    movie = animation.FuncAnimation(figure, show, frames=len(states))
    movie.save(path, writer=animation.PillowWriter(fps=8))
    pyplot.close(figure)


def run(name, arguments):
    """One density: trains, samples, draws, measures."""
    folder = arguments.logdir / name
    folder.mkdir(parents=True, exist_ok=True)
    if not arguments.resume:
        shutil.rmtree(folder / "backup", ignore_errors=True)
        (folder / diffusion.STOPWATCH).unlink(missing_ok=True)
    model, seconds = train(name, arguments, folder)
    fresh = draw_points(name, POINTS, seed=54321)
    size = SETTINGS[name]["size"]
    value, error = model.log_likelihood(
        size * fresh[:500], 50, 500, return_error=True
    )
    result = {
        **SETTINGS[name],
        # For the points at their original size.
        "log_likelihood": float(value.mean() + 2 * np.log(size)),
        "log_likelihood_error": float(np.sqrt(np.mean(error**2) / 500)),
        "training_seconds": seconds,
        "figures": {"data": measure(name, fresh)},
    }
    chains = {"Walkback": model}
    if arguments.ddpm:
        chains["DDPM"], result["ddpm_updates"] = train_ddpm(
            name, arguments, seconds
        )
    samples = {}
    for title, chain in chains.items():
        longer = (LONGER - 1) * chain.num_steps
        for label, steps in [("", 0), (f", {LONGER} x longer", longer)]:
            points = chain.sample(
                POINTS, extra_steps=steps, seed=arguments.seed
            )
            # The diffusion model sees points at their original size.
            points = points / (size if chain is model else 1)
            samples[title + label] = points
            result["figures"][title + label] = measure(name, points)
    draw(
        name,
        lambda grid: model.denoise(size * grid) / size,
        samples,
        folder / "samples.png",
    )
    animate(model, size, arguments, folder / "chain.gif")
    return result


def print_tables(results):
    for name, result in results.items():
        columns = list(result["figures"]["data"])
        print(f"\n| {name} | {' | '.join(columns)} |")
        print("| --- |" + " ---: |" * len(columns))
        for title, figures in result["figures"].items():
            row = " | ".join(f"{figures[column]:.4g}" for column in columns)
            print(f"| {title} | {row} |")


def main():
    arguments = parse_arguments()
    import matplotlib

    matplotlib.use("Agg")
    settings = {
        key: value
        for key, value in vars(arguments).items()
        if key not in ("logdir", "resume", "data")
    }
    common.check_settings(arguments.logdir, settings, arguments.resume)
    path = arguments.logdir / "result.json"
    # Finished densities are not trained again.
    results = {}
    if arguments.resume and path.exists():
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
    for name in arguments.data:
        if name in results:
            continue
        results[name] = run(name, arguments)
        common.write_json(
            path,
            {
                "example": "walkback_toy",
                "settings": settings,
                "results": results,
                "machine": common.describe_machine(),
            },
        )
    print_tables(results)
    print(f"\nWritten to {path}")


if __name__ == "__main__":
    main()
