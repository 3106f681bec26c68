"""The public names of the package, for tests that go through all of them."""

import importlib
import importlib.util
from typing import Any

SUBPACKAGES = (
    "callbacks",
    "datasets",
    "distributions",
    "layers",
    "metrics",
    "models",
    "schedules",
    "tuners",
    "utils",
)


def public_objects() -> dict[str, Any]:
    """Returns objects by full name, from the `__all__` of each subpackage."""
    objects = {}
    for subpackage in SUBPACKAGES:
        name = f"keras_seqcredit.{subpackage}"
        if importlib.util.find_spec(name) is None:
            continue
        module = importlib.import_module(name)
        for symbol in getattr(module, "__all__", ()):
            objects[f"{name}.{symbol}"] = getattr(module, symbol)
    return objects
