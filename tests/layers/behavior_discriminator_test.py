import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import BehaviorDiscriminator
from keras_seqcredit.layers.recurrent.behavior_discriminator import (
    constant_rows,
)
from tests.gradients import FASTEST
from tests.gradients import value_and_gradients


def make_behaviors(batch=3, time=5, features=4):
    random = np.random.default_rng(0)
    return random.normal(size=(batch, time, features)).astype("float32")


def test_padding_and_other_rows_change_nothing():
    layer = BehaviorDiscriminator(6)
    behaviors = make_behaviors()
    expected = ops.convert_to_numpy(layer(behaviors))
    assert expected.shape == (3,) and expected.dtype == "float32"
    padded = np.pad(behaviors, [(0, 0), (0, 2), (0, 0)], constant_values=np.nan)
    mask = np.tile(np.arange(7) < 5, (3, 1))
    np.testing.assert_allclose(
        layer(padded, mask=mask), expected, rtol=1e-5, atol=1e-6
    )
    behaviors[1] += 1
    changed = ops.convert_to_numpy(layer(behaviors)) != expected
    np.testing.assert_array_equal(changed, [False, True, False])


def test_reads_both_directions():
    layer = BehaviorDiscriminator(6)
    behaviors = make_behaviors()
    expected = ops.convert_to_numpy(layer(behaviors))
    found = ops.convert_to_numpy(layer(behaviors[:, ::-1]))
    assert (found != expected).all()


def test_is_that_of_two_recurrences_of_keras():
    layer = BehaviorDiscriminator(6)
    behaviors = make_behaviors()
    mask = np.arange(5) < np.array([[5], [2], [3]])
    found = layer(behaviors, mask=mask)
    gru = keras.layers.Bidirectional(
        keras.layers.GRU(6, return_sequences=True, use_cudnn=False)
    )
    gru.build(behaviors.shape)
    gru.set_weights(
        [
            weight
            for direction in layer._directions
            for weight in direction.get_weights()
        ]
    )
    states = gru(behaviors, mask=ops.convert_to_tensor(mask))
    for dense in [*layer._hidden, layer._logit]:
        states = dense(states)
    logits = ops.convert_to_numpy(states)[..., 0]
    expected = (logits * mask).sum(1) / mask.sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_constant_rows_have_no_gradient_and_change_no_other(masked):
    layer = BehaviorDiscriminator(6)
    behaviors = make_behaviors()
    layer(behaviors)
    variables = layer.trainable_variables
    weights = [ops.convert_to_numpy(v.value) for v in variables]
    mask = np.arange(5) < np.array([[5], [2], [3]]) if masked else None

    def gradients(rows=0):
        def loss(given):
            behaviors, *weights = given
            mapping = list(zip(variables, weights, strict=True))
            scope = keras.StatelessScope(state_mapping=mapping)
            with scope, constant_rows(layer, rows):
                return ops.sum(layer(behaviors, mask=mask) ** 2)

        return value_and_gradients(loss, [behaviors, *weights], FASTEST)[1]

    found, *of_weights = map(np.asarray, gradients(2))
    expected, *others = map(np.asarray, gradients())
    assert (expected[:2] != 0).any() and (found[:2] == 0).all()
    for a, b in zip(
        [found[2:], *of_weights], [expected[2:], *others], strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_is_saved(tmp_path):
    inputs = keras.Input((None, 4))
    layer = BehaviorDiscriminator(6, hidden_units=3, num_hidden=1)
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    behaviors = make_behaviors()
    np.testing.assert_allclose(loaded(behaviors), model(behaviors), rtol=1e-6)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="`units` to be a positive integer"):
        BehaviorDiscriminator(0)
    with pytest.raises(ValueError, match=r"Received: shape=\(3, 4\)"):
        BehaviorDiscriminator(3)(np.zeros((3, 4)))
    layer = BehaviorDiscriminator(3)
    layer(make_behaviors())
    with pytest.raises(ValueError, match="expected axis -1 .* value 4"):
        layer(make_behaviors(features=5))
