"""Models without targets are built before any callback looks at them."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.models import AutoregressiveRNN
from keras_seqcredit.models import NonFiniteLossError
from keras_seqcredit.models import ProfessorForcing
from keras_seqcredit.models import VariationalWalkback
from keras_seqcredit.models import ZForcing
from keras_seqcredit.models.finite_loss import FiniteLoss
from keras_seqcredit.models.generative_model import GenerativeModel
from tests import small_systems

X = np.ones((4, 2), "float32")


class Distance(GenerativeModel):
    def build(self, shape):
        self.point = self.add_weight(shape=(shape["x"][-1],), name="point")
        self.built = True

    def call(self, inputs):
        return ops.square(inputs["x"] - self.point)

    def compute_loss(self, x=None, y=None, y_pred=None, *unused, **more):
        return ops.mean(y_pred)


def test_batches_of_one_execution_are_named_together():
    model = Distance()
    model.compile("sgd", steps_per_execution=3)
    x = np.ones((16, 2), "float32")
    x[9] = np.nan
    message = "one of the batches 3 to 5 .* of epoch 1 is not finite"
    with pytest.raises(NonFiniteLossError, match=message):
        model.fit({"x": x}, batch_size=2, shuffle=False, verbose=0)


class Epochs(keras.callbacks.Callback):
    """Counts epochs that have ended."""

    count = 0

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1


def test_arguments_are_those_of_keras_by_position_too():
    models = AutoregressiveRNN, ProfessorForcing, VariationalWalkback, ZForcing
    for model in models:
        for name in ("fit", "evaluate"):
            ours = inspect.signature(getattr(model, name)).parameters
            theirs = inspect.signature(getattr(keras.Model, name)).parameters
            assert [(p.name, p.default) for p in ours.values()] == [
                (p.name, p.default) for p in theirs.values()
            ]
    model = Distance()
    model.compile("sgd")
    epochs = Epochs()
    model.fit({"x": X}, None, 2, 3, 0, [epochs])
    assert epochs.count == 3
    assert np.isfinite(model.evaluate({"x": X}, None, 2, 0))


def test_a_list_of_callbacks_is_left_as_it_is():
    model = Distance()
    model.compile("sgd")
    epochs = Epochs()
    given = keras.callbacks.CallbackList(
        [epochs], add_history=True, model=model
    )
    before = list(given.callbacks)
    for _ in range(2):
        model.fit({"x": X}, callbacks=given, verbose=0)
    assert given.callbacks == before
    assert epochs.count == 2
    plain = [epochs]
    model.fit({"x": X}, callbacks=plain, verbose=0)
    assert plain == [epochs]
    with pytest.raises(NonFiniteLossError):
        model.fit({"x": np.full_like(X, np.nan)}, callbacks=given, verbose=0)


def test_the_first_of_batches_that_end_in_any_order_is_named():
    guard = FiniteLoss()
    guard.on_epoch_begin(0)
    for batch in range(4):
        guard.on_train_batch_begin(batch)
    guard.on_train_batch_end(2, {"loss": np.nan})
    guard.on_train_batch_end(1, {"loss": np.inf})
    with pytest.raises(ValueError, match="batch 1 .* not finite.* loss=inf"):
        guard.on_train_batch_end(0, {"loss": 1.0})
    guard.on_train_batch_end(3, {"loss": np.nan})


@pytest.mark.parametrize("processes", [1, 2])
def test_a_fit_waits_for_each_step_only_where_others_train_too(
    monkeypatch, processes
):
    # Keras waits for a step before it starts the next one, if there is a
    # callback that it does not take as safe.
    monkeypatch.setattr(backend, "process_count", lambda: processes)
    without = keras.callbacks.CallbackList([])  # On TensorFlow it always waits.
    guarded = keras.callbacks.CallbackList([FiniteLoss()])
    assert guarded._async_train == (without._async_train and processes == 1)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return ({"x": X[2 * index : 2 * index + 2]},)


def tensorflow_data():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices({"x": X}).batch(2)


@pytest.mark.parametrize(
    "make",
    [lambda: {"x": X}, Batches, tensorflow_data],
    ids=["arrays", "PyDataset", "tf.data"],
)
def test_an_unbuilt_model_can_be_resumed(make, tmp_path):
    for epochs in (1, 2):
        model = Distance()
        model.compile("sgd")
        backup = keras.callbacks.BackupAndRestore(
            tmp_path, delete_checkpoint=False
        )
        fitted = model.fit(make(), epochs=epochs, callbacks=[backup], verbose=0)
        assert fitted.epoch == [epochs - 1]
    assert model.built


def test_a_layer_that_is_built_in_the_first_step_trains():
    class Shifted(Distance):
        def __init__(self):
            super().__init__()
            self.shift = keras.layers.Dense(2)

        def call(self, inputs):
            return super().call(inputs) + self.shift(inputs["x"])

    model = Shifted()
    model.compile("sgd")
    model.fit({"x": X}, verbose=0)
    assert len(model.optimizer.variables) == 2 and len(model.weights) == 3
    assert np.any(model.shift.bias != 0)


GENERATIVE = set(small_systems.SYSTEMS) - {
    make.__name__ for make in small_systems.CLASSIFIERS
}


@pytest.mark.parametrize("name", sorted(GENERATIVE))
def test_a_training_step_is_traced_once(name, monkeypatch):
    make = small_systems.SYSTEMS[name]
    model = small_systems.compiled(make)
    traced = []
    train_step = model.train_step

    def counted(*args, **kwargs):
        traced.append(args)
        return train_step(*args, **kwargs)

    monkeypatch.setattr(model, "train_step", counted)
    model.fit(*small_systems.data(make), batch_size=16, epochs=2, verbose=0)
    assert len(traced) == 1
