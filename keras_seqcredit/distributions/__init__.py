"""Probability distributions for the current backend."""

from keras_seqcredit.distributions.tfp import tfd

__all__ = ["tfd"]
