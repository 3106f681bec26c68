"""Credit assignment and training of recurrent nets, for Keras."""

__version__ = "0.1.0"
