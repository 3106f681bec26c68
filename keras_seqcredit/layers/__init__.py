"""Layers."""

from keras_seqcredit.layers.heads.bernoulli_head import BernoulliHead
from keras_seqcredit.layers.heads.categorical_head import CategoricalHead
from keras_seqcredit.layers.heads.discretized_logistic_mixture_head import (
    DiscretizedLogisticMixtureHead,
)
from keras_seqcredit.layers.heads.distribution_head import DistributionHead
from keras_seqcredit.layers.heads.gaussian_head import GaussianHead
from keras_seqcredit.layers.heads.gaussian_mixture_head import (
    GaussianMixtureHead,
)
from keras_seqcredit.layers.heads.pen_stroke_head import PenStrokeHead
from keras_seqcredit.layers.heads.symlog import Symlog
from keras_seqcredit.layers.recurrent.auxiliary_state_loss import (
    AuxiliaryStateLoss,
)
from keras_seqcredit.layers.recurrent.behavior_discriminator import (
    BehaviorDiscriminator,
)
from keras_seqcredit.layers.recurrent.clipped_mlp import ClippedMLP
from keras_seqcredit.layers.recurrent.conditioned_lstm_cell import (
    ConditionedLSTMCell,
)
from keras_seqcredit.layers.recurrent.future_state_loss import FutureStateLoss
from keras_seqcredit.layers.recurrent.sab_gru import SABGRU
from keras_seqcredit.layers.recurrent.sab_lstm import SABLSTM
from keras_seqcredit.layers.recurrent.sparse_attentive_rnn import (
    SparseAttentiveRNN,
)
from keras_seqcredit.layers.recurrent.stochastic_rnn import StochasticRNN
from keras_seqcredit.layers.transitions.bernoulli_transition import (
    BernoulliTransition,
)
from keras_seqcredit.layers.transitions.gaussian_transition import (
    GaussianTransition,
)
from keras_seqcredit.layers.transitions.step_normalization import (
    StepNormalization,
)
from keras_seqcredit.layers.transitions.transition import Transition

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
    "Symlog",
    "Transition",
]
