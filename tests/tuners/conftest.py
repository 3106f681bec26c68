"""What the tests of search spaces share: a search, a small space."""

import gc

import keras
import keras_tuner
import numpy as np
import pytest

from keras_seqcredit.tuners.tuned_model import TunedModel

ROWS = 16


class SmallSpace(TunedModel):
    """Linear nets, so that what is around them can be tested quickly."""

    default_objective = ("val_loss", "min")

    def make_model(self, hp):
        layer = keras.layers.Dense(hp.Choice("units", [1, 2, 3, 4]))
        return keras.Sequential(
            [keras.Input((2,)), layer, keras.layers.Dense(1)]
        )

    def compile(self, hp, model):
        rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
        # Compiling would take longer than the rest.
        model.compile(
            keras.optimizers.Adam(self._falling(hp, rate)),
            "mse",
            run_eagerly=True,
        )


@pytest.fixture(scope="module", autouse=True)
def frozen_models():
    """Garbage is collected several times a trial: only that of the tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def points():
    """Inputs and targets of `SmallSpace`."""
    x = np.random.default_rng(0).normal(size=(ROWS, 2)).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


@pytest.fixture
def make_tuner(tmp_path):
    """`make_tuner(space, fixed=values)`: a random search, some values fixed."""

    def make(space, max_trials=2, fixed=None, seed=0, **kwargs):
        hyperparameters = keras_tuner.HyperParameters()
        for name, value in (fixed or {}).items():
            hyperparameters.Fixed(name, value)
        return keras_tuner.RandomSearch(
            without_xla(space),
            objective=space.objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            directory=tmp_path,
            project_name="search",
            **kwargs,
        )

    return make


def small(cls=SmallSpace, **kwargs):
    return cls(**{"batch_sizes": (8,), "epochs": 2, "seed": 0, **kwargs})


def without_xla(space):
    """On TensorFlow XLA would take longer to compile than all the rest."""
    if keras.backend.backend() == "tensorflow":
        compile_model = type(space).compile

        def compile_without(hp, model):
            compile_model(space, hp, model)
            model.jit_compile = False

        space.compile = compile_without
    return space


def statuses(tuner):
    trials = tuner.oracle.trials
    return [trials[key].status for key in sorted(trials)]
