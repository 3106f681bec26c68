"""Tests claims of the Variational Walkback paper on small data.

    python examples/walkback_claims.py --experiment chains
    python examples/walkback_claims.py --experiment steps
    python examples/walkback_claims.py --experiment balance
    python examples/walkback_claims.py --experiment training
    python examples/walkback_claims.py --experiment binary --data-dir folder
    python examples/walkback_claims.py --experiment gray --data-dir folder

*chains*: samples after the `K` steps of a chain, and after 10 and 100 times as
many, from Walkback, from a diffusion model (DDPM) whose last step is repeated,
and from annealed Langevin dynamics, which are made to continue. *steps*: the
same first and last noise in 5 to 30 steps. *balance*: how a chain rotates on a
ring of modes, before and after training. *training*: whole walks, an update
after each step, and walkers that persist from batch to batch. *binary*: MNIST
in black and white, 14 x 14 pixels, by binary operators, diffusion models and a
generative stochastic network (GSN). *gray*: the same in gray levels. Both also
fill in the lower half of test images.
All networks of an experiment have the same size, and all are trained for the
same time, with averaged weights. Writes `<experiment>.json` and grids of images
to `--logdir`. An interrupted run continues with the missing cases.

References:
    - Goyal et al., "Variational Walkback: Learning a Transition Operator as a
      Stochastic Recurrent Net", NeurIPS 2017, arXiv:1711.02282.
"""

import argparse
import pathlib
import time

import common

common.select_backend()

import diffusion  # noqa: E402
import equal_time  # noqa: E402
import frechet  # noqa: E402
import keras  # noqa: E402
import langevin  # noqa: E402
import mnist_chains  # noqa: E402
import numpy as np  # noqa: E402
import runs  # noqa: E402
import walkback_images  # noqa: E402
import walkback_toy  # noqa: E402

from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402
from keras_seqcredit import models  # noqa: E402

EXPERIMENTS = "chains", "steps", "balance", "training", "binary", "gray"
LENGTHS = 1, 10, 100
NUM_STEPS = 5, 10, 14, 20, 30
MODES = 6
ANGLE = 0.5  # By which the operator turns before training.
# Size of the data as the chain sees it, first noise, last noise, steps.
LADDERS = {
    "circle": (1.0, 0.02, 0.35, 20),
    "mixture": (4.0, 0.15, 2.6, 20),
    "digits": (1.0, 0.02, 1.8, 14),
}


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--experiment", choices=EXPERIMENTS, default="chains")
    add("--data", nargs="+", choices=tuple(LADDERS), default=list(LADDERS))
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--seconds", type=float, default=20.0, help="of CPU time per model")
    add("--units", type=int, default=128, help="per layer of two, in the plane")
    add("--image-units", type=int, default=512, help="the same, for digits")
    add("--batch-size", type=int, default=128)
    add(
        "--learning-rate", type=float, default=2e-3, help="initial rate of Adam"
    )
    add(
        "--average",
        type=float,
        default=0.999,
        help="momentum of averaged weights",
    )
    add("--extra-steps", type=int, default=0, help="of chains in the plane")
    add("--walkers", type=int, default=448, help="that persist")
    add("--ways", nargs="+", default=["Walkback", "DDPM", "Langevin"])
    add("--data-dir", type=pathlib.Path, help="folder of MNIST")
    add("--validate", action="store_true", help="evaluate on validation data")
    add("--resume", action=argparse.BooleanOptionalAction, default=True)
    add("--logdir", type=pathlib.Path, default="runs/walkback_claims")
    common.add_backend_argument(parser)
    return parser.parse_args(argv)


class Plane:
    """Points of a density in the plane, and how far samples are from it."""

    def __init__(self, name, arguments):
        self.name, self.units = name, arguments.units
        self.size, *self.ladder = LADDERS[name]
        self.shape, self.dequantize, self.samples = (2,), False, 2000
        self.x = walkback_toy.draw_points(name, 25_600, seed=0)

    def states(self):
        return self.size * self.x

    def scaled(self):
        """For the rivals, with a standard deviation of about 1."""
        return self.x

    def measure(self, samples, scaled, seed):
        points = samples if scaled else samples / self.size
        points = np.clip(points, -50, 50)  # Some run away.
        return walkback_toy.measure(self.name, points)

    def draw(self, path, samples, scaled):
        del path, samples, scaled


class Digits:
    """Handwritten digits of 8 x 8 pixels."""

    def __init__(self, name, arguments):
        del name
        self.units = arguments.image_units
        self.size, *self.ladder = LADDERS["digits"]
        self.shape, self.dequantize, self.samples = (8, 8, 1), True, 1024
        (x, y), (test, test_y) = datasets.sequential_digits()
        x, test = (
            np.round(15 * 16 * a).reshape(-1, 8, 8, 1).astype("uint8")
            for a in (x, test)
        )
        self.features = frechet.Features(x, y)
        if arguments.validate:
            # Choices based on figures use other images.
            x, test = x[:-300], x[-300:]
        self.x, self.test = x, test
        self.accuracy = self.features.accuracy(test, test_y[: len(test)])

    def states(self):
        return self.x

    def scaled(self):
        return np.float32(self.x) / 127.5 - 1

    def images(self, samples, scaled):
        if not scaled:
            return samples
        samples = np.clip(127.5 * (samples + 1), 0, 255)
        return np.round(samples).astype("uint8")

    def measure(self, samples, scaled, seed):
        images = self.images(samples, scaled)
        return {
            "frechet": self.features.distance(images, self.test),
            "nearest_training_image": frechet.nearest(images, self.x),
            "confidence": self.features.confidence(images),
        }

    def draw(self, path, samples, scaled):
        shown = self.images(samples[:64], scaled)
        walkback_images.draw({path.stem: shown}, path)


def make_data(name, arguments):
    return (Digits if name == "digits" else Plane)(name, arguments)


def network(data, num_steps):
    return models.transition_mlp(
        data.shape,
        (data.units, data.units),
        learned_scale=False,
        num_steps=num_steps,
        residual=False,
    )


def walkback(data, seed, num_steps=None, **how):
    first, last, steps = data.ladder
    steps = num_steps or steps
    factor = (last / first) ** (2 / (steps - 1))
    keras.utils.set_random_seed(seed)
    if data.dequantize:
        transition = layers.GaussianTransition(
            network(data, steps),
            scale=first,
            num_steps=steps,
            level_temperatures=factor ** np.arange(steps),
        )
    else:  # One operator for all steps, as in `walkback_toy.py`.
        transition = layers.GaussianTransition(
            models.transition_mlp(data.shape, (data.units, data.units)),
            min_scale=first,
        )
    return models.VariationalWalkback(
        transition,
        steps,
        temperature_factor=factor,
        dequantize=data.dequantize,
        seed=seed,
        **how,
    )


def rival(way, data, seed):
    keras.utils.set_random_seed(seed)
    if way == "DDPM":
        return diffusion.DDPM(network(data, 100), 100, seed)
    first, _, steps = data.ladder
    # Digits span 2 for it, and 1 for the chain.
    width = 2.0 if data.dequantize else 1 / data.size
    levels = np.geomspace(width * first, 2.0, steps)
    return langevin.Langevin(network(data, steps), levels, seed=seed)


def chains(data, arguments, seed, folder):
    """Chains of `K` steps, and chains that continue."""
    found = {}
    for way in arguments.ways:
        scaled = way != "Walkback"
        if scaled:
            model = rival(way, data, seed)
            x, steps = data.scaled(), model.num_steps
        else:
            model = walkback(
                data,
                seed,
                num_walkers=arguments.walkers,
                extra_steps=0 if data.dequantize else arguments.extra_steps,
            )
            x, steps = data.states(), model.num_steps
        updates = equal_time.fit(
            model, x, arguments, folder / way, None if scaled else 32
        )
        result = {"updates": updates, "steps": steps}
        for length in LENGTHS:
            given = {} if scaled else {"denoise": True}
            samples = model.sample(
                data.samples,
                extra_steps=(length - 1) * steps,
                seed=seed,
                **given,
            )
            label = f"{length} x"
            result[label] = data.measure(samples, scaled, seed)
            data.draw(folder / f"{way}, {label}.png", samples, scaled)
        found[way] = result
    return found


def steps_of_walk(data, arguments, seed, folder):
    """The same first and last noise, in an increasing number of steps."""
    found = {}
    for num_steps in NUM_STEPS:
        model = walkback(data, seed, num_steps, num_walkers=arguments.walkers)
        updates = equal_time.fit(
            model, data.states(), arguments, folder / str(num_steps), 32
        )
        samples = model.sample(data.samples, seed=seed, denoise=True)
        found[f"{num_steps} steps"] = {
            "updates": updates,
            **data.measure(samples, False, seed),
        }
        data.draw(folder / f"{num_steps} steps.png", samples, False)
    return found


def training(data, arguments, seed, folder):
    """Ways to train, for the same time."""
    ways = {
        "whole walks": ({}, arguments.batch_size),
        "online": ({"online": True}, arguments.batch_size),
        "walkers": ({"num_walkers": arguments.walkers}, 32),
        "few walkers": ({"num_walkers": 128}, 16),
    }
    found = {}
    for way, (how, batch_size) in ways.items():
        model = walkback(data, seed, **how)
        updates = equal_time.fit(
            model, data.states(), arguments, folder / way, batch_size
        )
        samples = model.sample(data.samples, seed=seed, denoise=True)
        test = data.test if data.dequantize else data.states()[:500]
        bound = model.log_likelihood_bound(test, 5, 100, seed=seed)
        found[way] = {
            "updates": updates,
            "bound": float(bound.mean()),
            **data.measure(samples, False, seed),
        }
        data.draw(folder / f"{way}.png", samples, False)
    return found


def ring(num, seed):
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi / MODES * rng.integers(0, MODES, num)
    centers = np.stack([np.cos(angle), np.sin(angle)], -1)
    return (centers + 0.15 * rng.normal(size=(num, 2))).astype("float32")


def mode_of(points):
    angle = np.arctan2(points[..., 1], points[..., 0])
    return np.round(angle * MODES / (2 * np.pi)).astype(int) % MODES


def balance(arguments, seed, folder):
    """Transitions between neighbors on a ring, in both directions."""
    keras.utils.set_random_seed(seed)
    states = keras.Input((2,))
    units = (arguments.units, arguments.units)
    mlp = models.transition_mlp(2, units, learned_scale=False, residual=False)
    turned = Turned()
    network = keras.Model(states, turned(states) + mlp(states))
    model = models.VariationalWalkback(
        layers.GaussianTransition(network, scale=0.2),
        8,
        temperature_factor=1.4,
        num_walkers=arguments.walkers,
        seed=seed,
    )
    x = ring(25_600, seed)
    model.build(x.shape)
    before = currents(model, x, seed)
    updates = equal_time.fit(model, x, arguments, folder, 56)
    found = {
        "before": before,
        "after": currents(model, x, seed),
        "updates": updates,
        "angle": float(turned.angle.value),
    }
    return found


def currents(model, x, seed):
    """How a continued chain rotates: its law, and what breaks balance."""
    # Long independent chains; the errors are over chains.
    num, burn, length, parts = 4000, 100, 250, 5
    state = model.walk(x[:num], num_steps=burn, seed=seed)
    moves, counts, radii = 0, np.zeros(MODES), []
    # Per chain: net steps around, and the turn of a step, x y' - y x'.
    net, turn = np.zeros(num), np.zeros(num)
    for part in range(parts):
        path = model.walk(
            state,
            num_steps=length,
            return_trajectory=True,
            seed=1000 * seed + part,
        )
        modes = mode_of(path)
        around = (np.diff(modes, axis=0) + MODES // 2) % MODES - MODES // 2
        around = np.where(np.abs(around) == 1, around, 0)
        net += around.sum(0)
        moves += np.abs(around).sum()
        counts += np.bincount(modes[1:].ravel(), minlength=MODES)
        a, b = path[:-1], path[1:]
        turn += (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(0)
        radii.append(np.linalg.norm(b, axis=-1).mean())
        state = path[-1]
    total = length * parts
    share = counts / counts.sum()
    return {
        "moves_per_step": float(moves / (num * total)),
        "net_rate": float(net.mean() / total),
        "net_rate_error": float(net.std(ddof=1) / num**0.5 / total),
        "net_share_of_moves": float(net.sum() / moves),
        "turn": float(turn.mean() / total),
        "turn_error": float(turn.std(ddof=1) / num**0.5 / total),
        "total_variation": float(np.abs(share - 1 / MODES).sum() / 2),
        "mean_radius": float(np.mean(radii)),
        "mean_radius_of_data": float(np.linalg.norm(x, axis=-1).mean()),
        "mmd": walkback_toy.mmd(state[:2000], ring(2000, 12345)),
        "mmd_of_data": walkback_toy.mmd(ring(2000, 54321), ring(2000, 12345)),
    }


class Turned(keras.layers.Layer):
    """States, rotated by an angle that is also learned."""

    def build(self, shape):
        self.angle = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(ANGLE),
            name="angle",
        )

    def call(self, states):
        x, y = states[..., :1], states[..., 1:]
        cos, sin = keras.ops.cos(self.angle), keras.ops.sin(self.angle)
        return keras.ops.concatenate(
            [cos * x - sin * y, sin * x + cos * y], axis=-1
        )


def main():
    arguments = parse_arguments()
    settings = {
        key: value
        for key, value in vars(arguments).items()
        if key not in ("logdir", "resume", "seeds", "data", "data_dir", "ways")
    }
    name = arguments.experiment
    folder = arguments.logdir / name
    seeds = arguments.seeds
    cases = [f"{data}, seed {s}" for data in arguments.data for s in seeds]
    if name == "balance":
        cases = [f"ring, seed {s}" for s in seeds]
    if name in ("binary", "gray"):
        ways = mnist_chains.GRAY if name == "gray" else mnist_chains.BINARY
        ways = [w for w in ways if w.startswith(tuple(arguments.ways))]
        cases = [f"{way}, seed {s}" for way in ways for s in seeds]
    loaded = {}

    def compute(case):
        start = time.perf_counter()
        data, _, seed = case.partition(", seed ")
        place = folder / case
        place.mkdir(parents=True, exist_ok=True)
        if name == "balance":
            result = balance(arguments, int(seed), place)
        elif name in ("binary", "gray"):
            if not loaded:
                loaded["mnist"] = mnist_chains.Mnist(arguments, name == "gray")
            result = mnist_chains.run(
                loaded["mnist"], arguments, data, int(seed), place
            )
        else:
            if data not in loaded:
                loaded[data] = make_data(data, arguments)
            run = {
                "chains": chains,
                "steps": steps_of_walk,
                "training": training,
            }[name]
            result = run(loaded[data], arguments, int(seed), place)
        print(f"{case}, {time.perf_counter() - start:.0f} s: {result}")
        return result

    progress = folder / "progress.json"
    results = runs.results_of(
        cases, compute, progress, settings, arguments.resume
    )
    if "digits" in loaded:
        data = loaded["digits"]
        results["real digits"] = {
            "classifier_accuracy": data.accuracy,
            **data.measure(data.x[:1024], False, 0),
        }
    if "mnist" in loaded:
        data = loaded["mnist"]
        results["real mnist"] = {
            "classifier_accuracy": data.accuracy,
            **data.measure(data.x[:1024], folder / "data.png"),
        }
    for data in set(loaded) - {"digits", "mnist"}:
        points = walkback_toy.draw_points(data, 2000, seed=54321)
        results[f"real {data}"] = walkback_toy.measure(data, points)
    path = arguments.logdir / f"{name}.json"
    common.write_json(
        path,
        {
            "example": "walkback_claims",
            "settings": settings,
            "results": results,
            "machine": common.describe_machine(),
        },
    )
    print(f"Written to {path}")


if __name__ == "__main__":
    main()
