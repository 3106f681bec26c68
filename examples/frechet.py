"""Distances between images in the feature space of a small classifier.

References:
    - Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to
      a Local Nash Equilibrium", NeurIPS 2017, arXiv:1706.08500.
"""

import keras
import numpy as np


class Features:
    """64 features of images, from a classifier it trains.

    Args:
        x: Images, `(n, ...)`, with values from 0 to 255.
        y: Their classes.
        epochs: Integer.
    """

    def __init__(self, x, y, epochs=30):
        keras.utils.set_random_seed(0)
        features = keras.Sequential(
            [
                keras.Input(x.shape[1:]),
                keras.layers.Flatten(),
                keras.layers.Dense(256, activation="relu"),
                keras.layers.Dense(64, activation="tanh"),
            ]
        )
        classifier = keras.Sequential(
            [features, keras.layers.Dropout(0.2), keras.layers.Dense(10)]
        )
        classifier.compile(
            "adam",
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        classifier.fit(_scaled(x), y, batch_size=64, epochs=epochs, verbose=0)
        self.features = features
        self.classifier = classifier

    def of(self, images):
        return np.float64(self.features.predict(_scaled(images), verbose=0))

    def accuracy(self, x, y):
        return float(self.classifier.evaluate(_scaled(x), y, verbose=0)[1])

    def confidence(self, images):
        """Mean of the largest probability: roughly the legible share."""
        logits = self.classifier.predict(_scaled(images), verbose=0)
        return float(np.asarray(keras.ops.softmax(logits)).max(-1).mean())

    def classes(self, images):
        """Share of each class, according to the classifier."""
        logits = self.classifier.predict(_scaled(images), verbose=0)
        counts = np.bincount(logits.argmax(-1), minlength=10)
        return (counts / counts.sum()).tolist()

    def distance(self, images, others):
        """The Fréchet distance between two sets."""
        a, b = self.of(images), self.of(others)
        gap = np.square(a.mean(0) - b.mean(0)).sum()
        first, second = (np.cov(x, rowvar=False) for x in (a, b))
        # The trace of a matrix root is the sum of the eigenvalues' roots.
        values = np.linalg.eigvals(first @ second).real
        root = np.sqrt(np.maximum(values, 0)).sum()
        return float(gap + np.trace(first) + np.trace(second) - 2 * root)


def nearest(images, others):
    """Mean distance to the nearest of the others, with levels from 0 to 1."""
    a, b = (_scaled(x).reshape(len(x), -1) for x in (images, others))
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return float(np.sqrt(np.maximum(squares, 0).min(1)).mean())


def _scaled(images):
    return np.float32(images) / 255
