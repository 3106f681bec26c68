import re
import warnings

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.callbacks import LatentMonitor
from keras_seqcredit.callbacks.latent_monitor import _information
from keras_seqcredit.distributions.latents import GaussianLatent
from tests.callbacks import event_files
from tests.callbacks.small_models import ROWS
from tests.callbacks.small_models import TIME
from tests.callbacks.small_models import bits
from tests.callbacks.small_models import z_forcing
from tests.on_one_backend import only_on

# TensorFlow compiles long: it has every view in `view_test.py`.
pytestmark = only_on("jax")


class Found:
    """What the recurrence found: rows `apart` from each other."""

    def __init__(self, apart, rows=4, time=2, size=3):
        mean = apart * np.arange(rows, dtype="float32")
        mean = np.broadcast_to(mean[:, None, None], (rows, time, size))
        self.posterior = ops.convert_to_tensor(
            np.concatenate([mean, np.zeros_like(mean)], axis=-1)
        )
        noise = np.random.default_rng(0).normal(size=mean.shape)
        self.latents = ops.convert_to_tensor((mean + noise).astype("float32"))


def information(found, valid):
    return ops.convert_to_numpy(
        _information(GaussianLatent(3), found, ops.convert_to_tensor(valid))
    )


def test_information_of_rows_that_are_alike_or_far_apart():
    valid = np.ones((4, 2), "float32")
    np.testing.assert_allclose(information(Found(0.0), valid), 0, atol=1e-5)
    far = information(Found(100.0), valid)
    np.testing.assert_allclose(far, np.log(4), rtol=1e-5)
    # Of a step that only two rows have, one bit.
    valid[2:, 1] = 0
    far = information(Found(100.0), valid)
    np.testing.assert_allclose(far[:2, 1], np.log(2), rtol=1e-5)
    assert (far[2:, 1] == 0).all()


def test_information_is_a_monte_carlo_estimate():
    """Two rows: the divergence of a normal from the mixture, by quadrature."""
    random = np.random.default_rng(1)
    rows, time = 2, 4000
    mean = np.array([-0.7, 0.7], "float32")[:, None, None]
    mean = np.broadcast_to(mean, (rows, time, 1))
    found = Found(0.0)
    found.posterior = ops.convert_to_tensor(
        np.concatenate([mean, np.zeros_like(mean)], axis=-1)
    )
    samples = mean + random.normal(size=mean.shape)
    found.latents = ops.convert_to_tensor(samples.astype("float32"))
    estimate = ops.convert_to_numpy(
        _information(GaussianLatent(1), found, ops.ones((rows, time)))
    )
    z = np.linspace(-8, 8, 20001)
    density = np.exp(-0.5 * (z - 0.7) ** 2) / np.sqrt(2 * np.pi)
    other = np.exp(-0.5 * (z + 0.7) ** 2) / np.sqrt(2 * np.pi)
    exact = np.trapezoid(
        density * np.log(density / (0.5 * density + 0.5 * other)), z
    )
    error = estimate.std() / np.sqrt(estimate.size)
    assert abs(estimate.mean() - exact) < 4 * error


def looking_at(model, folder, x=None, **kwargs):
    view = LatentMonitor(bits() if x is None else x, folder, **kwargs)
    view.set_model(model)
    return view


def test_divergence_is_that_of_the_model(tmp_path):
    keep = np.arange(TIME) < np.array([[5], [3], [1], [4], [2], [5]])
    x = {"sequences": bits(), "mask": keep}
    model = z_forcing()
    model.build({"sequences": (None, TIME, 1), "mask": (None, TIME)})
    # Without noise, so that both see the same.
    model.stochastic_rnn.latents.noise = lambda shape, seed: ops.zeros(
        (*shape, 2)
    )
    found = looking_at(model, tmp_path, x).look()
    terms = model(keras.tree.map_structure(ops.convert_to_tensor, x))
    kl = ops.convert_to_numpy(terms["kl"])
    np.testing.assert_allclose(
        found["kl"], kl.sum(axis=0) / keep.sum(axis=0)[:, None], rtol=1e-4
    )
    np.testing.assert_allclose(
        found["kl_per_step"], kl.sum() / keep.sum(), rtol=1e-4
    )
    assert 0 <= found["active_units"] <= 2
    assert found["mutual_information"] <= np.log(ROWS)


def collapsed():
    """A model whose posterior is its prior."""
    model = z_forcing()
    model.build((None, TIME, 1))
    for v in model.stochastic_rnn.variables:
        if "posterior" in v.path or "prior" in v.path:
            v.assign(np.zeros(v.shape, "float32"))
    model.optimizer.learning_rate = 0.0
    return model


def test_collapse_is_reported_once(tmp_path):
    model = collapsed()
    view = LatentMonitor(bits(), tmp_path, patience=3)
    with pytest.warns(UserWarning, match="collapsed at epoch 3") as caught:
        model.fit(bits(), epochs=5, verbose=0, callbacks=[view])
    messages = [w for w in caught if "collapsed" in str(w.message)]
    assert len(messages) == 1
    texts = event_files.strings(tmp_path / "latents")
    ((step, text),) = texts["latents/collapse"]
    assert step == 2
    assert b"0 nats a step, 0 active units" in text


def test_a_posterior_that_tells_something_is_not_reported(tmp_path):
    model = z_forcing()
    view = LatentMonitor(bits(), tmp_path, patience=1, threshold=1e-6)
    model.build((None, TIME, 1))
    random = np.random.default_rng(0)
    for v in model.stochastic_rnn.variables:
        if "posterior" in v.path:
            v.assign(random.normal(size=v.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(bits(), epochs=1, verbose=0, callbacks=[view])


def test_is_written_for_tensorboard(tmp_path):
    model = z_forcing()
    view = LatentMonitor(bits(), tmp_path, patience=9)
    model.fit(bits(), epochs=2, verbose=0, callbacks=[view])
    folder = tmp_path / "latents"
    found = event_files.scalars(folder)
    assert set(found) == {
        f"latents/{name}"
        for name in ("kl_per_step", "active_units", "mutual_information")
    }
    assert [step for step, _ in found["latents/kl_per_step"]] == [0, 1]
    images = event_files.read(folder).Images("latents/kl")
    assert [image.step for image in images] == [0, 1]


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"x": bits()[:1]}, "1 row"),
        ({"threshold": -1}, "threshold=-1"),
        ({"patience": 0}, "patience=0"),
    ],
)
def test_says_which_argument_is_wrong(kwargs, message, tmp_path):
    arguments = {"x": bits(), "log_dir": tmp_path} | kwargs
    with pytest.raises(ValueError, match=f"Received: .*{re.escape(message)}"):
        LatentMonitor(**arguments)
