"""The laws of `tests/laws`, for generators and what judges them."""

import inspect
import json

import keras
import numpy as np
import pytest

from keras_seqcredit.layers import BehaviorDiscriminator
from keras_seqcredit.layers import GaussianHead
from keras_seqcredit.models import AutoregressiveRNN
from keras_seqcredit.models import ProfessorForcing
from keras_seqcredit.schedules import LinearSchedule
from tests.laws.precision_test import POLICIES
from tests.laws.running import QUICKLY
from tests.laws.running import as_arrays
from tests.laws.table import FEATURES
from tests.laws.table import make_inputs


def generator(dtype=None, **arguments):
    # Keras cannot draw its default, an orthogonal matrix, in bfloat16.
    glorot = {"recurrent_initializer": "glorot_uniform", "dtype": dtype}
    return AutoregressiveRNN(
        keras.layers.GRUCell(4, **glorot),
        GaussianHead(FEATURES, dtype=dtype),
        embedding=keras.layers.Dense(5, dtype=dtype),
        seed=7,
        dtype=dtype,
        **arguments,
    )


def scheduled(dtype=None):
    return generator(dtype, sampling_probability=LinearSchedule(0.5, 0.9, 10))


def rolling(dtype=None):
    return generator(
        dtype,
        own_share=LinearSchedule(0.5, 0.0, 10),
        rollout_steps=2,
        sample_gradient=True,
    )


def forcing(dtype=None):
    return ProfessorForcing(
        generator(dtype),
        BehaviorDiscriminator(4, dtype="float32"),
        adversarial_weight=LinearSchedule(0.5, 1.0, 10),
        discriminator_accuracy_range=(0.0, 1.0),
        match_teacher=True,
        ratio_every=2,
        dtype=dtype,
    )


def matching(dtype=None):
    return ProfessorForcing(
        generator(dtype), matching="mse", free_running_steps=3, dtype=dtype
    )


def tamed(dtype=None):
    return ProfessorForcing(
        generator(dtype),
        BehaviorDiscriminator(4, dtype="float32"),
        discriminator_accuracy_range=(0.0, 1.0),
        discriminator_penalty=2.0,
        relative_weight=True,
        sample_gradient=True,
        dtype=dtype,
    )


def discriminator(dtype=None):
    return BehaviorDiscriminator(4, hidden_units=3, num_hidden=1, dtype=dtype)


MODELS = [generator, scheduled, rolling, forcing, matching]
every_model = pytest.mark.parametrize("make", MODELS)


@pytest.mark.parametrize("make", [*MODELS, tamed, discriminator])
def test_config(make):
    model = make()
    config = model.get_config()
    assert type(model).from_config(config).get_config() == config
    file = json.dumps(keras.saving.serialize_keras_object(model))
    loaded = keras.saving.deserialize_keras_object(json.loads(file))
    assert json.dumps(keras.saving.serialize_keras_object(loaded)) == file
    arguments = set(inspect.signature(type(model).__init__).parameters)
    assert arguments - {"self", "kwargs"} <= set(config)


def trained(model, **compiled):
    # Not Adam: in bfloat16 its beta_2 of 0.999 is 1, and it stands still.
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5), **compiled)
    # Else TensorFlow traces the step twice.
    if not model.built:
        model.build((None, None, FEATURES))
    model.optimizer.build(model.trainable_variables)
    x = make_inputs(batch=6)
    return model.fit(x, batch_size=3, shuffle=False, verbose=0).history


@every_model
@pytest.mark.parametrize("policy", POLICIES)
def test_training_in_half_precision(make, policy):
    model = make(policy)
    model.build((None, None, FEATURES))
    before = as_arrays([v.value for v in model.trainable_variables])
    history = trained(model, **QUICKLY)
    assert all(np.isfinite(values).all() for values in history.values())
    judge = getattr(model, "discriminator", None)
    judged = set() if judge is None else set(map(id, judge.variables))
    dtype = "float32" if "mixed" in policy else policy
    for variable, old in zip(model.trainable_variables, before, strict=True):
        expected = "float32" if id(variable) in judged else dtype
        assert variable.dtype == expected, variable.path
        (value,) = as_arrays(variable.value)
        assert np.isfinite(value).all(), variable.path
        assert (value != old).any(), variable.path


@pytest.mark.parametrize("make", [*MODELS, tamed])
def test_eager_graph_and_jit_are_the_same(make):
    found = []
    for mode in [
        {"run_eagerly": True},
        {"jit_compile": False},
        {"jit_compile": True},
    ]:
        keras.utils.set_random_seed(3)
        model = make()
        net = getattr(model, "generator", model)
        # XLA on TensorFlow draws other numbers: samples are means here.
        net.head.sample = lambda parameters, *unused: parameters[..., :FEATURES]
        net.head.sample_with_gradient = net.head.sample
        net._coins = lambda x: np.arange(15).reshape(5, 3) % 2 == 0
        history = trained(model, **mode)
        weights = [v.value for v in model.trainable_variables]
        found.append([*map(np.asarray, history.values()), *as_arrays(weights)])
    for others in found[1:]:
        for a, b in zip(found[0], others, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("make", [generator, discriminator])
def test_any_batch_and_time(make):
    model = make()
    symbolic = keras.tree.flatten(model(keras.Input((None, FEATURES))))
    for batch, time in ((3, 7), (2, 4), (0, 4)):
        outputs = keras.tree.flatten(model(make_inputs(batch, time)))
        assert len(outputs) == len(symbolic)
        for value, spec in zip(outputs, symbolic, strict=True):
            known = zip(spec.shape, value.shape, strict=True)
            assert all(a in (None, b) for a, b in known)
            assert keras.backend.standardize_dtype(value.dtype) == spec.dtype


@pytest.mark.parametrize("make", [forcing, matching])
def test_runs_of_any_batch_and_time(make):
    model = make()
    model.build((None, None, FEATURES))
    for batch, time in ((3, 7), (2, 4), (0, 4)):
        runs = model(make_inputs(batch, time))
        steps = model.free_running_steps or time
        assert runs.nats.shape == (batch, time)
        assert runs.hidden.shape[:2] == (2 * batch, steps)
        assert runs.parameters.shape[:2] == (2 * batch, steps)


def test_an_empty_batch_can_be_asked():
    model = generator()
    model.build((None, None, FEATURES))
    context = make_inputs(0, 3)
    assert model.forecast(context, horizon=2, num_samples=4).shape == (
        0,
        4,
        2,
        FEATURES,
    )
