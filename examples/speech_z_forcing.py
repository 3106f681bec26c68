"""Spoken digits as raw samples: a generative model whose latents stay alive.

A recording is a sequence of frames of 200 samples at 8 kHz. Each frame is drawn
from a Gaussian, or a mixture of Gaussians, whose parameters are predicted by a
recurrent network with latent variables. The network is trained in several ways
(see `z_forcing.py`). For each, the script writes logs for TensorBoard,
generated speech as WAV files, a picture of its spectrograms and the trained
model. Results go to `result.json`. Run the same command again to resume a
killed run.

    python examples/speech_z_forcing.py --data-dir data

`--data-dir` is the folder with `fsdd_8khz.npz`.

References:
    - Goyal et al., "Z-Forcing: Training Stochastic Recurrent Networks", NeurIPS
      2017, arXiv:1711.05411, section 5.1.
    - Jackson et al., "Free Spoken Digit Dataset", doi:10.5281/zenodo.1342401.
"""

import argparse
import pathlib

import common

common.select_backend()

import numpy as np  # noqa: E402
import sound  # noqa: E402
import z_forcing  # noqa: E402

from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--data-dir", required=True, help="folder of fsdd_8khz.npz"
    )
    parser.add_argument(
        "--head", choices=("gaussian", "mixture"), default="gaussian"
    )
    parser.add_argument("--num-components", type=int, default=10)
    parser.add_argument("--frame-size", type=int, default=200)
    parser.add_argument("--max-frames", type=int, default=28)
    parser.add_argument(
        "--num-samples", type=int, default=6, help="to listen to"
    )
    parser.add_argument(
        "--temperatures",
        type=float,
        nargs="+",
        default=[1.0, 0.01],
        help="for samples within a frame; near 0, they are its mean",
    )
    z_forcing.add_arguments(
        parser,
        epochs=15,
        units=128,
        latent_dim=32,
        auxiliary_weight=0.01,
        logdir=pathlib.Path("runs/speech_z_forcing"),
    )
    return parser.parse_args()


def load_data(arguments):
    """Recordings with a standard deviation of 1, and the samples' own."""
    (x, _), (x_test, _) = datasets.spoken_digits(
        arguments.data_dir, arguments.frame_size, arguments.max_frames
    )
    scale = float(x["sequences"][x["mask"]].std())
    for part in (x, x_test):
        part["sequences"] = part["sequences"] / np.float32(scale)
    return (x, x_test), scale


def make_head(arguments):
    if arguments.head == "gaussian":
        return layers.GaussianHead(arguments.frame_size, arguments.units)
    return layers.GaussianMixtureHead(
        arguments.frame_size,
        num_components=arguments.num_components,
        hidden_units=arguments.units,
    )


def main() -> None:
    arguments = parse_arguments()
    data, scale = load_data(arguments)
    number = arguments.num_samples
    recorded = data[1]["sequences"][:: len(data[1]["mask"]) // number][:number]

    def listen(model, figures, folder):
        rows = {"recorded": scale * recorded.reshape(number, -1)}
        for temperature in arguments.temperatures:
            frames = model.generate(
                length=arguments.max_frames,
                num_samples=number,
                temperature=temperature,
                seed=arguments.seed,
            )
            waves = scale * frames.reshape(number, -1)
            rows[f"temperature {temperature:g}"] = waves
            for i, samples in enumerate(waves):
                sound.write_wav(folder / f"{temperature:g}_{i}.wav", samples)
        sound.draw_spectrograms(folder / "spectrograms.png", rows)

    z_forcing.run(
        "speech_z_forcing",
        lambda: make_head(arguments),
        data,
        arguments,
        {
            "length": arguments.max_frames,
            "num_samples": number,
            "sample_rate": sound.SAMPLE_RATE,
            "decode": lambda frames: scale * frames,
        },
        more=listen,
    )


if __name__ == "__main__":
    main()
