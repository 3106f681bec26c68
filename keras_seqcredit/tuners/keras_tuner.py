"""KerasTuner, or an error that says how to install it."""

from typing import Any

from keras_seqcredit.utils.optional_import import import_optional

keras_tuner: Any = import_optional(
    "keras_tuner", "tuner", "`keras_seqcredit.tuners`"
)
FailedTrialError: Any = keras_tuner.errors.FailedTrialError
FatalError: Any = keras_tuner.errors.FatalError
FatalRuntimeError: Any = keras_tuner.errors.FatalRuntimeError
FatalValueError: Any = keras_tuner.errors.FatalValueError
