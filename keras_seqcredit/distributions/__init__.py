"""Probability distributions of the running backend."""

from keras_seqcredit.distributions.tfp import tfd

__all__ = ["tfd"]
