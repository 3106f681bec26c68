"""Spoken digits as raw samples: a generative model whose latents stay alive.

A recording is a sequence of frames of 200 samples at 8 kHz. Each frame is drawn
from a Gaussian, or a mixture of some, whose parameters a recurrent net with
latent variables gives. The net is trained in several ways, see `z_forcing.py`;
each gets its logs for TensorBoard, generated speech as WAV files, a picture of
its spectrograms and the trained model. The figures go to `result.json`. A run
that was killed goes on where it was, by the same command.

    python examples/speech_z_forcing.py --data-dir data

`--data-dir` is the folder of `fsdd_8khz.npz`.

References:
    - Goyal et al., "Z-Forcing: Training Stochastic Recurrent Networks", NeurIPS
      2017, arXiv:1711.05411, section 5.1.
    - Jackson et al., "Free Spoken Digit Dataset", doi:10.5281/zenodo.1342401.
"""

import argparse
import pathlib
import wave

import common

common.select_backend()

import numpy as np  # noqa: E402
import z_forcing  # noqa: E402

from keras_seqcredit import datasets  # noqa: E402
from keras_seqcredit import layers  # noqa: E402
from keras_seqcredit.datasets.spoken_digits import SAMPLE_RATE  # noqa: E402


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data-dir", required=True, help="of fsdd_8khz.npz")
    parser.add_argument(
        "--head", choices=("gaussian", "mixture"), default="gaussian"
    )
    parser.add_argument("--num-components", type=int, default=10)
    parser.add_argument("--frame-size", type=int, default=200)
    parser.add_argument("--max-frames", type=int, default=28)
    parser.add_argument("--num-samples", type=int, default=6, help="to hear")
    parser.add_argument(
        "--temperatures",
        type=float,
        nargs="+",
        default=[1.0, 0.01],
        help="of the samples within a frame; near 0, its mean",
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
    """Recordings with a standard deviation of 1, and that of the samples."""
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


def write_wav(path: pathlib.Path, samples: np.ndarray) -> None:
    """Writes samples in [-1, 1]."""
    samples = np.clip(np.round(samples * 32767), -32768, 32767)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def draw_spectrograms(path: pathlib.Path, rows: dict) -> None:
    """One row of spectrograms for each name."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    columns = max(map(len, rows.values()))
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(2.2 * columns, 2.2 * len(rows)),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for line, (name, waves) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(f"{name}\nfrequency (kHz)")
        for axis, samples in zip(line, waves, strict=False):
            # Silence has no logarithm.
            samples = samples + 1e-5 * np.random.default_rng(0).normal(
                size=samples.shape
            )
            axis.specgram(
                samples,
                NFFT=128,
                noverlap=96,
                Fs=SAMPLE_RATE / 1000,
                vmin=-120,
                vmax=-30,
            )
    for axis in axes[-1]:
        axis.set_xlabel("time (ms)")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    arguments = parse_arguments()
    data, scale = load_data(arguments)
    number = arguments.num_samples
    recorded = data[1]["sequences"][:: len(data[1]["mask"]) // number][:number]

    def listen(model, figures, folder):
        rows = {"recorded": scale * recorded.reshape(number, -1)}
        for temperature in arguments.temperatures:
            frames = model.generate(
                arguments.max_frames,
                number,
                temperature=temperature,
                seed=arguments.seed,
            )
            waves = scale * frames.reshape(number, -1)
            rows[f"temperature {temperature:g}"] = waves
            for i, samples in enumerate(waves):
                write_wav(folder / f"{temperature:g}_{i}.wav", samples)
        draw_spectrograms(folder / "spectrograms.png", rows)

    z_forcing.run(
        "speech_z_forcing",
        lambda: make_head(arguments),
        data,
        arguments,
        more=listen,
    )


if __name__ == "__main__":
    main()
