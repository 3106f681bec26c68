"""KerasTuner search spaces for every model, and parallel searches."""

from keras_seqcredit.tuners.parallel_search import parallel_search
from keras_seqcredit.tuners.professor_forcing_hyper_model import (
    ProfessorForcingHyperModel,
)
from keras_seqcredit.tuners.sab_hyper_model import SABHyperModel
from keras_seqcredit.tuners.walkback_hyper_model import WalkbackHyperModel
from keras_seqcredit.tuners.z_forcing_hyper_model import ZForcingHyperModel

__all__ = [
    "ProfessorForcingHyperModel",
    "SABHyperModel",
    "WalkbackHyperModel",
    "ZForcingHyperModel",
    "parallel_search",
]
