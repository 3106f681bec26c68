"""Weights of examples, in every model that is fitted on inputs."""

import keras
import numpy as np
import pytest

from keras_seqcredit import layers
from keras_seqcredit import models
from tests import small_systems
from tests.laws.running import QUICKLY

WEIGHTS = np.array([1, 0, 3, 0.5], "float32")


def walkback_in_one_loop():
    """A walk that is scored as it is taken, on a processor."""
    network = models.transition_mlp(small_systems.FEATURES, units=(8,))
    return models.VariationalWalkback(
        layers.GaussianTransition(network), num_steps=3
    )


SYSTEMS = [
    small_systems.z_forcing,
    small_systems.autoregressive,
    small_systems.professor_forcing,
    small_systems.walkback,
    small_systems.walkback_online,
    walkback_in_one_loop,
]


def make_compiled(make):
    keras.utils.set_random_seed(0)
    model = make()
    names = "ab" if isinstance(model, models.ProfessorForcing) else "a"
    optimizers = [keras.optimizers.SGD(0.01, name=name) for name in names]
    model.compile(*optimizers, **QUICKLY)
    return model


def make_inputs(make):
    (x,) = small_systems.data(small_systems.z_forcing, examples=len(WEIGHTS))
    return x[:, 0] if "walkback" in make.__name__ else x


@pytest.mark.parametrize("make", SYSTEMS)
def test_a_column_of_weights_is_no_square(make):
    x, found = make_inputs(make), []
    for weights in (WEIGHTS, WEIGHTS[:, None]):
        model = make_compiled(make)
        given = {"sample_weight": weights, "verbose": 0}
        history = model.fit(x, **given).history
        logs = model.evaluate(x, return_dict=True, **given)
        found.append({**{k: v[0] for k, v in history.items()}, "last": logs})
    first, second = found
    assert second.pop("last") == pytest.approx(first.pop("last"), rel=1e-5)
    assert second == pytest.approx(first, rel=1e-5)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize("make", SYSTEMS)
def test_weights_of_steps_are_refused(make, method):
    model, x = make_compiled(make), make_inputs(make)
    weights = np.ones((len(x), 5), "float32")
    with pytest.raises(ValueError, match=r"Expected `sample_w.*\(4, 5\)"):
        getattr(model, method)(x, sample_weight=weights, verbose=0)
