"""Binary images, pixel by pixel: the likelihood of handwriting in nats.

Scikit-learn's digits of 8 x 8 pixels by default, MNIST with `--data-dir`. A
recurrent net with latent variables gives the probability that the next pixel is
set. It is trained in several ways, see `z_forcing.py`; each gets its logs for
TensorBoard, a picture of images that it draws, reconstructs and goes through
between two others, and the trained model. The figures go to `result.json`. A
run that was killed goes on where it was, by the same command.

    python examples/sequential_mnist_z_forcing.py
    python examples/sequential_mnist_z_forcing.py --data-dir data

`--data-dir` is the folder of `mnist.npz`. Published figures of binary MNIST are
of pixels drawn with their grey level as the probability.

References:
    - Goyal et al., "Z-Forcing: Training Stochastic Recurrent Networks", NeurIPS
      2017, arXiv:1711.05411, section 5.2.
"""

import argparse
import pathlib

import common

common.select_backend()

import numpy as np  # noqa: E402
import z_forcing  # noqa: E402

from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402

COLUMNS = 10


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data-dir", help="of mnist.npz: MNIST instead")
    parser.add_argument(
        "--binarize",
        choices=("threshold", "draw"),
        default="threshold",
        help="pixels brighter than a half, or drawn once by their brightness",
    )
    parser.add_argument(
        "--pixels-per-step", type=int, default=1, help="a row, or part of one"
    )
    z_forcing.add_arguments(
        parser,
        epochs=60,
        units=64,
        latent_dim=8,
        learning_rate=3e-3,
        auxiliary_weight=0.05,
        logdir=pathlib.Path("runs/sequential_mnist_z_forcing"),
    )
    return parser.parse_args()


def load_data(arguments):
    """Binary sequences `(images, steps, pixels)`: train and test."""
    if arguments.data_dir is None:
        parts = datasets.sequential_digits()
    else:
        parts = datasets.sequential_mnist(path=arguments.data_dir)
    random = np.random.default_rng(0)
    binary = []
    for x, _ in parts:
        at = random.random(x.shape) if arguments.binarize == "draw" else 0.5
        x = (x > at).astype("float32")
        binary.append(x.reshape(len(x), -1, arguments.pixels_per_step))
    return tuple(binary)


def draw(path: pathlib.Path, rows: dict) -> None:
    """One row of images for each name."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(rows),
        COLUMNS,
        figsize=(0.8 * COLUMNS, 0.9 * len(rows)),
        layout="constrained",
    )
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            side = int(image.size**0.5)
            axis.imshow(
                image.reshape(side, side), cmap="gray_r", vmin=0, vmax=1
            )
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].set_ylabel(name, fontsize=7)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    arguments = parse_arguments()
    data = load_data(arguments)
    given = data[1][:COLUMNS]

    def look(model, figures, folder):
        steps = given.shape[1]
        rows = {
            "data": given,
            "generated": model.generate(steps, COLUMNS, seed=arguments.seed),
            "first half\ngiven": model.generate(
                steps, prompt=given[:, : steps // 2], seed=arguments.seed
            ),
            "from latents": model.decode(model.encode(given)),
            "between two": model.interpolate(given[0], given[-1], COLUMNS),
        }
        draw(folder / "images.png", rows)

    z_forcing.run(
        "sequential_mnist_z_forcing",
        lambda: layers.BernoulliHead(
            arguments.pixels_per_step, hidden_units=arguments.units
        ),
        data,
        arguments,
        more=look,
    )


if __name__ == "__main__":
    main()
