"""Files for TensorBoard's "Projector" tab."""

import io
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_seqcredit.optional_import import import_optional

# The file that TensorBoard looks for in the folder of a run.
CONFIG = "projector_config.pbtxt"
# Some browsers cannot draw larger ones.
_LARGEST_SPRITE = 8192


def write_projector_files(
    folder: pathlib.Path,
    name: str,
    points: np.ndarray,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    thumbnails: np.ndarray | None = None,
) -> None:
    """Writes points with their metadata and thumbnails.

    Args:
        folder: Folder of a run that also has summaries; otherwise, TensorBoard
            would not look for these files. Older ones are replaced.
        name: String, name of the points.
        points: `(points, features)`.
        columns: Names of the metadata of a point, at least two.
        rows: As many values for each point.
        thumbnails: `(points, height, width)` from 0 to 1, or None. Defaults to
            `None`.

    Raises:
        OSError: if a file cannot be written.
    """
    config = import_optional(
        "tensorboard.plugins.projector.projector_config_pb2",
        "examples",
        "The projector",
    ).ProjectorConfig()
    text_format = import_optional(
        "google.protobuf.text_format", "examples", "The projector"
    )
    embedding = config.embeddings.add()
    embedding.tensor_name = name
    embedding.tensor_path = "points.tsv"
    embedding.metadata_path = "metadata.tsv"
    lines = io.StringIO()
    np.savetxt(lines, points, fmt="%.6g", delimiter="\t")
    _replace(folder / "points.tsv", lines.getvalue().encode())
    table = [
        "\t".join(_cell(value) for value in row) for row in (columns, *rows)
    ]
    _replace(folder / "metadata.tsv", ("\n".join(table) + "\n").encode())
    if thumbnails is not None:
        sprite, size = _sprite(thumbnails)
        embedding.sprite.image_path = "sprite.png"
        embedding.sprite.single_image_dim.extend(size)
        _replace(folder / "sprite.png", sprite)
    _replace(folder / CONFIG, text_format.MessageToString(config).encode())


def _cell(value: Any) -> str:
    """Text for a cell: not empty, and without tabs and newlines."""
    text = " ".join(str(value).split())
    return text or "-"


def _replace(path: pathlib.Path, content: bytes) -> None:
    # TensorBoard may read at any time.
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def _sprite(thumbnails: np.ndarray) -> tuple[bytes, list[int]]:
    """All pictures in a square, row by row, and `[width, height]` of one."""
    image_module = import_optional(
        "matplotlib.image", "examples", "The projector"
    )
    number, height, width = thumbnails.shape
    side = int(np.ceil(np.sqrt(number)))
    largest = side * max(height, width)
    # The smallest would not be visible.
    scale = max(1, min(32 // max(height, width), _LARGEST_SPRITE // largest))
    if largest > _LARGEST_SPRITE:
        step = -(-largest // _LARGEST_SPRITE)
        thumbnails = thumbnails[:, ::step, ::step]
    thumbnails = thumbnails.repeat(scale, axis=1).repeat(scale, axis=2)
    _, height, width = thumbnails.shape
    cells = np.ones((side * side, height, width), "float32")
    cells[:number] = thumbnails
    rows = cells.reshape(side, side, height, width).swapaxes(1, 2)
    sprite = rows.reshape(side * height, side * width)
    buffer = io.BytesIO()
    image_module.imsave(
        buffer, sprite, cmap="gray", vmin=0, vmax=1, format="png"
    )
    return buffer.getvalue(), [width, height]
