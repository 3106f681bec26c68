"""Data files whose contents are verified before use."""

import hashlib
import os
import pathlib

from keras_seqcredit.checks import check_path


def checked_file(
    path: str | os.PathLike[str], name: str, sha256: str
) -> pathlib.Path:
    """Finds a file and verifies its contents.

    Args:
        path: The file, or its folder.
        name: String, the name of the file in that folder.
        sha256: String, the expected SHA-256 of its contents.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if its contents differ.
    """
    path = pathlib.Path(check_path("path", path))
    if path.is_dir():
        path = path / name
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected `path` to be the file `{name}` or its folder. "
            f"Received: no file '{path}'"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise ValueError(
            f"Expected `path` to be `{name}` with SHA-256 {sha256}. "
            f"Received: '{path}' with SHA-256 {digest}"
        )
    return path
