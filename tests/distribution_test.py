"""Training on several devices is training on one.

On TensorFlow `MirroredStrategy` on two logical devices, on JAX `DataParallel`
and `ModelParallel` on eight. Replicas of TensorFlow draw other noise than one
device does: there, what is compared is trained on noise that is the same
everywhere.
"""

import contextlib
import functools
import math
import re

import keras
import numpy as np
import pytest

from keras_seqcredit import layers
from keras_seqcredit import metrics
from keras_seqcredit import models
from keras_seqcredit import utils
from tests import small_systems
from tests.laws.export_test import OTHERS
from tests.laws.running import build
from tests.laws.table import FEATURES
from tests.laws.table import ROWS

TENSORFLOW = keras.backend.backend() == "tensorflow"


@functools.cache
def mirrored_strategy():
    """One for all tests: those of a process share what they have reduced."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@contextlib.contextmanager
def data_parallel():
    if TENSORFLOW:
        with mirrored_strategy().scope():
            yield
        return
    devices = keras.distribution.list_devices("cpu")
    assert len(devices) == 8
    with distribution(keras.distribution.DataParallel(devices=devices)):
        yield


@contextlib.contextmanager
def distribution(found):
    keras.distribution.set_distribution(found)
    try:
        yield
    finally:
        keras.distribution.set_distribution(None)


class MeanHead(layers.GaussianHead):
    """Its samples are its means."""

    def sample(self, parameters, seed=None, temperature=1.0):
        return self.distribution(parameters).mean()

    sample_with_gradient = sample


@pytest.fixture
def same_noise(monkeypatch):
    """Arguments of models that have noise of their own."""
    if not TENSORFLOW:
        return {}

    def constant(shape, *args, dtype=None, **kwargs):
        return keras.ops.full(shape, 0.3, dtype or "float32")

    monkeypatch.setattr(keras.random, "normal", constant)
    monkeypatch.setattr(keras.random, "uniform", constant)
    monkeypatch.setattr(
        keras.layers.Dropout, "call", lambda self, x, training=False: x
    )
    return {"head": MeanHead}


def trained(make, **kwargs):
    model = small_systems.compiled(make, **kwargs)
    history = fitted(model, make)
    state = [*model.weights, *model.optimizer.variables]
    return history, {
        f"{i} {v.path}": keras.ops.convert_to_numpy(v)
        for i, v in enumerate(state)
    }


def fitted(model, make, batch_size=16):
    return model.fit(
        *small_systems.data(make),
        batch_size=batch_size,
        epochs=2,
        shuffle=False,
        verbose=0,
    ).history


def assert_same(found, expected):
    for (name, values), others in zip(
        found.items(), expected.values(), strict=True
    ):
        if "free_running_gap" in name:
            continue  # Of neighbors in a batch, which replicas split.
        np.testing.assert_allclose(
            values, others, rtol=2e-4, atol=2e-5, err_msg=name
        )


@pytest.mark.parametrize("name", [*small_systems.SYSTEMS, "sab_lstm"])
def test_data_parallel_trains_as_one_device(name, same_noise):
    make = getattr(small_systems, name)
    kwargs = {}
    if name in ("autoregressive", "professor_forcing"):
        kwargs = same_noise
    one = trained(make, optimizer=small_systems.sgd, **kwargs)
    with data_parallel():
        several = trained(make, optimizer=small_systems.sgd, **kwargs)
    for found, expected in zip(several, one, strict=True):
        assert_same(found, expected)
    if name == "professor_forcing":  # Its gates were open and shut.
        for gate in ("discriminator_open", "generator_open"):
            assert 0 < np.mean(one[0][gate]) < 1


def test_a_stronger_adversary_trains_as_on_one_device(same_noise):
    def professor_forcing(head=layers.GaussianHead):
        return models.ProfessorForcing(
            models.AutoregressiveRNN(
                keras.layers.GRUCell(5), head(small_systems.FEATURES)
            ),
            layers.BehaviorDiscriminator(8, dtype="float32"),
            adversarial_weight=0.5,
            discriminator_accuracy_range=(0.1, 0.99),
            discriminator_penalty=0.3,
            relative_weight=True,
            sample_gradient=True,
        )

    given = {"optimizer": small_systems.sgd, **same_noise}
    one = trained(professor_forcing, **given)
    with data_parallel():
        several = trained(professor_forcing, **given)
    for found, expected in zip(several, one, strict=True):
        assert_same(found, expected)


# Dropout draws other noise on each replica.
SHARED = [row for row in ROWS if row.name != "lstm_dropout"]
if TENSORFLOW:  # It traces each for each replica: of those alike, one.
    ALIKE = (
        "lstm", "lstm_sequences", "lstm_without_attention", "lstm_concat",
        "lstm_dot", "simple_rnn",
    )  # fmt: skip
    SHARED = [row for row in SHARED if row.name not in ALIKE]


def model_of_all(normalizing):
    """A model of each layer, whose output is a number for each."""
    x = keras.Input((small_systems.TIME, FEATURES))
    outputs = [
        create(x)
        for name, create in OTHERS.items()
        if normalizing == (name == "step_normalization")
    ]
    if not normalizing:
        outputs += [build(row)(x) for row in SHARED]
    numbers = []
    for output in keras.tree.flatten(outputs):
        if "float" in output.dtype:
            size = math.prod(output.shape[1:])
            output = keras.ops.reshape(output, (-1, size))
            numbers.append(keras.ops.mean(keras.ops.square(output), axis=1))
    return keras.Model(x, keras.ops.stack(numbers, axis=1))


# Apart: normalization that replicas share, and losses that layers add, do not
# go together under a strategy, in Keras neither.
@pytest.mark.parametrize("normalizing", [True, False])
def test_every_layer_trains_as_on_one_device(normalizing):
    random = np.random.default_rng(0)
    x = random.normal(size=(16, small_systems.TIME, FEATURES)).astype("float32")

    def trained():
        keras.utils.set_random_seed(0)
        model = model_of_all(normalizing)
        y = np.zeros((len(x), model.output.shape[1]), "float32")
        model.compile(small_systems.sgd(0.1), "mse")
        history = model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        state = [*model.weights, *model.optimizer.variables]
        return history.history, {
            f"{i} {v.path}": keras.ops.convert_to_numpy(v)
            for i, v in enumerate(state)
            if "seed" not in v.path
        }

    one = trained()
    with data_parallel():
        several = trained()
    for found, expected in zip(several, one, strict=True):
        assert_same(found, expected)


@pytest.mark.skipif(not TENSORFLOW, reason="JAX has no replicas")
def test_replicas_draw_other_noise():
    with data_parallel():
        layer = layers.StochasticRNN(4, latent_dim=2, return_sequences=True)
        layer.build((None, 5, 3))
    x = keras.ops.ones((2, 5, 3))
    strategy = mirrored_strategy()
    found = [
        strategy.experimental_local_results(
            strategy.run(layer, (x,), {"sample_from": "prior"})
        )
        for _ in range(2)
    ]
    draws = [np.array(y) for pair in found for y in pair]
    for i in range(4):
        for j in range(i):
            assert not np.allclose(draws[i], draws[j])


@pytest.mark.skipif(TENSORFLOW, reason="replicas are tested above")
def test_devices_draw_other_noise():
    with data_parallel():
        model = small_systems.compiled(small_systems.walkback)
        x = np.ones((8, small_systems.FEATURES), "float32")
        last = np.array(model.predict(x, batch_size=8, verbose=0)["last"])
    assert len(np.unique(last, axis=0)) == 8


def test_active_units_are_those_of_all_replicas():
    means = np.random.normal(size=(16, 5, 3)).astype("float32")
    means[8:] += [0.0, 1.0, 2.0]
    one = metrics.ActiveUnits(3)
    one.update_state(means)
    one.update_state(means + 1)
    with data_parallel():
        several = metrics.ActiveUnits(3)
        if not TENSORFLOW:
            several.update_state(means)
            several.update_state(means + 1)
    if TENSORFLOW:
        halves = np.split(means, 2)
        strategy = mirrored_strategy()
        for shift in (0, 1):
            shared = strategy.experimental_distribute_values_from_function(
                lambda context, shift=shift: keras.ops.convert_to_tensor(
                    halves[context.replica_id_in_sync_group] + shift
                )
            )
            strategy.run(several.update_state, (shared,))
    np.testing.assert_allclose(several.variances(), one.variances(), rtol=1e-5)


@pytest.mark.parametrize("examples, batch_size", [(30, 10), (24, 15)])
def test_says_that_a_batch_cannot_be_shared(examples, batch_size):
    if TENSORFLOW:  # It has two replicas.
        examples, batch_size = examples + 1, batch_size + batch_size % 2
    with data_parallel():
        model = small_systems.compiled(small_systems.autoregressive)
        x = np.zeros((examples, 5, small_systems.FEATURES), "float32")
        with pytest.raises(ValueError, match=f"Received: {examples} examples"):
            model.fit(x, batch_size=batch_size, verbose=0)
    utils.check_batches(
        small_systems.compiled(small_systems.autoregressive), 31, 7
    )


@pytest.mark.skipif(not TENSORFLOW, reason="JAX compiles on any devices")
def test_says_that_xla_has_no_replicas():
    with data_parallel():
        model = small_systems.autoregressive()
        model.compile("adam", jit_compile=True)
    x = np.zeros((4, 5, small_systems.FEATURES), "float32")
    with pytest.raises(ValueError, match="Received: jit_compile=True"):
        model.fit(x, verbose=0)


@pytest.mark.skipif(TENSORFLOW, reason="Keras has it on JAX only")
@pytest.mark.parametrize(
    "make", small_systems.CLASSIFIERS, ids=lambda make: make.__name__
)
def test_model_parallel_trains_as_one_device(make):
    one = trained(make, optimizer=small_systems.sgd)
    mesh = keras.distribution.DeviceMesh(
        (2, 4),
        ("batch", "model"),
        devices=keras.distribution.list_devices("cpu"),
    )
    layout = keras.distribution.LayoutMap(mesh)
    # As in the guide "Several devices".
    layout[".*(cell|attention|prior|posterior)/.*kernel"] = (None, "model")
    parallel = keras.distribution.ModelParallel(
        layout_map=layout, batch_dim_name="batch"
    )
    with distribution(parallel):
        several = trained(make, optimizer=small_systems.sgd)
        model = small_systems.compiled(make)
    for found, expected in zip(several, one, strict=True):
        assert_same(found, expected)
    kernels = [v for v in model.weights if v.path.endswith("kernel")]
    sharded = [
        v
        for v in kernels
        if v.value.addressable_shards[0].data.shape[1] * 4 == v.shape[1]
    ]
    assert len(sharded) >= 4
    assert any(v.path.endswith("cell/recurrent_kernel") for v in sharded)


def dropping():
    rnn = layers.SABLSTM(
        8, k_top=2, k_trunc=3, dropout=0.2, recurrent_dropout=0.2
    )
    return keras.Sequential([keras.Input((5, small_systems.FEATURES)), rnn])


@pytest.mark.skipif(TENSORFLOW, reason="JAX compiles what devices exchange")
@pytest.mark.parametrize(
    "make",
    [small_systems.sparse_attentive, small_systems.stochastic, dropping],
    ids=lambda make: make.__name__,
)
def test_devices_exchange_nothing_within_a_loop(make):
    import jax

    with data_parallel():
        model = make()
        x = np.zeros((16, small_systems.TIME, small_systems.FEATURES))
        layout = keras.distribution.distribution().get_data_layout(x.shape)
        x = jax.device_put(x.astype("float32"), layout.backend_layout)

        def loss(trained, others, x):
            outputs, _ = model.stateless_call(trained, others, x, training=True)
            return keras.ops.sum(outputs)

        program = jax.jit(jax.grad(loss)).lower(
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
            x,
        )
        text = program.compile().as_text()
    bodies = set(re.findall(r"body=%?([\w.-]+)", text))
    assert bodies
    exchanges = []
    for line in text.splitlines():
        start = re.match(r"%?([\w.-]+) .*\{$", line)
        if start:
            computation = start[1]
        if re.search(r" (all-\w+|collective-permute)(-start)?\(", line):
            exchanges.append(computation)
    # Gradients, once.
    assert len(exchanges) == 1
    assert not bodies & set(exchanges)


@pytest.mark.skipif(not TENSORFLOW, reason="a dataset of TensorFlow")
def test_a_dataset_of_unknown_length_is_not_counted():
    import tensorflow as tf

    make = small_systems.autoregressive
    (x,) = small_systems.data(make)
    batches = tf.data.Dataset.from_tensors(x).filter(lambda _: True)
    with pytest.raises(TypeError):
        len(batches)
    small_systems.compiled(make).fit(batches, verbose=0)
