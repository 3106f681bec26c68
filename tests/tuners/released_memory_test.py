"""A model is gone, with its memory, before that of the next trial is made."""

import weakref

import keras
import pytest

from tests.tuners.conftest import SmallSpace
from tests.tuners.conftest import small
from tests.tuners.conftest import statuses


class Noting(keras.layers.Layer):
    """Notes the graphs in which it is traced, which hold handles of weights."""

    def __init__(self, found):
        super().__init__()
        self.note = lambda graph: found.append(weakref.ref(graph))

    def call(self, x):
        graph = getattr(x, "graph", None)
        if graph is not None:
            self.note(graph)
        return x


class Watched(SmallSpace):
    """Counts what is left of models before, whenever one is made."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.found = []
        self.num_left = []

    def make_model(self, hp):
        left = [found for found in self.found if found() is not None]
        self.num_left.append(len(left))
        model = super().make_model(hp)
        model.add(Noting(self.found))
        self.found += map(weakref.ref, [model, *model.variables])
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
    built = len(space.num_left)
    tuner.search(*points, validation_data=points, verbose=0)
    assert statuses(tuner) == [status] * 2
    assert len(space.num_left) == built + 2
    assert set(space.num_left) == {0}
