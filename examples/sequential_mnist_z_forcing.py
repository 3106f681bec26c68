"""Binary images, pixel by pixel: the likelihood of handwriting in nats.

Uses scikit-learn's digits of 8 x 8 pixels by default, or MNIST with
`--data-dir`. A recurrent network with latent variables predicts the probability
that the next pixel is set. It is trained in several ways (see `z_forcing.py`).
For each, the script writes logs for TensorBoard, a picture of generated,
reconstructed and interpolated images, and the trained model. Results go to
`result.json`. Run the same command again to resume a killed run.

    python examples/sequential_mnist_z_forcing.py
    python examples/sequential_mnist_z_forcing.py --data-dir data

`--data-dir` is the folder with `mnist.npz`. Published results on binary MNIST
use pixels drawn with their gray level as the probability.

References:
    - Goyal et al., "Z-Forcing: Training Stochastic Recurrent Networks", NeurIPS
      2017, arXiv:1711.05411, section 5.2.
"""

import argparse
import pathlib

import common

common.select_backend()

import pixels  # noqa: E402
import z_forcing  # noqa: E402

from keras_seqcredit import layers  # noqa: E402

COLUMNS = 10


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    pixels.add_arguments(parser)
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


def main() -> None:
    arguments = parse_arguments()
    data = pixels.load_data(arguments)
    given = data[1][:COLUMNS]

    def look(model, figures, folder):
        steps = given.shape[1]
        rows = {
            "data": given,
            "generated": model.generate(
                length=steps, num_samples=COLUMNS, seed=arguments.seed
            ),
            "first half\ngiven": model.generate(
                length=steps, prompt=given[:, : steps // 2], seed=arguments.seed
            ),
            "from latents": model.decode(model.encode(given)),
            "between two": model.interpolate(
                given[0], given[-1], steps=COLUMNS
            ),
        }
        pixels.draw(folder / "images.png", rows)

    z_forcing.run(
        "sequential_mnist_z_forcing",
        lambda: layers.BernoulliHead(
            arguments.pixels_per_step, hidden_units=arguments.units
        ),
        data,
        arguments,
        {"length": given.shape[1], "image_shape": pixels.shape_of(given[0])},
        more=look,
    )


if __name__ == "__main__":
    main()
