"""Pictures of what a model has learned."""

from keras_seqcredit.utils.plot_attention import plot_attention

__all__ = ["plot_attention"]
