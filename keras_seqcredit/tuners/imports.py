"""Imports KerasTuner, or raises an error that says how to install it."""

import contextlib
import importlib
from typing import Any

from keras_seqcredit.optional_import import import_optional

keras_tuner: Any = import_optional(
    "keras_tuner", "tuner", "`keras_seqcredit.tuners`"
)
FailedTrialError: Any = keras_tuner.errors.FailedTrialError
FatalError: Any = keras_tuner.errors.FatalError
FatalRuntimeError: Any = keras_tuner.errors.FatalRuntimeError
FatalValueError: Any = keras_tuner.errors.FatalValueError


def silence_conditions() -> None:
    """Keeps KerasTuner from printing each condition that it sends.

    Version 1.4.8 does so, in a private module.
    """
    with contextlib.suppress(ImportError):
        conditions: Any = importlib.import_module(
            "keras_tuner.src.engine.conditions"
        )
        conditions.print = lambda *values: None
