"""Models without targets are built before any callback looks at them."""

import keras
import numpy as np
import pytest
from keras import ops

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
