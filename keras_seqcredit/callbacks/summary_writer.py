"""Writes summaries for TensorBoard, with or without TensorFlow."""

import os
import pathlib
import time
from typing import Any

from keras_seqcredit.utils.optional_import import import_optional

USER = "Writing summaries"


class SummaryWriter:
    """Writes one event file, with TensorBoard's own records.

    The file is opened at the first summary and written to disk after each, so
    that every error of the disk reaches the caller as an `OSError`.

    Args:
        log_dir: The folder of the event file.

    Raises:
        ImportError: if TensorBoard is not installed.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        self.log_dir = pathlib.Path(log_dir)
        self._events = import_optional(
            "tensorboard.compat.proto.event_pb2", "examples", USER
        )
        self._summaries = import_optional(
            "tensorboard.compat.proto.summary_pb2", "examples", USER
        )
        self._records = import_optional(
            "tensorboard.summary.writer.record_writer", "examples", USER
        )
        self._writer: Any = None

    def image(
        self, tag: str, png: bytes, width: int, height: int, step: int
    ) -> None:
        """Writes a picture.

        Args:
            tag: String, the name of the picture.
            png: Bytes, the picture as PNG.
            width: Integer, in pixels.
            height: Integer, in pixels.
            step: Integer, the place on the time axis.

        Raises:
            OSError: if the file cannot be written.
        """
        image = self._summaries.Summary.Image(
            width=width,
            height=height,
            colorspace=4,  # RGB and transparency.
            encoded_image_string=png,
        )
        value = self._summaries.Summary.Value(tag=tag, image=image)
        summary = self._summaries.Summary(value=[value])
        self._write(step=step, summary=summary)

    def close(self) -> None:
        """Closes the file. A further summary opens another one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, **fields: Any) -> None:
        if self._writer is None:
            self.log_dir.mkdir(parents=True, exist_ok=True)
            # "tfevents" is what TensorBoard looks for.
            name = f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
            file = (self.log_dir / name).open("xb")
            self._writer = self._records.RecordWriter(file)
            self._write(file_version="brain.Event:2")
        event = self._events.Event(wall_time=time.time(), **fields)
        self._writer.write(event.SerializeToString())
        self._writer.flush()
