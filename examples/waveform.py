"""Generates spoken digits sample by sample, from the network's own samples.

A recording is a sequence of samples in 256 levels, spaced by the mu-law. A
recurrent network that knows the digit predicts the probability of each level.
It is trained in several ways (see `generators.py`). For each, the script writes
logs for TensorBoard, a WAV file of each digit, a picture of their spectrograms
and the trained generator. Results go to `result.json`. Run the same command
again to resume a killed run.

    python examples/waveform.py --data-dir data

`--data-dir` is the folder with `fsdd_8khz.npz`.

References:
    - Lamb et al., "Professor Forcing: A New Algorithm for Training Recurrent
      Networks", NeurIPS 2016, arXiv:1610.09038, section 4.4.
    - ITU-T Recommendation G.711: the mu-law.
    - Jackson et al., "Free Spoken Digit Dataset", doi:10.5281/zenodo.1342401.
"""

import argparse
import math
import pathlib

import common

common.select_backend()

import generators  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import sound  # noqa: E402

from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402
from keras_seqcredit import models  # noqa: E402
from keras_seqcredit.datasets.spoken_digits import SAMPLE_RATE  # noqa: E402

LEVELS = 256


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data-dir", required=True, help="folder of fsdd_8khz.npz")
    add("--downsample", type=int, default=2, help="factor from 8 kHz")
    add("--length", type=int, default=800, help="samples per sequence")
    add("--generate", type=int, default=2000, help="samples per sound")
    add("--train-recordings", type=int, default=2700)
    generators.add_arguments(
        parser,
        epochs=10,
        units=128,
        free_running_steps=200,
        ways=("teacher", "professor"),
        logdir=pathlib.Path("runs/waveform"),
    )
    return parser.parse_args()


def encode(x):
    """Levels of samples in [-1, 1], by the mu-law."""
    curve = np.sign(x) * np.log1p((LEVELS - 1) * np.abs(x)) / np.log(LEVELS)
    return np.clip((curve + 1) / 2 * LEVELS, 0, LEVELS - 1).astype("int32")


def decode(levels):
    """The samples at the centers of levels."""
    curve = 2 * (levels + 0.5) / LEVELS - 1
    return np.sign(curve) * (LEVELS ** np.abs(curve) - 1) / (LEVELS - 1)


def load_data(arguments):
    """Levels, digits and masks: train and test."""
    parts = datasets.spoken_digits(
        arguments.data_dir, arguments.downsample, arguments.length
    )
    random = np.random.default_rng(0)
    found = []
    for x, digits in parts:
        # Recordings are sorted by speaker.
        order = random.permutation(len(digits))[: arguments.train_recordings]
        # The mean of neighbors, to reduce aliasing.
        waves = x["sequences"].mean(axis=-1)
        found.append(
            {
                "sequences": encode(waves)[order],
                "conditions": digits[order],
                "mask": x["mask"][order],
            }
        )
    return found


def main() -> None:
    arguments = parse_arguments()
    data = load_data(arguments)
    rate = SAMPLE_RATE // arguments.downsample
    digits = np.arange(10, dtype="int32")
    x_test = data[1]
    which = [np.argmax(x_test["conditions"] == digit) for digit in digits]
    recorded = decode(x_test["sequences"][which])

    def make_generator(sampling_probability):
        return models.AutoregressiveRNN(
            keras.layers.GRUCell(arguments.units),
            layers.CategoricalHead(LEVELS, hidden_units=arguments.units),
            embedding=keras.layers.Embedding(LEVELS, 32),
            condition_network=keras.layers.Embedding(10, 16),
            sampling_probability=sampling_probability,
            seed=arguments.seed,
        )

    def listen(generator, figures, folder):
        samples = float(x_test["mask"].sum(axis=1).mean())
        figures["bits_per_sample"] = figures["nll"] / samples / math.log(2)
        waves = decode(
            generator.generate(
                length=arguments.generate,
                conditions=digits,
                seed=arguments.seed,
            )
        )
        for digit, samples in zip(digits, waves, strict=True):
            sound.write_wav(folder / f"{digit}.wav", samples, rate)
        rows = {"recorded": recorded, "generated": waves}
        sound.draw_spectrograms(folder / "spectrograms.png", rows, rate)

    generators.run(
        "waveform",
        make_generator,
        data,
        arguments,
        more=listen,
        samples={
            "length": arguments.generate,
            "conditions": digits,
            "sample_rate": rate,
            "decode": decode,
        },
        classes=x_test["conditions"][:32],
        columns={
            "bits per sample": lambda found: f"{found['bits_per_sample']:.3f}",
        },
    )


if __name__ == "__main__":
    main()
