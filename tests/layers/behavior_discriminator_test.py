import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.layers import BehaviorDiscriminator


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
