"""A model is gone, with its memory, before that of the next trial is made."""

import weakref

import keras
import pytest

from tests.tuners.conftest import SmallSpace
from tests.tuners.conftest import small
from tests.tuners.conftest import statuses


class Watched(SmallSpace):
    """Counts the models before that are left, whenever one is made."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.models = []
        self.num_left = []

    def make_model(self, hp):
        left = [found for found in self.models if found() is not None]
        self.num_left.append(len(left))
        model = super().make_model(hp)
        self.models.append(weakref.ref(model))
        return model


class Compiled(Watched):
    def compile(self, hp, model):
        model.compile("adam", "mse")


class Lacking(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise MemoryError("no room")


class Failing(Watched):
    def fit(self, *args, callbacks, **kwargs):
        return super().fit(*args, callbacks=[*callbacks, Lacking()], **kwargs)


@pytest.mark.parametrize(
    "space, status",
    [(Watched, "COMPLETED"), (Compiled, "COMPLETED"), (Failing, "FAILED")],
)
def test_models_are_gone(make_tuner, points, space, status):
    space = small(space)
    tuner = make_tuner(space, max_consecutive_failed_trials=3)
    built = len(space.models)
    tuner.search(*points, validation_data=points, verbose=0)
    assert statuses(tuner) == [status] * 2
    assert len(space.models) == built + 2
    assert set(space.num_left) == {0}
