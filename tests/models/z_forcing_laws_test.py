"""The laws of `tests/laws`, for a model whose outputs are costs."""

import inspect
import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_seqcredit import backend
from keras_seqcredit.layers import GaussianMixtureHead
from keras_seqcredit.layers import StochasticRNN
from keras_seqcredit.models import ZForcing
from keras_seqcredit.schedules import CyclicalSchedule
from keras_seqcredit.schedules import FreeBits
from keras_seqcredit.schedules import LinearSchedule
from tests.gradients import FASTEST
from tests.laws.precision_test import POLICIES
from tests.laws.running import QUICKLY
from tests.laws.running import as_arrays
from tests.laws.running import silenced
from tests.laws.table import FEATURES
from tests.laws.table import make_inputs


def make_model(dtype=None):
    # Keras cannot draw its default, an orthogonal matrix, in bfloat16.
    glorot = {"recurrent_initializer": "glorot_uniform", "dtype": dtype}
    return ZForcing(
        StochasticRNN(
            4,
            latent_dim=3,
            cell=keras.layers.GRUCell(4, **glorot),
            backward=keras.layers.GRU(3, use_cudnn=False, **glorot),
            kl_balance=0.8,
            dtype=dtype,
        ),
        GaussianMixtureHead(FEATURES, num_components=2, dtype=dtype),
        embedding=keras.layers.Dense(5, dtype=dtype),
        kl_weight=CyclicalSchedule(0.2, 1.0, 20, num_cycles=2),
        auxiliary_weight=LinearSchedule(0.1, 0.0, 10),
        backward_weight=0.5,
        free_bits=FreeBits(0.01, per="step"),
        word_dropout=0.3,
        seed=7,
        dtype=dtype,
    )


def trained(dtype=None):
    model = make_model(dtype)
    # Not Adam: in bfloat16 its beta_2 of 0.999 is 1, and it stands still.
    optimizer = keras.optimizers.SGD(0.1, momentum=0.5)
    model.compile(optimizer, **QUICKLY)
    # Else TensorFlow traces the step twice.
    model.build((None, None, FEATURES))
    model.optimizer.build(model.trainable_variables)
    history = model.fit(make_inputs(batch=6), batch_size=3, verbose=0)
    return model, history.history


def test_config():
    model = make_model()
    config = model.get_config()
    same = ZForcing.from_config(config)
    assert same.get_config() == config
    file = json.dumps(keras.saving.serialize_keras_object(model))
    loaded = keras.saving.deserialize_keras_object(json.loads(file))
    assert json.dumps(keras.saving.serialize_keras_object(loaded)) == file
    arguments = set(inspect.signature(ZForcing.__init__).parameters)
    assert arguments - {"self", "kwargs"} <= set(config)


GO_ON = """
import json, pathlib, sys
import keras
import numpy as np
import keras_seqcredit.models

folder = pathlib.Path(sys.argv[1])
inputs = np.load(folder / "inputs.npy")
model = keras.saving.load_model(folder / "model.keras")
history = model.fit(inputs, batch_size=3, shuffle=False, verbose=0)
(folder / "history.json").write_text(json.dumps(history.history))
"""


def test_training_goes_on_in_a_new_process(tmp_path):
    model, _ = trained()
    inputs = make_inputs(batch=6, seed=1)
    np.save(tmp_path / "inputs.npy", inputs)
    model.save(tmp_path / "model.keras")
    subprocess.run([sys.executable, "-c", GO_ON, tmp_path], check=True)
    history = model.fit(inputs, batch_size=3, shuffle=False, verbose=0).history
    found = json.loads((tmp_path / "history.json").read_text())
    # Weights, optimizer, schedules and the noise are where they were.
    assert found.keys() == history.keys()
    for name, values in history.items():
        assert found[name] == pytest.approx(values, rel=1e-4), name


@pytest.mark.parametrize("policy", POLICIES)
def test_training_in_half_precision(policy):
    model, history = trained(policy)
    assert all(np.isfinite(values).all() for values in history.values())
    dtype = "float32" if "mixed" in policy else policy
    for variable in model.trainable_variables:
        assert variable.dtype == dtype, variable.path
        (value,) = as_arrays(variable.value)
        assert np.isfinite(value).all(), variable.path
    # The momentum: each weight had a gradient.
    for variable in model.optimizer.variables[
        -len(model.trainable_variables) :
    ]:
        (value,) = as_arrays(variable.value)
        assert np.isfinite(value).all(), variable.path
        assert np.abs(value).max() > 0, variable.path


def test_same_seed_same_result():
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model, history = trained()
        found.append([*history.values(), *model.get_weights()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_unknown_batch_and_time():
    model = make_model()
    silenced(model.stochastic_rnn)
    symbolic = model(keras.Input((None, FEATURES)))
    run = model if FASTEST == "eager" else backend.jit(model, model)
    whole = run(make_inputs(3, 7))
    for batch, time in ((2, 7), (3, 1)):
        terms = run(make_inputs(3, 7)[:batch, :time])
        assert terms.keys() == symbolic.keys()
        for name, value in terms.items():
            spec = symbolic[name]
            assert spec.shape[:2] == (None, None)
            assert value.shape == (batch, time, *spec.shape[2:]), name
            assert keras.backend.standardize_dtype(value.dtype) == spec.dtype
            if time == 7:
                np.testing.assert_allclose(
                    value, whole[name][:batch], rtol=1e-4, atol=1e-5
                )
