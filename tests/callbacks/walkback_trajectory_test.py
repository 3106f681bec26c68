import re

import numpy as np
import pytest

from keras_seqcredit.callbacks import WalkbackTrajectory
from keras_seqcredit.callbacks.walkback_trajectory import _field
from tests.callbacks import event_files
from tests.callbacks.small_models import walkback
from tests.on_one_backend import only_on

# TensorFlow compiles long: it has every view in `view_test.py`.
pytestmark = only_on("jax")

VALUES = np.random.default_rng(0).normal(size=(6, 8)).astype("float32")
TAGS = {"walkback/forward", "walkback/back"}


@pytest.mark.parametrize(
    "shape, kwargs, more",
    [
        (2, {}, {"walkback/field"}),
        (8, {}, set()),
        (8, {"image_shape": (2, 4)}, set()),
        ((2, 2, 2), {"frames": 2}, set()),
    ],
)
def test_is_written_for_tensorboard(shape, kwargs, more, tmp_path):
    event = (shape,) if isinstance(shape, int) else shape
    x = VALUES[:, : np.prod(event)].reshape(6, *event)
    view = WalkbackTrajectory(x, tmp_path, **kwargs)
    walkback(shape).fit(x, epochs=2, verbose=0, callbacks=[view])
    events = event_files.read(tmp_path / "walkback")
    assert set(events.Tags()["images"]) == TAGS | more
    for tag in TAGS | more:
        assert [image.step for image in events.Images(tag)] == [0, 1]


def test_chains_are_those_of_the_model(tmp_path):
    model = walkback()
    x = VALUES[:, :2]
    view = WalkbackTrajectory(x, tmp_path)
    model.fit(x, verbose=0, callbacks=[view])
    forward, back, (grid, steps) = view.observe(0, {})
    assert forward.shape == back.shape == (4, 6, 2)
    np.testing.assert_array_equal(forward[0], x)
    np.testing.assert_array_equal(
        back, model.sample(6, return_trajectory=True, seed=0)
    )
    np.testing.assert_allclose(grid + steps, model.denoise(grid), atol=1e-6)


def test_field_is_around_the_data():
    class Still:
        def denoise(self, grid):
            return grid

    x = np.array([[0.0, 10.0], [1.0, 30.0]], "float32")
    grid, steps = _field(Still(), x)
    assert (steps == 0).all()
    np.testing.assert_allclose(grid.min(axis=0), [-0.25, 5])
    np.testing.assert_allclose(grid.max(axis=0), [1.25, 35])


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"image_shape": (3, 3)}, "image_shape=(3, 3)"),
        ({"image_shape": (8,)}, "image_shape=(8,)"),
        ({"frames": 0}, "frames=0"),
    ],
)
def test_says_which_argument_is_wrong(kwargs, message, tmp_path):
    with pytest.raises(ValueError, match=f"Received: .*{re.escape(message)}"):
        WalkbackTrajectory(VALUES, tmp_path, **kwargs)
