"""Views of a model while it trains."""

from keras_seqcredit.callbacks.attention_map import AttentionMap

__all__ = ["AttentionMap"]
