"""Models without targets are built before any callback looks at them."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit.models.finite_loss import FiniteLoss
from keras_seqcredit.models.fitted_on_inputs import FittedOnInputs

X = np.ones((4, 2), "float32")


class Distance(FittedOnInputs, keras.Model):
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
    with pytest.raises(ValueError, match=message):
        model.fit({"x": x}, batch_size=2, shuffle=False, verbose=0)


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
