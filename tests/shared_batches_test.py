"""Whatever devices cannot share is refused before a training starts."""

import keras
import numpy as np
import pytest

from tests import small_systems
from tests.distribution_test import data_parallel

# A multiple of the devices of both backends, and two numbers that are of none.
EVEN, ODD, REST = 8, 15, 9


def x(examples):
    return np.zeros((examples, 5, small_systems.FEATURES), "float32")


class Batches(keras.utils.PyDataset):
    def __init__(self, *sizes):
        super().__init__()
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        return (x(self.sizes[index]),)


class Endless(Batches):
    num_batches = None

    def __getitem__(self, index):
        return super().__getitem__(0)


def in_validation(data, **kwargs):
    return {"x": x(EVEN), "validation_data": data, **kwargs}


REFUSED = {
    "arrays": (in_validation(x(REST)), REST),
    "tuple": (in_validation((x(REST), x(REST))), REST),
    "batch size": (
        in_validation(x(5 * EVEN), validation_batch_size=ODD),
        5 * EVEN,
    ),
    "training part": ({"x": x(17), "validation_split": 0.47}, REST),
    "validation part": ({"x": x(17), "validation_split": 0.5}, REST),
    "PyDataset": ({"x": Batches(ODD, EVEN)}, ODD),
    "last batch": ({"x": Batches(EVEN, EVEN, REST)}, REST),
    "endless PyDataset": ({"x": Endless(ODD)}, ODD),
    "PyDataset in validation": (in_validation(Batches(EVEN, REST)), REST),
    "steps": ({"x": x(4 * ODD), "steps_per_epoch": 4}, 4 * ODD),
}


@pytest.mark.parametrize("arguments, received", REFUSED.values(), ids=REFUSED)
def test_says_that_a_batch_cannot_be_shared(arguments, received):
    of = "validation: .*" if "validation_data" in arguments else ""
    with data_parallel():
        model = small_systems.compiled(small_systems.autoregressive)
        with pytest.raises(ValueError, match=f"{of}Received: {received} exam"):
            model.fit(**arguments, verbose=0)
    assert model.optimizer.iterations == 0


FITTED = {
    "validation_data": in_validation(x(2 * EVEN), batch_size=EVEN),
    "validation_split": {"x": x(3 * EVEN), "validation_split": 1 / 3},
    "validation_steps": in_validation(
        x(REST), validation_batch_size=EVEN, validation_steps=1
    ),
    "steps_per_epoch": {"x": x(4 * EVEN), "steps_per_epoch": 4},
    "PyDataset": in_validation(Batches(EVEN), validation_batch_size=ODD),
    "endless PyDataset": {"x": Endless(EVEN), "steps_per_epoch": 2},
}


@pytest.mark.parametrize("arguments", FITTED.values(), ids=FITTED)
def test_trains_on_what_can_be_shared(arguments):
    with data_parallel():
        model = small_systems.compiled(small_systems.autoregressive)
        model.fit(**arguments, verbose=0)
    assert model.optimizer.iterations > 0
