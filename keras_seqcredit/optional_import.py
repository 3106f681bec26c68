"""Imports of packages that only some of the users need."""

import importlib
from typing import Any


def import_optional(module: str, extra: str, user: str) -> Any:
    """Imports a module, or says which extra of the package brings it.

    Args:
        module: String, the full name of the module.
        extra: String, the extra that installs it.
        user: String, who needs it.

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
