r"""A Markov chain that learns images and fills in missing parts.

Trains `VariationalWalkback` with a small U-Net on handwritten digits of 8 x 8
pixels, and a denoising diffusion model (DDPM) with the same network for the
same time. MNIST or CIFAR-10 can replace the digits.

    python examples/walkback_images.py
    python examples/walkback_images.py --data mnist --data-dir folder_of_mnist
    python examples/walkback_images.py --data mnist --data-dir folder_of_mnist \
        --network mlp --no-step-conditioning --scale 0.009 --num-steps 5 \
        --temperature-factor 1.5 --batch-size 100 --learning-rate 3e-4
    python examples/walkback_images.py --data cifar10 --data-dir folder_of_it

The third command has the settings of the paper's release for MNIST. Without
`--data-dir`, MNIST and CIFAR-10 come from Keras' own loaders. Writes to
`--logdir`: logs for TensorBoard, grids of samples and of digits whose lower
half was filled in, the model, and `result.json`. Run the same command again to
resume an interrupted run.

References:
    - Goyal et al., "Variational Walkback: Learning a Transition Operator as a
      Stochastic Recurrent Net", NeurIPS 2017, arXiv:1711.02282.
"""

import argparse
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

FILTERS = {"digits": [16, 32], "mnist": [16, 32], "cifar10": [32, 64]}
SHOWN = 64


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--data", choices=tuple(FILTERS), default="digits")
    add("--data-dir", type=pathlib.Path, help="folder of the data file")
    add("--train-images", type=int, help="to train on (default: all)")
    add("--test-images", type=int, default=256, help="to evaluate on")
    add("--network", choices=("unet", "mlp"), default="unet")
    add(
        "--filters",
        type=int,
        nargs="+",
        help="for the U-Net at each resolution (default: 16 32; CIFAR: 32 64)",
    )
    add(
        "--units",
        type=int,
        nargs="+",
        default=[1200, 1200],
        help="for the MLP's hidden layers",
    )
    add(
        "--step-conditioning",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="give the step to the network",
    )
    add("--num-steps", type=int, default=10, help="steps of the walk")
    add("--temperature-factor", type=float, default=2.0)
    add(
        "--steps-per-call",
        type=int,
        help="scored at once (default: the model's choice)",
    )
    add(
        "--scale",
        type=float,
        default=0.02,
        help="initial scale of the operator",
    )
    add(
        "--learned-scale",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="learn scales, starting from --scale",
    )
    add("--batch-size", type=int, default=64)
    add(
        "--learning-rate", type=float, default=2e-3, help="initial rate of Adam"
    )
    add("--epochs", type=int, default=40)
    add("--ddpm", action=argparse.BooleanOptionalAction, default=True)
    add("--ddpm-steps", type=int, default=100, help="steps of its chain")
    add("--seed", type=int, default=0, help="for weights and samples")
    add("--resume", action=argparse.BooleanOptionalAction, default=True)
    add("--logdir", type=pathlib.Path, help="(default: runs/walkback_<data>)")
    common.add_backend_argument(parser)
    arguments = parser.parse_args(argv)
    if arguments.filters is None:
        arguments.filters = FILTERS[arguments.data]
    if arguments.logdir is None:
        arguments.logdir = pathlib.Path(f"runs/walkback_{arguments.data}")
    return arguments


def load_images(arguments):
    """Training and test images of integers from 0 to 255."""
    if arguments.data == "digits":
        (train, _), (test, _) = datasets.sequential_digits()
        # 17 shades of gray.
        images = [
            np.round(15 * 16 * x).reshape(-1, 8, 8, 1) for x in (train, test)
        ]
    elif arguments.data == "mnist":
        (train, _), (test, _) = datasets.sequential_mnist(
            path=arguments.data_dir
        )
        images = [
            np.round(255 * x).reshape(-1, 28, 28, 1) for x in (train, test)
        ]
    else:
        x, _ = datasets.cifar10(path=arguments.data_dir)
        images = [x[:-256], x[-256:]]
    train, test = (x.astype("uint8") for x in images)
    train = train[: arguments.train_images]
    # Whole batches only, so that one program is compiled, not two.
    whole = len(train) // arguments.batch_size * arguments.batch_size
    return train[:whole], test[: arguments.test_images]


def build_network(arguments, shape, num_steps, learned_scale=False):
    if arguments.network == "mlp":
        return models.transition_mlp(
            shape,
            units=tuple(arguments.units),
            learned_scale=learned_scale,
            num_steps=num_steps,
        )
    return models.transition_unet(
        shape,
        filters=tuple(arguments.filters),
        learned_scale=learned_scale,
        num_steps=num_steps,
    )


def build_transition(arguments, shape):
    steps = arguments.num_steps if arguments.step_conditioning else None
    network = build_network(arguments, shape, steps, arguments.learned_scale)
    if arguments.learned_scale:
        return layers.GaussianTransition(
            network, min_scale=arguments.scale, num_steps=steps
        )
    return layers.GaussianTransition(
        network, scale=arguments.scale, num_steps=steps
    )


def jit_compile(arguments):
    """On CPUs, TensorFlow's convolutions are faster than XLA's."""
    return True if arguments.network == "mlp" else "auto"


def build_model(arguments, shape, updates):
    model = models.VariationalWalkback(
        build_transition(arguments, shape),
        arguments.num_steps,
        temperature_factor=arguments.temperature_factor,
        dequantize=True,
        steps_per_call=arguments.steps_per_call or "auto",
        seed=arguments.seed,
    )
    schedule = keras.optimizers.schedules.CosineDecay(
        arguments.learning_rate, updates
    )
    model.compile(
        keras.optimizers.Adam(schedule), jit_compile=jit_compile(arguments)
    )
    return model


def train(arguments, x, test):
    """Trains the chain; returns it and the seconds it took."""
    keras.utils.set_random_seed(arguments.seed)
    updates = arguments.epochs * (len(x) // arguments.batch_size)
    model = build_model(arguments, x.shape[1:], updates)
    model.build(x.shape)
    watch = diffusion.Stopwatch(arguments.logdir / diffusion.STOPWATCH)
    print(f"{len(x)} images, {model.count_params():,} parameters")
    model.fit(
        x,
        batch_size=arguments.batch_size,
        epochs=arguments.epochs,
        validation_data=(test,),
        validation_batch_size=arguments.batch_size,
        callbacks=[
            *common.tensorboard(arguments.logdir),
            watch,
            # Kept, so that a run killed later does not train again.
            callbacks.ExactResume(
                arguments.logdir / "backup", delete_checkpoint=False
            ),
        ],
    )
    model.save(arguments.logdir / "model.keras")
    return model, watch.seconds_of(updates)


def train_ddpm(arguments, x, seconds):
    """Trains a diffusion model with the same network for `seconds`."""
    keras.utils.set_random_seed(arguments.seed)
    network = build_network(arguments, x.shape[1:], arguments.ddpm_steps)
    model = diffusion.DDPM(network, arguments.ddpm_steps, arguments.seed)
    model.compile(
        keras.optimizers.Adam(1e-3), jit_compile=jit_compile(arguments)
    )
    stop = diffusion.StopAfter(seconds)
    model.fit(
        x / np.float32(127.5) - 1,
        batch_size=arguments.batch_size,
        epochs=100_000,
        verbose=0,
        callbacks=[stop],
    )
    return model, stop.steps


def from_ddpm(model, num):
    samples = model.sample(num, seed=0)
    return np.clip(np.round(127.5 * (samples + 1)), 0, 255).astype("uint8")


def distance(images, others):
    """Mean distance to the nearest of the others, with levels from 0 to 1."""
    a, b = (x.reshape(len(x), -1) / np.float32(255) for x in (images, others))
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return float(np.sqrt(np.maximum(squares, 0).min(1)).mean())


def draw(panels, path):
    """Draws grids of images side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(panels), 3.7), layout="tight")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, images) in zip(axes, panels.items(), strict=True):
        side = int(len(images) ** 0.5)
        height, width, channels = images.shape[1:]
        grid = images[: side**2].reshape(side, side, height, width, channels)
        grid = grid.transpose(0, 2, 1, 3, 4)
        grid = grid.reshape(side * height, side * width, channels)
        axis.imshow(grid.squeeze(), cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    figure.savefig(path, dpi=110)


def main():
    arguments = parse_arguments()
    settings = {
        key: value
        for key, value in vars(arguments).items()
        if key not in ("logdir", "resume", "data_dir")
    }
    if not arguments.resume:
        shutil.rmtree(arguments.logdir / "backup", ignore_errors=True)
        (arguments.logdir / diffusion.STOPWATCH).unlink(missing_ok=True)
    common.check_settings(arguments.logdir, settings, arguments.resume)
    x, test = load_images(arguments)
    model, seconds = train(arguments, x, test)

    seed = arguments.seed
    chain = model.sample(SHOWN, extra_steps=3, seed=seed)
    panels = {"data": x[:SHOWN], "Walkback": model.denoise(chain)}
    known = np.zeros(x.shape[1:], bool)
    known[: x.shape[1] // 2] = True
    filled = model.inpaint(test[:SHOWN], known, extra_steps=3, seed=seed)
    draw(
        {
            "test images": test[:SHOWN],
            "known": np.where(known, test[:SHOWN], 128).astype("uint8"),
            "filled in": np.where(known, filled, model.denoise(filled)),
        },
        arguments.logdir / "inpainting.png",
    )
    pixels = int(np.prod(x.shape[1:]))
    value, error = model.log_likelihood(test, 20, 64, return_error=True)
    error = float(np.sqrt(np.mean(error**2) / len(test)))
    samples = panels["Walkback"]
    result = {
        "log_likelihood": float(value.mean()),
        "log_likelihood_error": error,
        "bits_per_dimension": -float(value.mean()) / pixels / np.log(2),
        # As a density of gray levels from 0 to 1, as in papers of the time.
        "log_density": float(value.mean()) + pixels * float(np.log(256)),
        "training_seconds": seconds,
        "distance_to_test": {"data": distance(x[:SHOWN], test)},
    }
    result["distance_to_test"]["Walkback"] = distance(samples, test)
    if arguments.ddpm:
        ddpm, result["ddpm_updates"] = train_ddpm(arguments, x, seconds)
        panels["DDPM"] = from_ddpm(ddpm, SHOWN)
        result["distance_to_test"]["DDPM"] = distance(panels["DDPM"], test)
    draw(panels, arguments.logdir / "samples.png")
    path = arguments.logdir / "result.json"
    common.write_json(
        path,
        {
            "example": "walkback_images",
            "settings": settings,
            "result": result,
            "machine": common.describe_machine(),
        },
    )
    print(f"\nlog-likelihood: {result['log_likelihood']:.1f} nats (test)")
    print(f"bits a dimension: {result['bits_per_dimension']:.3f}")
    for title, value in result["distance_to_test"].items():
        print(f"distance to the nearest test image, {title}: {value:.3f}")
    print(f"Written to {path}")


if __name__ == "__main__":
    main()
