"""The layers stand where Keras' own recurrent layers do."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import SABGRU
from keras_seqcredit.layers import SABLSTM
from keras_seqcredit.layers import SparseAttentiveRNN
from tests.gradients import FASTEST
from tests.gradients import value_and_gradients
from tests.gradients import with_weights

BATCH, TIME, FEATURES, UNITS = 2, 5, 2, 3
MASK = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]], bool)


def make_inputs(*shape):
    random = np.random.default_rng(1)
    return random.normal(size=shape or (BATCH, TIME, FEATURES)).astype(
        "float32"
    )


def make_lstm(**arguments):
    arguments = {"k_top": 2, "return_sequences": True, **arguments}
    return SABLSTM(UNITS, k_trunc=2, **arguments)


def assert_close(a, b, tolerance=2e-6):
    a, b = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=tolerance)


MERGES = {
    "concat": lambda a, b: np.concatenate([a, b], -1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
    None: lambda a, b: [a, b],
}


@pytest.mark.parametrize("merge_mode", MERGES)
@pytest.mark.parametrize("sequences", [True, False])
def test_bidirectional(merge_mode, sequences):
    both = keras.layers.Bidirectional(
        make_lstm(return_sequences=sequences), merge_mode=merge_mode
    )
    inputs = make_inputs()
    found = both(inputs, mask=MASK)
    assert isinstance(both.backward_layer, SABLSTM)
    assert both.backward_layer.go_backwards
    forward = make_lstm(
        return_sequences=sequences, zero_output_for_mask=sequences
    )
    backward = make_lstm(
        return_sequences=sequences, zero_output_for_mask=sequences
    )
    for layer, source in (
        (forward, both.forward_layer),
        (backward, both.backward_layer),
    ):
        layer.build(inputs.shape)
        layer.set_weights(source.get_weights())
    a = np.asarray(forward(inputs, mask=MASK))
    b = np.asarray(backward(inputs[:, ::-1], mask=MASK[:, ::-1]))
    b = b[:, ::-1] if sequences else b
    expected = MERGES[merge_mode](a, b)
    if merge_mode is None:
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    else:
        assert_close(found, expected)


def test_bidirectional_saved(tmp_path):
    inputs = keras.Input((None, FEATURES))
    x = keras.layers.Masking()(inputs)
    x = keras.layers.Bidirectional(make_lstm(memory_size=3))(x)
    model = keras.Model(inputs, x)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    inputs = make_inputs() * MASK[..., None]
    np.testing.assert_array_equal(loaded(inputs), model(inputs))


def test_time_distributed():
    layer = make_lstm(return_sequences=False)
    inputs = make_inputs(BATCH, 4, TIME, FEATURES)
    found = keras.layers.TimeDistributed(layer)(inputs)
    assert found.shape == (BATCH, 4, UNITS)
    for i in range(4):
        assert_close(found[:, i], layer(inputs[:, i]))


@pytest.mark.parametrize("with_memory", [False, True])
def test_initial_state_keeps_the_mask(with_memory):
    layer = make_lstm(zero_output_for_mask=True)
    sequences = keras.Input((None, FEATURES))
    state = [keras.Input((UNITS,)), keras.Input((UNITS,))]
    if with_memory:
        state += [keras.Input((4, UNITS)), keras.Input((4,), dtype="bool")]
    masked = keras.layers.Masking()(sequences)
    outputs = layer(masked, initial_state=state)
    assert outputs.shape == (None, None, UNITS)
    model = keras.Model([sequences, *state], outputs)

    inputs = make_inputs() * MASK[..., None]
    values = [make_inputs(BATCH, UNITS), 2 * make_inputs(BATCH, UNITS)]
    if with_memory:
        memory_mask = np.array([[0, 1, 1, 1], [1, 0, 1, 0]], bool)
        values += [make_inputs(BATCH, 4, UNITS), memory_mask]
    found = np.asarray(model([inputs, *values]))
    assert_close(found, layer(inputs, initial_state=values, mask=MASK))
    assert (found[~MASK] == 0).all()
    assert (found[MASK] != 0).all()
    other = layer(inputs, mask=MASK)
    assert np.abs(found - ops.convert_to_numpy(other)).max() > 1e-2


def test_mask_reaches_the_layers_above():
    inputs = keras.Input((None, FEATURES))
    masked = keras.layers.Masking()(inputs)
    first = make_lstm()
    second = make_lstm(return_sequences=False, k_att=2)
    model = keras.Model(inputs, second(first(masked)))
    inputs = make_inputs() * MASK[..., None]
    expected = second(first(inputs, mask=MASK), mask=MASK)
    assert_close(model(inputs), expected)
    # Padding more changes nothing.
    padded = np.pad(inputs, [(0, 0), (0, 3), (0, 0)])
    np.testing.assert_array_equal(model(padded), model(inputs))


def test_gradient_of_a_stack():
    first, second = make_lstm(), make_lstm(return_sequences=False)
    model = keras.Sequential([first, second])
    inputs = make_inputs()
    model(inputs)

    def loss(arrays):
        return with_weights(
            model, arrays, lambda: ops.sum(ops.sin(model(inputs)))
        )

    arrays = [np.array(v) for v in model.trainable_variables]
    _, gradients = value_and_gradients(loss, arrays, FASTEST)
    assert len(gradients) == 10
    for gradient in gradients:
        assert np.abs(gradient).max() > 0


DROP_INS = {
    "lstm": (
        lambda **k: keras.layers.LSTM(UNITS, use_cudnn=False, **k),
        lambda **k: SABLSTM(UNITS, k_top=0, **k),
    ),
    "gru": (
        lambda **k: keras.layers.GRU(UNITS, use_cudnn=False, **k),
        lambda **k: SABGRU(UNITS, k_top=0, **k),
    ),
    "simple_rnn": (
        lambda **k: keras.layers.SimpleRNN(UNITS, **k),
        lambda **k: SparseAttentiveRNN(
            keras.layers.SimpleRNNCell(UNITS), k_top=0, **k
        ),
    ),
}


@pytest.mark.parametrize(("theirs", "ours"), DROP_INS.values(), ids=DROP_INS)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"go_backwards": True, "zero_output_for_mask": True},
    ],
    ids=["plain", "backwards"],
)
def test_weights_of_keras_layers(theirs, ours, arguments):
    arguments = {"return_sequences": True, "return_state": True, **arguments}
    theirs, ours = theirs(**arguments), ours(**arguments)
    inputs = make_inputs()
    theirs.build(inputs.shape)
    ours.build(inputs.shape)
    ours.set_weights(theirs.get_weights())
    weights = theirs.get_weights()

    def loss(layer):
        def total(arrays):
            outputs = with_weights(
                layer,
                arrays[1:],
                lambda: layer(arrays[0], mask=MASK),
            )
            return sum(
                ops.sum(ops.sin(output + number))
                for number, output in enumerate(outputs)
            )

        return total

    for a, b in zip(
        ours(inputs, mask=MASK), theirs(inputs, mask=MASK), strict=True
    ):
        assert_close(a, b, tolerance=1e-6)
    arrays = [inputs, *weights]
    _, expected = value_and_gradients(loss(theirs), arrays, FASTEST)
    _, found = value_and_gradients(loss(ours), arrays, FASTEST)
    for a, b in zip(found, expected, strict=True):
        assert np.abs(b).max() > 0.01
        assert_close(a, b, tolerance=5e-6)
