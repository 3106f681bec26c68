"""Callbacks that show a model in TensorBoard or make training resumable."""

from keras_seqcredit.callbacks.attention_map import AttentionMap
from keras_seqcredit.callbacks.credit_assignment import CreditAssignment
from keras_seqcredit.callbacks.dynamics_projector import DynamicsProjector
from keras_seqcredit.callbacks.exact_resume import ExactResume
from keras_seqcredit.callbacks.latent_monitor import LatentMonitor
from keras_seqcredit.callbacks.sample_logger import SampleLogger
from keras_seqcredit.callbacks.schedule_logger import ScheduleLogger
from keras_seqcredit.callbacks.walkback_trajectory import WalkbackTrajectory

__all__ = [
    "AttentionMap",
    "CreditAssignment",
    "DynamicsProjector",
    "ExactResume",
    "LatentMonitor",
    "SampleLogger",
    "ScheduleLogger",
    "WalkbackTrajectory",
]
