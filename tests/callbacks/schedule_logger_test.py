import re

import keras
import numpy as np
import pytest

from keras_seqcredit import layers
from keras_seqcredit import schedules
from keras_seqcredit.callbacks import ScheduleLogger
from tests.callbacks import event_files
from tests.callbacks.small_models import TIME
from tests.callbacks.small_models import bits
from tests.callbacks.small_models import generator
from tests.callbacks.small_models import professor
from tests.callbacks.small_models import reader
from tests.callbacks.small_models import walkback
from tests.callbacks.small_models import z_forcing
from tests.on_one_backend import only_on

# TensorFlow compiles long: it has every view in `view_test.py`.
pytestmark = only_on("jax")


def log(model, data, folder, hyperparameters=None):
    view = ScheduleLogger(folder, hyperparameters)
    history = model.fit(
        *data, batch_size=3, epochs=2, verbose=0, callbacks=[view]
    )
    return history.history, event_files.scalars(folder / "schedules")


def values(found, tag):
    return [value for _, value in found[tag]]


def test_schedules_of_a_model(tmp_path):
    _, found = log(z_forcing(), (bits(),), tmp_path)
    # Two updates an epoch, of eight from 0.2 to 1.
    np.testing.assert_allclose(
        values(found, "schedules/kl_weight"), [0.4, 0.6], rtol=1e-6
    )


def test_schedules_of_a_layer(tmp_path):
    inputs = keras.Input((TIME, 1))
    outputs = layers.StochasticRNN(
        4,
        latent_dim=2,
        kl_weight=schedules.LinearSchedule(0.0, 1.0, 4),
        name="stochastic",
    )(inputs)
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse")
    _, found = log(model, (bits(), np.zeros((6, 4))), tmp_path)
    np.testing.assert_allclose(
        values(found, "schedules/stochastic/kl_weight"), [0.5, 1.0]
    )


def test_learning_rates(tmp_path):
    _, found = log(professor(), (bits(),), tmp_path / "two")
    np.testing.assert_allclose(
        values(found, "optimizer/learning_rate_0"), 0.01, rtol=1e-6
    )
    np.testing.assert_allclose(
        values(found, "optimizer/learning_rate_1"), 0.02, rtol=1e-6
    )
    model = generator()
    decay = keras.optimizers.schedules.CosineDecay(0.1, 4)
    model.compile(keras.optimizers.Adam(decay))
    _, found = log(model, (bits(),), tmp_path / "decay")
    np.testing.assert_allclose(
        values(found, "optimizer/learning_rate"), [0.05, 0.0], atol=1e-7
    )


@pytest.mark.parametrize(
    "make, name, sign",
    [
        (generator, "nll", 1),
        (professor, "nll", 1),
        (z_forcing, "elbo", -1),
        (walkback, "bound", -1),
    ],
)
def test_nats_have_one_name(make, name, sign, tmp_path):
    x = bits() if make is not walkback else bits()[:, :2, 0]
    history, found = log(make(), (x,), tmp_path)
    expected = [sign * value for value in history[name]]
    np.testing.assert_allclose(
        values(found, "objective/nats"), expected, rtol=1e-6
    )
    np.testing.assert_allclose(
        values(found, "objective/loss"), history["loss"], rtol=1e-6
    )


def test_of_validation_too(tmp_path):
    model = z_forcing()
    view = ScheduleLogger(tmp_path)
    history = model.fit(
        bits(),
        validation_data=(bits(), None),
        verbose=0,
        callbacks=[view],
    ).history
    found = event_files.scalars(tmp_path / "schedules")
    np.testing.assert_allclose(
        values(found, "objective/val_nats"),
        [-x for x in history["val_elbo"]],
        rtol=1e-6,
    )


def test_any_keras_model(tmp_path):
    model = reader(keras.layers.GRU(4))
    history, found = log(model, (bits(), np.zeros(6, "int32")), tmp_path)
    np.testing.assert_allclose(
        values(found, "objective/loss"), history["loss"], rtol=1e-6
    )


def test_hyperparameters_are_listed(tmp_path):
    from tensorboard.plugins.hparams import metadata

    given = {
        "units": 4,
        "rate": 0.5,
        "cell": "gru",
        "ln": True,
        "k_trunc": None,
    }
    for _ in range(2):
        log(generator(), (bits(),), tmp_path, given)
    groups = set()
    for name in ("schedules", "schedules-2"):
        events = event_files.read(tmp_path / name)
        tag = metadata.SESSION_START_INFO_TAG
        assert len(events.Tensors(tag)) == 1
        content = events.SummaryMetadata(tag).plugin_data.content
        found = metadata.parse_session_start_info_plugin_data(content)
        groups.add(found.group_name)
        parameters = found.hparams
        assert parameters["units"].number_value == 4
        assert parameters["rate"].number_value == 0.5
        assert parameters["cell"].string_value == "gru"
        assert parameters["ln"].bool_value is True
        assert parameters["k_trunc"].string_value == "None"
    assert len(groups) == 2


def test_says_which_hyperparameter_is_wrong(tmp_path):
    message = re.escape("units=[4, 8]")
    with pytest.raises(ValueError, match=f"Received: {message}"):
        ScheduleLogger(tmp_path, {"units": [4, 8]})
