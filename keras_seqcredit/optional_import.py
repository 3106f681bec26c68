"""Imports of optional packages."""

import importlib
from typing import Any


def import_optional(module: str, extra: str, user: str) -> Any:
    """Imports a module, or raises an error that names the extra it needs.

    Args:
        module: String, the full name of the module.
        extra: String, the extra that installs it.
        user: String, the feature that needs it.

    Returns:
        The module.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{user} needs {module.partition('.')[0]}. Install it with "
            f'`pip install "keras-seqcredit[{extra}]"`.'
        ) from error
