"""Generates binary images, pixel by pixel, from the network's own samples.

Uses scikit-learn's digits of 8 x 8 pixels by default, or MNIST with
`--data-dir`. A recurrent network predicts the probability that the next pixel
is set. It is trained in several ways (see `generators.py`). For each, the
script writes logs for TensorBoard, a picture of generated images, and the
trained generator. `result.json` has the results: nats per image, the gap
between free runs and runs on data, and the maximum mean discrepancy between
generated images and the test set. Run the same command again to resume a killed
run.

    python examples/sequential_mnist_professor.py
    python examples/sequential_mnist_professor.py --data-dir data

`--data-dir` is the folder with `mnist.npz`.

References:
    - Lamb et al., "Professor Forcing: A New Algorithm for Training Recurrent
      Networks", NeurIPS 2016, arXiv:1610.09038, section 4.2.
"""

import argparse
import pathlib

import common

common.select_backend()

import generators  # noqa: E402
import keras  # noqa: E402
import pixels  # noqa: E402

from keras_seqcredit import layers  # noqa: E402
from keras_seqcredit import models  # noqa: E402
from keras_seqcredit.metrics import mean_discrepancy  # noqa: E402

COLUMNS = 10


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    pixels.add_arguments(parser)
    generators.add_arguments(
        parser,
        epochs=40,
        units=64,
        learning_rate=3e-3,
        discriminator_learning_rate=1e-2,
        logdir=pathlib.Path("runs/sequential_mnist_professor"),
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    data = pixels.load_data(arguments)
    x_test = data[1]
    steps = x_test.shape[1]
    given = x_test[:COLUMNS]

    def make_generator(sampling_probability):
        return models.AutoregressiveRNN(
            keras.layers.GRUCell(arguments.units),
            layers.BernoulliHead(
                arguments.pixels_per_step, hidden_units=arguments.units
            ),
            sampling_probability=sampling_probability,
            seed=arguments.seed,
        )

    def look(generator, figures, folder):
        drawn = generator.generate(
            length=steps, num_samples=len(x_test), seed=arguments.seed
        )
        figures["image_discrepancy"] = float(
            mean_discrepancy(
                x_test.reshape(len(x_test), 1, -1),
                drawn.reshape(len(x_test), 1, -1),
            )
        )
        rows = {
            "data": given,
            "generated": drawn[:COLUMNS],
            "first half\ngiven": generator.generate(
                length=steps, prompt=given[:, : steps // 2], seed=arguments.seed
            ),
        }
        pixels.draw(folder / "images.png", rows)

    generators.run(
        "sequential_mnist_professor",
        make_generator,
        data,
        arguments,
        more=look,
        samples={"length": steps, "image_shape": pixels.shape_of(x_test[0])},
        image_shape=pixels.shape_of(x_test[0]),
        columns={
            "images": lambda found: f"{found['image_discrepancy']:.4f}",
        },
    )


if __name__ == "__main__":
    main()
