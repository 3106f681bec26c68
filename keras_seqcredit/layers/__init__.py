"""Layers."""

from keras_seqcredit.layers.future_state_loss import FutureStateLoss
from keras_seqcredit.layers.sab_gru import SABGRU
from keras_seqcredit.layers.sab_lstm import SABLSTM
from keras_seqcredit.layers.sparse_attentive_rnn import SparseAttentiveRNN

__all__ = ["FutureStateLoss", "SABGRU", "SABLSTM", "SparseAttentiveRNN"]
