"""Pictures of what a model has learned, and checks before it does."""

from keras_seqcredit.utils.check_batches import check_batches
from keras_seqcredit.utils.plot_attention import plot_attention

__all__ = ["check_batches", "plot_attention"]
