"""The auxiliary cost of Z-Forcing by hand, and where its gradient goes."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import AuxiliaryStateLoss
from keras_seqcredit.layers import ClippedMLP
from keras_seqcredit.schedules import LinearSchedule
from tests.gradients import FASTEST
from tests.gradients import value_and_gradients
from tests.laws.running import QUICKLY

BATCH, TIME, LATENT, UNITS, WEIGHT = 2, 5, 3, 4, 0.7
MASK = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1]], bool)
KINDS = ["gaussian", "l2"]


def make_layer(kind="gaussian", **arguments):
    layer = AuxiliaryStateLoss(kind, **{"weight": WEIGHT, **arguments})
    layer.build((BATCH, None, LATENT), (BATCH, None, UNITS))
    random = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    return layer


def make_inputs():
    random = np.random.default_rng(1)
    return [
        random.normal(size=(BATCH, TIME, size)).astype("float32")
        for size in (LATENT, UNITS)
    ]


def by_hand(layer, latent, state):
    """The cost of each step, of the `ClippedMLP` and its density."""
    kernel, bias, out_kernel, out_bias = layer.get_weights()[:4]
    hidden = latent @ kernel + bias
    hidden = np.clip(np.where(hidden > 0, hidden, hidden / 3), -3, 3)
    outputs = np.clip(hidden @ out_kernel + out_bias, -8, 8)
    mean = outputs[..., :UNITS]
    mean = np.tanh(mean) if layer.bounded else mean
    if layer.kind == "l2":
        return ((state - mean) ** 2).sum(axis=-1)
    log_variance = outputs[..., UNITS:]
    error = (state - mean) ** 2 / np.exp(log_variance)
    nats = 0.5 * (error + log_variance + math.log(2 * math.pi))
    return nats.sum(axis=-1)


def as_numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_value(kind, bounded, mask):
    layer = make_layer(kind, bounded=bounded)
    latent, state = make_inputs()
    expected = by_hand(layer, latent, state)
    valid = np.ones((BATCH, TIME), bool) if mask is None else mask
    found = as_numpy(layer(latent, state, mask=mask))
    assert found.dtype == "float32"
    np.testing.assert_allclose(
        found, np.where(valid, expected, 0), rtol=1e-4, atol=1e-4
    )
    (loss,) = layer.losses
    mean = expected[valid].mean()
    assert float(loss) == pytest.approx(WEIGHT * mean, rel=1e-4)


def test_padding_may_hold_anything():
    layer, inputs = make_layer(), make_inputs()
    expected = as_numpy(layer(*inputs, mask=MASK))
    for value in (np.nan, np.inf):
        for x in inputs:
            x[~MASK] = value
        np.testing.assert_array_equal(layer(*inputs, mask=MASK), expected)
        assert np.isfinite(float(layer.losses[0]))


def test_nothing_but_padding_costs_nothing():
    layer = make_layer()
    layer(*make_inputs(), mask=np.zeros((BATCH, TIME), bool))
    assert float(layer.losses[0]) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_leaves_the_state_and_padding_alone(kind):
    layer = make_layer(kind)

    def loss(arrays):
        with keras.StatelessScope(collect_losses=True) as scope:
            layer(*arrays, mask=MASK)
        return scope.losses[0]

    _, (of_latent, of_state) = value_and_gradients(loss, make_inputs(), FASTEST)
    assert (of_state == 0).all()
    assert (of_latent[~MASK] == 0).all()
    assert (np.abs(of_latent[MASK]).max(axis=-1) > 0).all()


def test_the_mask_is_that_of_the_latent():
    inputs = keras.Input((None, LATENT)), keras.Input((None, UNITS))
    layer = make_layer()
    cost = layer(keras.layers.Masking()(inputs[0]), inputs[1])
    model = keras.Model(inputs, cost)
    latent, state = make_inputs()
    latent[~MASK] = 0
    expected = as_numpy(make_layer()(latent, state, mask=MASK))
    np.testing.assert_allclose(model([latent, state]), expected, rtol=1e-5)
    assert (expected[~MASK] == 0).all()


def test_weight_0_adds_no_loss():
    layer = make_layer(weight=0.0)
    assert np.abs(as_numpy(layer(*make_inputs()))).min() > 0
    assert layer.losses == []


def make_network():
    return keras.Sequential(
        [keras.layers.Dense(6, "tanh"), keras.layers.Dense(UNITS)]
    )


def test_a_network_of_ones_own():
    network = make_network()
    layer = make_layer("l2", network=network, bounded=False)
    latent, state = make_inputs()
    expected = ((state - as_numpy(network(latent))) ** 2).sum(axis=-1)
    np.testing.assert_allclose(layer(latent, state), expected, rtol=1e-4)
    # It is built for any batch and time.
    found = layer(latent[:1, :3], state[:1, :3])
    np.testing.assert_allclose(found, expected[:1, :3], rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "outputs"), [("gaussian", UNITS), ("l2", 2 * UNITS)]
)
def test_a_network_of_the_wrong_size(kind, outputs):
    expected = 3 * UNITS - outputs
    message = f"of {expected} outputs .* 4 units.*'{kind}'.*: {outputs} outputs"
    with pytest.raises(ValueError, match=message):
        make_layer(kind, network=keras.layers.Dense(outputs))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "l1"}, "`kind` to be one of"),
        ({"weight": -0.1}, "`weight` to be a non-negative.*weight=-0.1"),
        ({"weight": "high"}, "a weight to be a finite number.*'high'"),
        ({"weight": float("nan")}, "a weight to be a finite number.*nan"),
        ({"hidden_units": 0}, "`hidden_units` to be a positive"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AuxiliaryStateLoss(**arguments)


def test_a_schedule_moves_on_in_training():
    schedule = LinearSchedule(0.0, 1.0, 4)
    layer = make_layer(weight=schedule)
    inputs = make_inputs()
    mean = as_numpy(layer(*inputs)).mean()
    assert float(layer.losses[0]) == 0
    for update in range(6):
        layer(*inputs, training=True)
        assert float(layer.losses[0]) == pytest.approx(
            min(update / 4, 1) * mean, rel=1e-4
        )
        assert int(layer.updates.value) == update + 1
    layer(*inputs)
    assert int(layer.updates.value) == 6


@pytest.mark.parametrize("network", [None, make_network])
def test_saving(network, tmp_path):
    inputs = keras.Input((None, LATENT)), keras.Input((None, UNITS))
    layer = AuxiliaryStateLoss(
        "l2",
        weight=LinearSchedule(0.5, 1.0, 4),
        hidden_units=3,
        network=network and network(),
        bounded=False,
        name="cost",
    )
    model = keras.Model(inputs, layer(*inputs))
    model.compile("sgd", **QUICKLY)
    arrays = make_inputs()
    model.fit(arrays, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    same = loaded.get_layer("cost")
    # Keras writes a network's shapes in other ways; its outputs are below.
    own = {"network": None}
    assert {**same.get_config(), **own} == {**layer.get_config(), **own}
    assert int(same.updates.value) == 2
    np.testing.assert_array_equal(loaded(arrays), model(arrays))
    assert float(loaded.losses[0]) == float(model.losses[0]) > 0
    if network is None:
        assert isinstance(same._network, ClippedMLP)
        assert same._network.hidden_units == 3
