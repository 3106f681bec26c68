"""Pictures and measures of trained models, and checks before training."""

from keras_seqcredit.utils.check_batches import check_batches
from keras_seqcredit.utils.drift_by_position import drift_by_position
from keras_seqcredit.utils.fresh_accuracy import fresh_accuracy
from keras_seqcredit.utils.plot_attention import plot_attention

__all__ = [
    "check_batches",
    "drift_by_position",
    "fresh_accuracy",
    "plot_attention",
]
