"""A sequence step by step, or in pieces, is the sequence as a whole."""

import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import SABGRU
from keras_seqcredit.layers import SABLSTM
from tests.gradients import FASTEST
from tests.gradients import value_and_gradients

BATCH, TIME, FEATURES, UNITS = 2, 7, 2, 3
CUT = 3  # not a multiple of k_att

CASES = {
    "additive": {},
    "dot": {"attention": "dot"},
    "concat": {"attention": "concat"},
    "every_other": {"k_att": 2},
    "ring": {"memory_size": 2, "attention_units": 4},
    "ring_every_other": {"memory_size": 2, "k_att": 2, "attention": "dot"},
    "provisional": {"memory_content": "provisional", "k_top": 1},
    "into_output": {"read_into": "output", "k_att": 2},
    "into_output_provisional": {
        "read_into": "output",
        "memory_content": "provisional",
        "memory_size": 3,
    },
    "mean": {"read_into": "mean", "attention": "dot"},
    "dense": {"k_top": None},
    "dense_ring": {"k_top": None, "memory_size": 2, "read_into": "output"},
    "without_attention": {"k_top": 0},
    "gru": {"kind": SABGRU},
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def make_layer(case):
    case = {"k_top": 2, "kind": SABLSTM, **case}
    layer = case.pop("kind")(
        UNITS,
        return_sequences=True,
        return_state=True,
        return_summary=True,
        return_memory=case["k_top"] != 0,
        **case,
    )
    layer.build((BATCH, None, FEATURES))
    random = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        variable.assign(0.8 * random.normal(size=variable.shape))
    return layer


def make_inputs():
    random = np.random.default_rng(1)
    return random.normal(size=(BATCH, TIME, FEATURES)).astype("float32")


def first_state(layer):
    slots = None if layer.memory_size else TIME + 1
    return layer.get_initial_state(BATCH, memory_size=slots)


def stream(layer, inputs, state):
    """All outputs `(B, T, 2 * units)` and the last state."""
    outputs = []
    for t in range(inputs.shape[1]):
        output, state = layer.step(inputs[:, t], state)
        outputs.append(output)
    return ops.stack(outputs, axis=1), state


def assert_close(a, b):
    a, b = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


@every_case
def test_step_by_step(case):
    layer, inputs = make_layer(case), make_inputs()
    expected, *final = layer(inputs)
    output, state = stream(layer, inputs, first_state(layer))
    assert_close(output, expected)
    for a, b in zip(state, final[: len(layer._sizes)], strict=False):
        assert_close(a, b)
    if layer.k_top != 0:
        memory, mask = final[-2:]
        found, found_mask = state[len(final) - 2 : len(final)]
        slots = int(np.asarray(mask).sum(axis=1).max())
        assert slots > 1
        assert_close(found[:, -slots:], memory[:, -slots:])
        assert_close(found_mask[:, -slots:], mask[:, -slots:])
    time = state[len(final)]
    assert int(time) == TIME


@every_case
def test_steps_then_call(case):
    layer, inputs = make_layer(case), make_inputs()
    expected = layer(inputs)[0]
    first, state = stream(layer, inputs[:, :CUT], first_state(layer))
    second = layer(inputs[:, CUT:], initial_state=state)[0]
    assert_close(ops.concatenate([first, second], axis=1), expected)


@every_case
def test_call_then_steps(case):
    layer, inputs = make_layer(case), make_inputs()
    # Without a count of steps, k_att starts anew.
    cut = CUT - CUT % layer.k_att
    expected = layer(inputs)[0]
    # `step` keeps a memory of fixed size: one that can hold all.
    start = first_state(layer)
    first, *state = layer(inputs[:, :cut], initial_state=start)
    second, _ = stream(layer, inputs[:, cut:], state)
    assert_close(ops.concatenate([first, second], axis=1), expected)


@every_case
def test_two_calls(case):
    layer, inputs = make_layer(case), make_inputs()
    cut = CUT - CUT % layer.k_att
    expected = layer(inputs)
    first, *state = layer(inputs[:, :cut])
    second, *final = layer(inputs[:, cut:], initial_state=state)
    assert_close(ops.concatenate([first, second], axis=1), expected[0])
    for a, b in zip(final, expected[1:], strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("name", ["additive", "ring_every_other"])
def test_gradient_of_steps(name):
    layer = make_layer(CASES[name])

    def of_whole(arrays):
        return ops.sum(ops.sin(layer(arrays[0])[0]))

    def of_steps(arrays):
        outputs, _ = stream(layer, arrays[0], first_state(layer))
        return ops.sum(ops.sin(outputs))

    inputs = [make_inputs()]
    value, (expected,) = value_and_gradients(of_whole, inputs, FASTEST)
    found, (gradient,) = value_and_gradients(of_steps, inputs, FASTEST)
    assert found == pytest.approx(value, rel=1e-5)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_dropout_is_not_applied():
    layer = make_layer({"dropout": 0.5, "recurrent_dropout": 0.5})
    inputs = make_inputs()
    output, _ = stream(layer, inputs, first_state(layer))
    assert_close(output, layer(inputs, training=False)[0])


def test_memory_size_is_needed():
    layer = make_layer({})
    with pytest.raises(ValueError, match="memory_size") as error:
        layer.get_initial_state(BATCH)
    assert "memory_size=None" in str(error.value)
