"""Credit assignment and training of recurrent networks, for Keras.

Subpackages are imported on first use: `import keras_seqcredit` alone imports
neither Keras nor a backend. It is all that `keras.saving.load_model` needs.
"""

import importlib
from typing import TYPE_CHECKING
from typing import Any

from keras_seqcredit.lazy_registration import register_stand_ins

if TYPE_CHECKING:
    from keras_seqcredit import callbacks
    from keras_seqcredit import datasets
    from keras_seqcredit import distributions
    from keras_seqcredit import layers
    from keras_seqcredit import metrics
    from keras_seqcredit import models
    from keras_seqcredit import schedules
    from keras_seqcredit import tuners
    from keras_seqcredit import utils

__version__ = "0.1.0"
__all__ = [
    "callbacks",
    "datasets",
    "distributions",
    "layers",
    "metrics",
    "models",
    "schedules",
    "tuners",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_stand_ins()
