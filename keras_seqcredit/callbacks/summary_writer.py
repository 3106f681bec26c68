"""Writes summaries for TensorBoard, with or without TensorFlow."""

import importlib
import io
import os
import pathlib
import time
import wave
from typing import Any

import numpy as np

from keras_seqcredit.optional_import import import_optional

USER = "Writing summaries"
_PROTOS = "tensorboard.compat.proto."


class SummaryWriter:
    """Writes event files with TensorBoard's own records.

    The file is opened at the first summary and flushed to disk after each one,
    so that every disk error reaches the caller as an `OSError`.

    A run that starts at step 0 never writes to a folder with summaries of
    another run; it uses `<log_dir>-2` and so on instead. A run that starts
    later continues the newest of them: TensorBoard drops earlier summaries for
    the same steps.

    Args:
        log_dir: The folder of the event files.

    Raises:
        ImportError: if TensorBoard is not installed.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        self.log_dir = pathlib.Path(log_dir)
        self._base = self.log_dir
        self._events = import_optional(_PROTOS + "event_pb2", "examples", USER)
        self._summaries = importlib.import_module(_PROTOS + "summary_pb2")
        self._records = importlib.import_module(
            "tensorboard.summary.writer.record_writer"
        )
        self._writer: Any = None

    def open(self, first_step: int = 0) -> None:
        """Chooses the folder, `log_dir`, and creates it, if none is open.

        Args:
            first_step: Integer, the first step of the run. Defaults to `0`.

        Raises:
            OSError: if the file cannot be written.
        """
        if self._writer is not None:
            return
        number = 1
        folder = following = self._base
        while _has_events(following):
            number += 1
            folder = following
            following = self._base.with_name(f"{self._base.name}-{number}")
        goes_on = first_step > 0 and number > 1
        self.log_dir = folder if goes_on else following
        self.log_dir.mkdir(parents=True, exist_ok=True)
        # TensorBoard looks for "tfevents".
        name = f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
        file = (self.log_dir / name).open("xb")
        self._writer = self._records.RecordWriter(file)
        self._write(file_version="brain.Event:2")
        if goes_on:
            start = self._events.SessionLog(
                status=self._events.SessionLog.START
            )
            self._write(step=first_step, session_log=start)

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Writes a number.

        Args:
            tag: String, the name of the summary, as in all methods.
            value: Float.
            step: Integer, the position on the time axis, as in all methods.

        Raises:
            OSError: if the file cannot be written, as in all methods.
        """
        self._add(step, tag=tag, simple_value=float(value))

    def figure(self, tag: str, figure: Any, step: int) -> bytes:
        """Writes a `matplotlib.figure.Figure` and returns it as PNG."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
        png = buffer.getvalue()
        width, height = (int.from_bytes(png[i : i + 4]) for i in (16, 20))
        image = self._summaries.Summary.Image(
            width=width,
            height=height,
            colorspace=4,  # RGB and transparency.
            encoded_image_string=png,
        )
        self._add(step, tag=tag, image=image)
        return png

    def audio(
        self, tag: str, samples: np.ndarray, sample_rate: int, step: int
    ) -> None:
        """Writes one sound, `samples (time,)` from -1 to 1."""
        audio = self._summaries.Summary.Audio(
            sample_rate=sample_rate,
            num_channels=1,
            length_frames=len(samples),
            encoded_audio_string=wav(samples, sample_rate),
            content_type="audio/wav",
        )
        self._add(step, tag=tag, audio=audio)

    def text(self, tag: str, text: str, step: int) -> None:
        """Writes text, which TensorBoard renders as Markdown."""
        self._string(tag, text, "text", step)

    def json(self, tag: str, document: str, step: int) -> None:
        """Writes a document for the "Credit" tab."""
        self._string(tag, document, "credit", step)

    def proto(self, summary: Any, step: int = 0) -> None:
        """Writes an existing `Summary`."""
        self._write(step=step, summary=summary)

    def close(self) -> None:
        """Closes the file. The next summary opens another one."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _string(self, tag: str, text: str, plugin: str, step: int) -> None:
        tensors = importlib.import_module("tensorboard.util.tensor_util")
        data = self._summaries.SummaryMetadata.PluginData(plugin_name=plugin)
        metadata = self._summaries.SummaryMetadata(
            plugin_data=data,
            data_class=self._summaries.DATA_CLASS_TENSOR,
        )
        tensor = tensors.make_tensor_proto(
            np.array(text.encode("utf-8"), dtype=object)
        )
        self._add(step, tag=tag, tensor=tensor, metadata=metadata)

    def _add(self, step: int, **fields: Any) -> None:
        value = self._summaries.Summary.Value(**fields)
        self._write(step=step, summary=self._summaries.Summary(value=[value]))

    def _write(self, **fields: Any) -> None:
        self.open()
        event = self._events.Event(wall_time=time.time(), **fields)
        self._writer.write(event.SerializeToString())
        self._writer.flush()


def wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """A 16-bit WAV file of `samples (time,)` from -1 to 1."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        whole = np.round(np.clip(samples, -1, 1) * 32767)
        file.writeframes(whole.astype("<i2").tobytes())
    return buffer.getvalue()


def _has_events(folder: pathlib.Path) -> bool:
    return any(folder.glob("events.out.tfevents.*"))
