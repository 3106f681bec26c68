"""Trains models for the same time, with the same optimizer."""

import time

import common
import diffusion
import keras
import numpy as np


class StopAfter(diffusion.StopAfter):
    """Ends training after `seconds` of CPU time; others may share the CPU.

    The learning rate decays to 0 along a cosine, epoch by epoch.
    """

    def on_train_begin(self, logs=None):
        self.rate = float(self.model.optimizer.learning_rate)

    def on_epoch_begin(self, epoch, logs=None):
        if self.steps:
            share = (time.process_time() - self.start) / self.seconds
            rate = self.rate * (1 + np.cos(np.pi * min(share, 1))) / 2
            self.model.optimizer.learning_rate = rate

    def on_train_batch_end(self, batch, logs=None):
        if self.steps == 0:  # The first one compiles.
            self.start = time.process_time()
        self.steps += 1
        if time.process_time() - self.start > self.seconds:
            self.model.stop_training = True


class Draws(keras.utils.PyDataset):
    """Batches of random rows, 100 per epoch: the rate falls after each."""

    def __init__(self, x, size, seed):
        super().__init__()
        self.x, self.size = x, size
        self.rng = np.random.default_rng(seed)

    def __len__(self):
        return 100

    def __getitem__(self, index):
        return (self.x[self.rng.integers(0, len(self.x), self.size)],)


def optimizer(arguments):
    return keras.optimizers.Adam(
        arguments.learning_rate,
        clipnorm=100.0,
        use_ema=True,
        ema_momentum=arguments.average,
    )


def fit(model, x, arguments, folder, batch_size=None):
    """Trains for the given seconds; returns the number of updates."""
    model.compile(optimizer(arguments), jit_compile=True)
    stop = StopAfter(arguments.seconds)
    if not isinstance(x, Draws):
        batch_size = batch_size or arguments.batch_size
    model.fit(
        x,
        batch_size=batch_size,
        epochs=100_000,
        verbose=0,
        callbacks=[stop, *common.tensorboard(folder)],
    )
    return stop.steps
