"""Generates pen drawings of characters, from the network's own strokes.

The data are Omniglot drawings as sequences of pen points. A recurrent network
that knows the character predicts the density of the next point, a mixture of
bivariate normal distributions, and the probability that the pen is lifted. It
is trained in several ways (see `generators.py`). For each, the script writes
logs for TensorBoard, drawings as `drawings.svg` and `drawings.png`, and the
trained generator. Results go to `result.json`. Run the same command again to
resume a killed run.

    python examples/handwriting.py --data-dir data

`--data-dir` is the folder with `omniglot_pen_raw.npz`. The people who drew the
test set are not those who drew the training set.

References:
    - Graves, "Generating Sequences With Recurrent Neural Networks", 2013,
      arXiv:1308.0850, section 4.
    - Lamb et al., "Professor Forcing: A New Algorithm for Training Recurrent
      Networks", NeurIPS 2016, arXiv:1610.09038, section 4.3.
"""

import argparse
import pathlib

import common

common.select_backend()

import generators  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402
from keras_seqcredit import models  # noqa: E402

COLUMNS = 13
# The point after the last moves less than this; the others' mean square is 1.
STAYS = 0.25


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data-dir", required=True, help="folder of omniglot_pen_raw.npz")
    add("--alphabets", nargs="+", default=["Latin"], help="from Omniglot")
    add("--max-points", type=int, default=40, help="per drawing")
    add("--num-components", type=int, default=10, help="for the mixture")
    add("--temperature", type=float, default=0.5, help="for the drawings")
    generators.add_arguments(
        parser,
        epochs=100,
        units=128,
        learning_rate=3e-3,
        logdir=pathlib.Path("runs/handwriting"),
    )
    return parser.parse_args()


def load_data(arguments):
    """Drawings with their characters: train and test.

    Padding becomes one more point, which does not move and ends a stroke. It
    teaches a network when a drawing is done.
    """
    found = []
    for x, characters in datasets.pen_strokes(
        arguments.data_dir, arguments.alphabets, arguments.max_points
    ):
        mask = x["mask"]
        # The first padded point counts; later ones do not.
        counts = np.pad(mask, [(0, 0), (1, 0)], constant_values=True)[:, :-1]
        sequences = x["sequences"].copy()
        sequences[~mask] = [0, 0, 1]
        found.append(
            {
                "sequences": sequences,
                "conditions": characters,
                "mask": counts,
            }
        )
    return found


def strokes_of(points):
    """The lines of a drawing: a list of arrays `(points, 2)`."""
    pen = points[:, 2] > 0.5
    stays = np.linalg.norm(points[:, :2], axis=1) < STAYS
    (ends,) = np.nonzero(pen & stays)
    end = ends[0] if len(ends) else len(points)
    places = np.cumsum(points[:end, :2], axis=0)
    lines = np.split(places, np.flatnonzero(pen[:end]) + 1)
    return [line for line in lines if len(line)]


def draw(folder: pathlib.Path, rows: dict) -> None:
    """Draws one row of drawings for each name."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(rows),
        COLUMNS,
        figsize=(0.9 * COLUMNS, len(rows)),
        layout="constrained",
        squeeze=False,
    )
    for line, (name, drawings) in zip(axes, rows.items(), strict=True):
        for axis, points in zip(line, drawings, strict=False):
            for stroke in strokes_of(points):
                is_dot = len(stroke) == 1
                axis.plot(*stroke.T, "k." if is_dot else "k-", linewidth=1.2)
        for axis in line:
            axis.set_aspect("equal", adjustable="datalim")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_frame_on(False)
        line[0].set_ylabel(name, fontsize=8)
    for suffix in ("png", "svg"):
        figure.savefig(folder / f"drawings.{suffix}", dpi=120)
    plt.close(figure)


def main() -> None:
    arguments = parse_arguments()
    data = load_data(arguments)
    x, x_test = data
    number = int(x["conditions"].max()) + 1
    characters = np.arange(COLUMNS, dtype="int32") % number
    recorded = [
        x_test["sequences"][np.argmax(x_test["conditions"] == character)]
        for character in characters
    ]

    def make_generator(sampling_probability):
        return models.AutoregressiveRNN(
            keras.layers.LSTMCell(arguments.units),
            # Limited because the point that ends a drawing is always the same.
            layers.PenStrokeHead(
                arguments.num_components, clip_log_variance=5.0
            ),
            condition_network=keras.layers.Embedding(number, 32),
            sampling_probability=sampling_probability,
            seed=arguments.seed,
        )

    def look(generator, figures, folder):
        points = float(x_test["mask"].sum(axis=1).mean())
        figures["nats_per_point"] = figures["nll"] / points
        rows = {"a person": recorded}
        for temperature in (1.0, arguments.temperature):
            rows[f"temperature\n{temperature:g}"] = generator.generate(
                length=x["sequences"].shape[1],
                conditions=characters,
                temperature=temperature,
                seed=arguments.seed,
            )
        draw(folder, rows)

    generators.run(
        "handwriting",
        make_generator,
        data,
        arguments,
        more=look,
        samples={
            "length": x["sequences"].shape[1],
            "conditions": characters,
            "temperature": arguments.temperature,
        },
        columns={
            "nats per point": lambda found: f"{found['nats_per_point']:.3f}",
        },
    )


if __name__ == "__main__":
    main()
