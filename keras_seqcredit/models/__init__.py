"""Models."""

from keras_seqcredit.models.z_forcing import ZForcing

__all__ = ["ZForcing"]
