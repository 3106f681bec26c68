"""Models."""

from keras_seqcredit.models.autoregressive_rnn import AutoregressiveRNN
from keras_seqcredit.models.export_generation import export_generation
from keras_seqcredit.models.finite_loss import NonFiniteLossError
from keras_seqcredit.models.professor_forcing import ProfessorForcing
from keras_seqcredit.models.transition_networks import transition_mlp
from keras_seqcredit.models.transition_networks import transition_unet
from keras_seqcredit.models.variational_walkback import VariationalWalkback
from keras_seqcredit.models.z_forcing import ZForcing

__all__ = [
    "AutoregressiveRNN",
    "NonFiniteLossError",
    "ProfessorForcing",
    "VariationalWalkback",
    "ZForcing",
    "export_generation",
    "transition_mlp",
    "transition_unet",
]
