"""Models."""

from keras_seqcredit.models.autoregressive_rnn import AutoregressiveRNN
from keras_seqcredit.models.z_forcing import ZForcing

__all__ = ["AutoregressiveRNN", "ZForcing"]
