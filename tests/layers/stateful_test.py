"""States and memory carry over from one batch to the next."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_seqcredit.callbacks import ExactResume
from keras_seqcredit.layers import SABGRU
from keras_seqcredit.layers import SABLSTM
from keras_seqcredit.layers import StochasticRNN
from keras_seqcredit.schedules import LinearSchedule

BATCH, TIME, FEATURES, UNITS = 2, 7, 2, 3
CUT = 3

PAPER = {"memory_content": "state", "read_into": "state"}
CASES = {
    "lstm": (SABLSTM, {"memory_size": 3, **PAPER}),
    "into_output": (SABLSTM, {"memory_size": 3}),
    "every_other": (SABLSTM, {"memory_size": 2, "k_att": 2}),
    "gru": (SABGRU, {"memory_size": 4, "attention": "dot"}),
    "without_attention": (SABLSTM, {"k_top": 0}),
}


def make_model(case, stateful=True):
    kind, arguments = case
    arguments = {"k_top": 2, "return_sequences": True, **arguments}
    layer = kind(UNITS, stateful=stateful, name="layer", **arguments)
    return keras.Sequential(
        [keras.Input(batch_shape=(BATCH, None, FEATURES)), layer]
    )


def make_inputs(batch=BATCH, time=TIME):
    random = np.random.default_rng(1)
    return random.normal(size=(batch, time, FEATURES)).astype("float32")


def pair(case):
    """A stateful model, and one that is not, with the same weights."""
    model, whole = make_model(case), make_model(case, stateful=False)
    random = np.random.default_rng(0)
    for a, b in zip(
        model.trainable_variables, whole.trainable_variables, strict=True
    ):
        value = 0.8 * random.normal(size=a.shape)
        a.assign(value)
        b.assign(value)
    return model, whole


def run(model, inputs, way):
    if way == "call":
        return np.asarray(model(inputs))
    return model.predict(inputs, batch_size=BATCH, verbose=0)


def assert_close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "way"),
    [*((name, "call") for name in CASES), ("every_other", "predict")],
)
def test_two_pieces_are_the_whole(name, way):
    model, whole = pair(CASES[name])
    inputs = make_inputs()
    expected = np.asarray(whole(inputs))
    for _ in range(2):
        first = run(model, inputs[:, :CUT], way)
        second = run(model, inputs[:, CUT:], way)
        assert_close(np.concatenate([first, second], axis=1), expected)
        # What came before changes what comes now.
        third = run(model, inputs[:, :CUT], way)
        assert np.abs(third - expected[:, :CUT]).max() > 1e-3
        model.get_layer("layer").reset_state()


@pytest.mark.parametrize("name", ["lstm", "without_attention"])
def test_fit_carries_the_state(name):
    model, whole = pair(CASES[name])
    pieces = make_inputs(batch=3 * BATCH, time=4)
    # With a learning rate of 0 only the states change.
    model.compile(keras.optimizers.SGD(0.0), "mse")
    targets = np.zeros((3 * BATCH, 4, UNITS), "float32")
    model.fit(pieces, targets, batch_size=BATCH, shuffle=False, verbose=0)
    inputs = np.concatenate(np.split(pieces, 3), axis=1)
    expected = np.asarray(whole(inputs))
    layer = model.get_layer("layer")
    assert_close(layer.states[0], expected[:, -1])
    assert int(layer.states[-1]) == 12
    if layer.k_top:
        slots = expected[:, -layer.memory_size :]
        assert_close(layer.states[-3], slots)


def test_states_are_no_weights():
    layer = make_model(CASES["lstm"]).get_layer("layer")
    # Two states, the memory, its mask, the time.
    assert len(layer.states) == 5
    assert layer.weights == layer.trainable_weights
    paths = [variable.path for variable in layer.non_trainable_variables[-5:]]
    assert paths == [state.path for state in layer.states]
    assert all(path.endswith("layer/rnn_state") for path in paths)


def make_stochastic(stateful, batch):
    layer = StochasticRNN(
        UNITS,
        latent_dim=2,
        kl_weight=LinearSchedule(0.0, 1.0, 10),
        stateful=stateful,
        seed=1,
        name="layer",
    )
    inputs = keras.Input(batch_shape=(batch, None, FEATURES))
    return keras.Sequential([inputs, layer])


def make_attentive(stateful, batch):
    layer = SABLSTM(
        UNITS, k_top=2, memory_size=3, stateful=stateful, name="layer"
    )
    inputs = keras.Input(batch_shape=(batch, None, FEATURES))
    return keras.Sequential([inputs, layer])


every_layer = pytest.mark.parametrize("make", [make_attentive, make_stochastic])
STATELESS, LARGE, SERVED = (False, None), (True, 4), (True, 1)


@every_layer
@pytest.mark.parametrize(
    ("trained", "used"),
    [(STATELESS, SERVED), (LARGE, SERVED), (SERVED, STATELESS)],
)
def test_weights_go_from_one_batch_size_to_another(
    make, trained, used, tmp_path
):
    model, other, third = make(*trained), make(*used), make(*used)
    model(make_inputs(batch=trained[1] or 2))
    other.set_weights(model.get_weights())
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    third.load_weights(path)
    for found in (other, third):
        for a, b in zip(model.weights, found.weights, strict=True):
            np.testing.assert_array_equal(a, b)
        if used[0]:
            for state in found.get_layer("layer").states[:2]:
                assert not np.asarray(state).any()
        assert np.isfinite(found.predict(make_inputs(batch=1), verbose=0)).all()


@every_layer
def test_weights_of_the_same_batch_size_bring_their_states(make, tmp_path):
    model, other = make(*LARGE), make(*LARGE)
    model(make_inputs(batch=4))
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    states, found = (m.get_layer("layer").states for m in (model, other))
    assert np.asarray(states[0]).any()
    for a, b in zip(states, found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_in_which_states_are_weights():
    """Made when they were; so was the last output of the next four steps."""
    path = Path(__file__).parent / "stateful_states_as_weights.keras"
    model = keras.saving.load_model(path)
    states = model.get_layer("stochastic").states
    expected = [[0.074358962, 0.156023204], [-0.080651656, -0.153216541]]
    assert_close(states[0], np.array(expected))
    states = model.get_layer("attentive").states
    assert int(states[-1]) == 4
    inputs = np.random.default_rng(0).normal(size=(2, 4, 2)).astype("float32")
    output, _ = model(inputs)
    expected = [-0.513277352, -0.376600623, -0.453856736]
    assert_close(output[0, -1], np.array(expected))


@every_layer
def test_another_batch_size(make):
    model = make(*LARGE)
    for x in (make_inputs(batch=3), keras.Input(batch_shape=(3, 5, FEATURES))):
        with pytest.raises(ValueError, match="is stateful") as error:
            model.get_layer("layer")(x)
        error.match("Expected batch size: 4. Received: batch size 3")
    with pytest.raises(ValueError, match="Received: batch size 3"):
        model.predict(make_inputs(batch=3), verbose=0)


@every_layer
def test_a_resumed_training_goes_on_with_its_states(make, tmp_path):
    """As one that was not disturbed, to the last bit."""
    inputs, targets = make_inputs(batch=8), np.zeros((8, UNITS), "float32")

    def train(folder, epochs, **arguments):
        keras.utils.set_random_seed(3)
        model = make(*LARGE)
        model.compile("adam", "mse")
        model.fit(
            inputs,
            targets,
            batch_size=4,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[ExactResume(tmp_path / folder, **arguments)],
        )
        return model

    whole = train("whole", 3)
    train("parts", 2, delete_checkpoint=False)
    resumed = train("parts", 3)
    for a, b in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["every_other", "without_attention"])
def test_saved_with_its_state(name, tmp_path):
    model, whole = pair(CASES[name])
    inputs = make_inputs()
    first = np.asarray(model(inputs[:, :CUT]))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    second = np.asarray(loaded(inputs[:, CUT:]))
    both = np.concatenate([first, second], axis=1)
    assert_close(both, np.asarray(whole(inputs)))


def test_mask():
    model, whole = pair(CASES["every_other"])
    inputs = make_inputs()
    mask = np.array([[1, 0, 1, 1, 0, 1, 1], [1, 1, 0, 0, 1, 1, 0]], bool)
    layer = model.get_layer("layer")
    pieces = [
        np.asarray(layer(inputs[:, part], mask=mask[:, part]))
        for part in (slice(None, CUT), slice(CUT, None))
    ]
    expected = whole.get_layer("layer")(inputs, mask=mask)
    assert_close(np.concatenate(pieces, axis=1), np.asarray(expected))


def test_unknown_batch_size():
    with pytest.raises(ValueError, match="batch size") as error:
        SABLSTM(UNITS, k_top=2, memory_size=3, stateful=True)(
            keras.Input((None, FEATURES))
        )
    assert "batch_size=None" in str(error.value)
