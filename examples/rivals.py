"""What the models that a chain is compared with have in common."""

import keras
from keras import ops

from keras_seqcredit.models.generative_model import GenerativeModel


class Rival(GenerativeModel):
    """Trains a network by the mean of what `call` returns."""

    def __init__(self, network, seed=None):
        super().__init__()
        self.network = network
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, inputs_shape):
        self.event = tuple(inputs_shape[1:])
        self.built = True

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        return ops.mean(y_pred)
