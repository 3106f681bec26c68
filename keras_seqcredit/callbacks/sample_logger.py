"""Samples of a model during training, as images, text and sound."""

import os
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_seqcredit.callbacks.pictures import new_figure
from keras_seqcredit.callbacks.pictures import picture_of
from keras_seqcredit.callbacks.view import View
from keras_seqcredit.callbacks.view import described
from keras_seqcredit.callbacks.view import generator_of
from keras_seqcredit.checks import check_integer
from keras_seqcredit.checks import check_number
from keras_seqcredit.checks import check_seed
from keras_seqcredit.checks import check_shape
from keras_seqcredit.checks import check_strings
from keras_seqcredit.layers.heads.bernoulli_head import BernoulliHead
from keras_seqcredit.layers.heads.pen_stroke_head import PenStrokeHead
from keras_seqcredit.models.autoregressive_rnn import AutoregressiveRNN
from keras_seqcredit.models.professor_forcing import ProfessorForcing
from keras_seqcredit.models.variational_walkback import VariationalWalkback
from keras_seqcredit.models.z_forcing import ZForcing
from keras_seqcredit.optional_import import import_optional

_SEQUENCE_MODELS = (AutoregressiveRNN, ProfessorForcing, ZForcing)


class SampleLogger(View):
    """Logs samples of a model after each epoch, always from the same noise.

    TensorBoard shows them according to their kind; its epochs count from 0:

    - with a `vocabulary`, text `samples/text`;
    - with a `sample_rate`, sounds `samples/audio_<number>` and an image
      `samples/spectrograms` of waves and spectrograms;
    - with an `image_shape`, or for a model of images, an image
      `samples/images`;
    - for a model with a `PenStrokeHead`, an image `samples/drawings`;
    - for a `VariationalWalkback` in the plane, an image `samples/points`;
    - otherwise, an image `samples/series` with a line for each feature; for a
      model of classes without a vocabulary, their numbers as text.

    Args:
        log_dir: TensorBoard's log directory.
        length: Positive integer, number of steps to draw, for a model of
            sequences. Defaults to `None`.
        num_samples: Positive integer, number of samples; with prompts or
            conditions, one is drawn for each. Defaults to `8`.
        prompt: The start of the sequences; see `generate` of the model.
            Defaults to `None`.
        conditions: Conditions of the samples; see `generate`. Defaults to
            `None`.
        temperature: Positive float; see `generate`. Defaults to `1.0`.
        vocabulary: Sequence of strings, the text of each class. Defaults to
            `None`.
        separator: String, placed between these texts. Defaults to `""`.
        sample_rate: Positive integer, audio samples per second. Steps with
            several features are frames of the sound. Sounds are floats from -1
            to 1. Defaults to `None`.
        image_shape: Tuple `(height, width)` or `(height, width, channels)`, for
            sequences of pixels or images given as vectors. Defaults to `None`.
        decode: Function of the samples, a NumPy array, that returns the data to
            show in their place, such as waves for mu-law codes. Defaults to
            `None`.
        seed: Integer, seed of the samples. Defaults to `0`.
        frequency: Positive integer, number of epochs between updates. Defaults
            to `1`.

    Raises:
        ImportError: if matplotlib or TensorBoard is not installed.
        ValueError: if an argument is invalid, or more than one kind is
            requested; at the start of training, if the model cannot be sampled.

    Example:

    ```python
    import keras
    import numpy as np

    from keras_seqcredit import callbacks
    from keras_seqcredit import layers
    from keras_seqcredit import models

    text = np.array([list("to be or not to be ")])
    vocabulary, codes = np.unique(text, return_inverse=True)
    x = np.repeat(codes.reshape(1, -1).astype("int32"), 32, axis=0)
    model = models.AutoregressiveRNN(
        keras.layers.GRUCell(16),
        layers.CategoricalHead(len(vocabulary)),
        keras.layers.Embedding(len(vocabulary), 8),
    )
    model.compile("adam")
    model.fit(
        x,
        callbacks=[
            callbacks.SampleLogger("logs", length=19, vocabulary=vocabulary)
        ],
    )
    ```
    """

    folder = "samples"
    shows = "samples of a model that can `generate` or `sample`"

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        length: int | None = None,
        num_samples: int = 8,
        prompt: Any = None,
        conditions: Any = None,
        temperature: float = 1.0,
        vocabulary: Sequence[str] | None = None,
        separator: str = "",
        sample_rate: int | None = None,
        image_shape: tuple[int, ...] | None = None,
        decode: Callable[[np.ndarray], np.ndarray] | None = None,
        seed: int = 0,
        frequency: int = 1,
    ) -> None:
        import_optional("matplotlib", "examples", "`SampleLogger`")
        super().__init__(log_dir, frequency)
        self.length = check_integer("length", length, optional=True)
        self.num_samples = check_integer("num_samples", num_samples)
        kinds = {
            "vocabulary": vocabulary,
            "sample_rate": sample_rate,
            "image_shape": image_shape,
        }
        given = [name for name, value in kinds.items() if value is not None]
        if len(given) > 1:
            raise ValueError(
                f"Expected at most one of {list(kinds)}, which say what the "
                f"samples are. Received: {given}"
            )
        self.prompt = prompt
        self.conditions = conditions
        self.temperature = check_number("temperature", temperature)
        self.vocabulary: list[str] | None = None
        if vocabulary is not None:
            self.vocabulary = check_strings("vocabulary", vocabulary)
        self.separator = separator
        self.sample_rate = check_integer(
            "sample_rate", sample_rate, optional=True
        )
        self.image_shape = image_shape
        if image_shape is not None:
            self.image_shape = check_shape("image_shape", image_shape, (2, 3))
        if not isinstance(separator, str):
            raise ValueError(
                "Expected `separator` to be a string. Received: "
                f"separator={separator!r}"
            )
        if decode is not None and not callable(decode):
            raise ValueError(
                "Expected `decode` to be a function or None. Received: "
                f"decode={decode!r}"
            )
        self.decode = decode
        self.seed = check_seed(seed, optional=False)

    @staticmethod
    def fits(model: keras.Model) -> bool:
        return isinstance(model, (*_SEQUENCE_MODELS, VariationalWalkback))

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        is_sequence = isinstance(model, _SEQUENCE_MODELS)
        if is_sequence != (self.length is not None):
            expected = "`length`, steps" if is_sequence else "no `length`"
            raise ValueError(
                f"Expected {expected} to draw of {described(model)}. "
                f"Received: length={self.length}"
            )

    def observe(self, epoch: int, logs: dict[str, Any]) -> tuple:
        samples = self.samples()
        return self._kind(samples), samples

    def samples(self) -> np.ndarray:
        """Returns decoded samples of the current model."""
        model: Any = self.model
        if isinstance(model, VariationalWalkback):
            samples = model.sample(self.num_samples, seed=self.seed)
        else:
            given = self.prompt is not None or self.conditions is not None
            samples = model.generate(
                length=self.length,
                num_samples=1 if given else self.num_samples,
                prompt=self.prompt,
                conditions=self.conditions,
                temperature=self.temperature,
                seed=self.seed,
            )
        return samples if self.decode is None else self.decode(samples)

    def _kind(self, samples: np.ndarray) -> str:
        if self.vocabulary is not None:
            return "text"
        if self.sample_rate is not None:
            return "audio"
        if self.image_shape is not None:
            return "images"
        if isinstance(self._head(), PenStrokeHead):
            return "drawings"
        if isinstance(self.model, VariationalWalkback):
            if samples.ndim > 2:
                return "images"
            if samples.shape[1] == 2:
                return "points"
        if samples.ndim == 2 and samples.dtype.kind in "iu":
            return "text"
        return "series"

    def _head(self) -> Any:
        return getattr(generator_of(self.model), "head", None)

    def write(self, epoch: int, *seen: Any) -> None:
        kind, samples = seen
        if kind == "text":
            self.writer.text("samples/text", self._text(samples), epoch)
            return
        rate = self.sample_rate
        if kind == "audio" and rate is not None:
            samples = samples.reshape(len(samples), -1)
            for number, wave in enumerate(samples):
                self.writer.audio(f"samples/audio_{number}", wave, rate, epoch)
            figure = _draw_sounds(samples, rate)
            self.writer.figure("samples/spectrograms", figure, epoch)
            return
        if kind == "images":
            shape = self.image_shape or samples.shape[1:]
            images = samples.reshape(len(samples), *shape)
            figure = _draw_images(images, self._brightest(samples))
        elif kind == "drawings":
            figure = _draw_strokes(samples)
        elif kind == "points":
            figure = _draw_points(samples)
        else:
            figure = _draw_series(samples)
        self.writer.figure(f"samples/{kind}", figure, epoch)

    def _brightest(self, samples: np.ndarray) -> float:
        levels = getattr(self._head(), "num_levels", None)
        if levels is not None:
            return levels - 1
        if isinstance(self._head(), BernoulliHead):
            return 1
        return 255 if samples.dtype.kind in "iu" else 1

    def _text(self, samples: np.ndarray) -> str:
        """Markdown that shows each sample verbatim."""
        texts = []
        for row in samples:
            if self.vocabulary is None:
                text = " ".join(map(str, row.ravel()))
            else:
                text = self.separator.join(
                    str(self.vocabulary[code]) for code in row.ravel()
                )
            texts.append("    " + text.replace("\n", "\n    "))
        return "\n\n---\n\n".join(texts)


def _axes(number: int, width: float, height: float, rows: int = 1) -> Any:
    """A figure with `rows` axes per sample, column by column."""
    columns = min(number, 8)
    lines = -(-number // columns)
    figure = new_figure("SampleLogger", width * columns, height * lines * rows)
    axes = figure.subplots(lines * rows, columns, squeeze=False)
    cells = axes.reshape(lines, rows, columns).swapaxes(1, 2)
    cells = cells.reshape(-1, rows)
    for axis in cells[number:].ravel():
        axis.set_visible(False)
    return figure, cells[:number]


def _draw_images(images: np.ndarray, high: float) -> Any:
    figure, cells = _axes(len(images), 1.2, 1.2)
    for (axis,), image in zip(cells, images, strict=True):
        axis.imshow(picture_of(image, high), cmap="gray", vmin=0, vmax=1)
        axis.set_xticks([])
        axis.set_yticks([])
    return figure


def _draw_strokes(samples: np.ndarray) -> Any:
    figure, cells = _axes(len(samples), 1.6, 1.6)
    for (axis,), points in zip(cells, samples, strict=True):
        places = np.cumsum(points[:, :2], axis=0)
        ends = np.flatnonzero(points[:, 2] > 0.5) + 1
        for stroke in np.split(places, ends):
            is_dot = len(stroke) == 1
            axis.plot(*stroke.T, "k." if is_dot else "k-", linewidth=1.2)
        axis.set_aspect("equal", adjustable="datalim")
        axis.set_xticks([])
        axis.set_yticks([])
    return figure


def _draw_points(samples: np.ndarray) -> Any:
    figure, [(axis,)] = _axes(1, 4, 4)
    axis.plot(*samples.T, ".", markersize=3, alpha=0.6)
    axis.set_aspect("equal", adjustable="datalim")
    return figure


def _draw_series(samples: np.ndarray) -> Any:
    figure, cells = _axes(len(samples), 2.2, 1.6)
    for (axis,), series in zip(cells, samples, strict=True):
        axis.plot(series.reshape(len(series), -1), linewidth=0.8)
        axis.tick_params(labelsize=6)
    return figure


def _draw_sounds(waves: np.ndarray, sample_rate: int) -> Any:
    figure, cells = _axes(len(waves), 2.2, 1.5, rows=2)
    seconds = np.arange(waves.shape[1]) / sample_rate
    width = 2 ** int(np.log2(max(16, sample_rate / 60)))
    for (top, bottom), wave in zip(cells, waves, strict=True):
        top.plot(seconds, wave, linewidth=0.4)
        top.set_ylim(-1, 1)
        if len(wave) >= width:
            # Silence has no logarithm.
            noise = np.random.default_rng(0).normal(size=wave.shape)
            bottom.specgram(
                wave + 1e-5 * noise,
                NFFT=width,
                noverlap=3 * width // 4,
                Fs=sample_rate,
                vmin=-150,
                vmax=-40,
            )
        bottom.set_xlabel("seconds", fontsize=6)
        for axis in (top, bottom):
            axis.tick_params(labelsize=5)
    cells[0][0].set_ylabel("wave", fontsize=6)
    cells[0][1].set_ylabel("Hz", fontsize=6)
    return figure
