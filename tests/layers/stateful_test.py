"""States and memory carry over from one batch to the next."""

import keras
import numpy as np
import pytest

from keras_seqcredit.layers import SABGRU
from keras_seqcredit.layers import SABLSTM

BATCH, TIME, FEATURES, UNITS = 2, 7, 2, 3
CUT = 3

CASES = {
    "lstm": (SABLSTM, {"memory_size": 3}),
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


def test_states_are_weights_that_are_not_trained():
    layer = make_model(CASES["lstm"]).get_layer("layer")
    # Two states, the memory, its mask, the time.
    assert len(layer.states) == 5
    names = [variable.path for variable in layer.non_trainable_weights]
    assert names == [state.path for state in layer.states]


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
