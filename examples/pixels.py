"""Shared code of the binary image examples: pixels and pictures."""

import argparse
import pathlib

import numpy as np

from keras_seqcredit import datasets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the data flags."""
    parser.add_argument("--data-dir", help="folder of mnist.npz, for MNIST")
    parser.add_argument(
        "--binarize",
        choices=("threshold", "draw"),
        default="threshold",
        help="threshold pixels at a half, or draw them once by brightness",
    )
    parser.add_argument(
        "--pixels-per-step", type=int, default=1, help="a row, or part of one"
    )


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


def shape_of(image) -> tuple[int, int]:
    """Height and width of an image given as a sequence."""
    side = int(image.size**0.5)
    return side, side


def draw(path: pathlib.Path, rows: dict) -> None:
    """Draws one row of equally many images for each name."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    columns = len(next(iter(rows.values())))
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(0.8 * columns, 0.9 * len(rows)),
        layout="constrained",
    )
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            picture = image.reshape(shape_of(image))
            axis.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].set_ylabel(name, fontsize=7)
    figure.savefig(path, dpi=120)
    plt.close(figure)
