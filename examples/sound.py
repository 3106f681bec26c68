"""Shared code of the speech examples: sounds as files and pictures."""

import pathlib

import numpy as np

from keras_seqcredit.callbacks.summary_writer import wav
from keras_seqcredit.datasets.spoken_digits import SAMPLE_RATE


def write_wav(
    path: pathlib.Path, samples: np.ndarray, rate: int = SAMPLE_RATE
) -> None:
    """Writes samples in [-1, 1], `rate` per second."""
    path.write_bytes(wav(samples, rate))


def draw_spectrograms(
    path: pathlib.Path, rows: dict, rate: int = SAMPLE_RATE
) -> None:
    """Draws one row of spectrograms for each name."""
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
                Fs=rate / 1000,
                vmin=-120,
                vmax=-30,
            )
    for axis in axes[-1]:
        axis.set_xlabel("time (ms)")
    figure.savefig(path, dpi=100)
    plt.close(figure)
