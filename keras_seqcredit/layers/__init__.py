"""Layers."""

from keras_seqcredit.layers.auxiliary_state_loss import AuxiliaryStateLoss
from keras_seqcredit.layers.behavior_discriminator import BehaviorDiscriminator
from keras_seqcredit.layers.bernoulli_head import BernoulliHead
from keras_seqcredit.layers.bernoulli_transition import BernoulliTransition
from keras_seqcredit.layers.categorical_head import CategoricalHead
from keras_seqcredit.layers.clipped_mlp import ClippedMLP
from keras_seqcredit.layers.conditioned_lstm_cell import ConditionedLSTMCell
from keras_seqcredit.layers.discretized_logistic_mixture_head import (
    DiscretizedLogisticMixtureHead,
)
from keras_seqcredit.layers.distribution_head import DistributionHead
from keras_seqcredit.layers.future_state_loss import FutureStateLoss
from keras_seqcredit.layers.gaussian_head import GaussianHead
from keras_seqcredit.layers.gaussian_mixture_head import GaussianMixtureHead
from keras_seqcredit.layers.gaussian_transition import GaussianTransition
from keras_seqcredit.layers.pen_stroke_head import PenStrokeHead
from keras_seqcredit.layers.sab_gru import SABGRU
from keras_seqcredit.layers.sab_lstm import SABLSTM
from keras_seqcredit.layers.sparse_attentive_rnn import SparseAttentiveRNN
from keras_seqcredit.layers.step_normalization import StepNormalization
from keras_seqcredit.layers.stochastic_rnn import StochasticRNN
from keras_seqcredit.layers.transition import Transition

__all__ = [
    "AuxiliaryStateLoss",
    "BehaviorDiscriminator",
    "BernoulliHead",
    "BernoulliTransition",
    "CategoricalHead",
    "ClippedMLP",
    "ConditionedLSTMCell",
    "DiscretizedLogisticMixtureHead",
    "DistributionHead",
    "FutureStateLoss",
    "GaussianHead",
    "GaussianMixtureHead",
    "GaussianTransition",
    "PenStrokeHead",
    "SABGRU",
    "SABLSTM",
    "SparseAttentiveRNN",
    "StepNormalization",
    "StochasticRNN",
    "Transition",
]
