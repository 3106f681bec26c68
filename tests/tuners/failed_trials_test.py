"""What a trial fails of, while the search goes on."""

import pathlib
import re

import keras
import keras_tuner
import numpy as np
import pytest

from keras_seqcredit import layers
from keras_seqcredit import models
from keras_seqcredit import tuners
from keras_seqcredit.models import NonFiniteLossError
from keras_seqcredit.tuners.failed_trials import failing_trials
from keras_seqcredit.tuners.failed_trials import is_out_of_memory
from tests.tuners.conftest import SmallSpace
from tests.tuners.conftest import small
from tests.tuners.conftest import statuses


class OneBad(SmallSpace):
    """A space of one good model and one that fails: that of two units."""

    def make_model(self, hp):
        if hp.Choice("units", [1, 2]) == 2:
            self.fail()
        return super().make_model(hp)

    def fail(self):
        raise MemoryError("no room for weights")


class BadLoss(OneBad):
    def fail(self):
        pass

    def compile(self, hp, model):
        factor = np.nan if hp.get("units") == 2 else 1.0
        loss = lambda y, p: factor * keras.ops.mean((y - p) ** 2)  # noqa: E731
        model.compile("sgd", loss, run_eagerly=True)


class ResourceExhaustedError(Exception):
    """As TensorFlow names it."""


class BadFit(OneBad):
    def fail(self):
        pass

    def fit(self, hp, model, *args, **kwargs):
        if hp.get("units") == 2:

            def lack(*args, **kwargs):
                raise ResourceExhaustedError("OOM when allocating a tensor")

            model.fit = lack
        return super().fit(hp, model, *args, **kwargs)


def search(tuner, points):
    tuner.search(*points, validation_data=points, verbose=0)
    trials = tuner.oracle.trials.values()
    failed = [t for t in trials if t.status == "FAILED"]
    assert sorted(statuses(tuner)) == ["COMPLETED", "FAILED"]
    assert tuner.get_best_models()[0].built
    # Nobody goes on with what has failed.
    assert not list(pathlib.Path(tuner.project_dir).rglob("backup"))
    return failed[0].message


def hyperparameters(units):
    hp = keras_tuner.HyperParameters()
    hp.Fixed("units", units)
    return hp


@pytest.mark.parametrize(
    "space, max_parameters, message",
    [
        (OneBad, None, "Out of memory.* MemoryError: no room for weights"),
        (BadFit, None, "Out of memory.*: OOM when allocating a tensor"),
        (BadLoss, None, "loss of batch 0 .* is not finite"),
        (
            BadLoss,
            7,
            "Expected a model of at most max_parameters=7 parameters. "
            "Received: .* of 9 parameters",
        ),
    ],
)
def test_search_goes_on(make_tuner, points, space, max_parameters, message):
    tuner = make_tuner(small(space, max_parameters=max_parameters))
    found = search(tuner, points)
    assert "FailedTrialError" in found
    assert re.search(f"(?s){message}", found)


def test_objective_that_is_not_finite(points):
    space = small()
    hp = hyperparameters(1)
    nowhere = (points[0], np.full_like(points[1], np.nan))
    with pytest.raises(
        keras_tuner.errors.FailedTrialError, match="finite `val_loss` after ep"
    ):
        space.fit(
            hp, space.build(hp), *points, validation_data=nowhere, verbose=0
        )


def test_loss_of_a_model_of_ours():
    space = tuners.WalkbackHyperModel(2, epochs=1, batch_sizes=(8,))
    hp = hyperparameters(4)
    hp.Fixed("num_steps", 2)
    x = np.full((8, 2), np.nan, "float32")
    with pytest.raises(
        keras_tuner.errors.FailedTrialError, match="batch 0 .* is not finite"
    ):
        space.fit(hp, space.build(hp), x, validation_data=(x, None), verbose=0)


def test_loss_of_one_of_several_batches():
    error = NonFiniteLossError("The loss of one of the batches 0 to 7 ...")
    wrapped = RuntimeError("in a callback")
    wrapped.__cause__ = error
    for found in (error, wrapped):
        with pytest.raises(keras_tuner.errors.FailedTrialError):
            with failing_trials():
                raise found
    with pytest.raises(ValueError), failing_trials():
        raise ValueError("The loss of batch 0 is not finite")


def test_size_of_a_model_that_its_data_build():
    space = tuners.ZForcingHyperModel(
        lambda hp: layers.GaussianHead(1), max_parameters=10
    )
    hp = hyperparameters(4)
    model = space.build(hp)
    assert isinstance(model, models.ZForcing) and not model.built
    x = np.zeros((8, 3, 1), "float32")
    with pytest.raises(
        keras_tuner.errors.FailedTrialError, match="Received: z_forcing of"
    ):
        space.fit(hp, model, x, validation_data=(x, None), verbose=0)


XlaRuntimeError = type("XlaRuntimeError", (RuntimeError,), {})


@pytest.mark.parametrize(
    "error, expected",
    [
        (MemoryError(), True),
        (ResourceExhaustedError("OOM"), True),
        (XlaRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating"), True),
        (RuntimeError("CUDA out of memory"), True),
        (XlaRuntimeError("INVALID_ARGUMENT: shapes"), False),
        (ValueError("a word out of memory"), False),
    ],
)
def test_out_of_memory(error, expected):
    assert is_out_of_memory(error) is expected
    wrapped = ValueError("in a callback")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped) is expected


def test_other_errors_stay_as_they_are(points):
    space = small()
    hp = hyperparameters(1)
    wrong = np.zeros((3, 5), "float32")
    with pytest.raises(Exception) as caught:
        space.fit(hp, space.build(hp), wrong, wrong, validation_data=points)
    assert not isinstance(caught.value, keras_tuner.errors.FailedTrialError)


def test_asks_for_data_to_validate_on(make_tuner, points):
    tuner = make_tuner(small())
    with pytest.raises(
        ValueError, match="`validation_data` or .* Received: .'batch_size', 'ep"
    ):
        tuner.search(*points, verbose=0)


class Batches(keras.utils.PyDataset):
    """The points, two at a time."""

    def __init__(self, points):
        super().__init__()
        self.points = points

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tuple(x[2 * index : 2 * index + 2] for x in self.points)


def test_batches_of_data_have_their_own_size(make_tuner, points):
    tuner = make_tuner(small())
    with pytest.warns(UserWarning, match="batch size is not tuned.*x=Batches"):
        tuner.search(Batches(points), validation_data=points, verbose=0)
    assert statuses(tuner) == ["COMPLETED", "COMPLETED"]


def test_updates_of_batches_are_not_known(make_tuner, points):
    tuner = make_tuner(small(train_size=4))
    with pytest.raises(ValueError, match="train_size=None.*Received: x=Batch"):
        tuner.search(Batches(points), validation_data=points, verbose=0)


@pytest.mark.parametrize(
    "name, direction",
    [
        ("val_elbo", "max"),
        ("val_bound", "max"),
        ("val_loss", "min"),
        ("accuracy", "max"),
        ("val_sparse_categorical_accuracy", "max"),
        ("val_nll", "min"),
    ],
)
def test_objectives_by_name(name, direction):
    space = small(objective=name)
    assert space.objective == keras_tuner.Objective(name, direction)


def test_an_objective_of_unknown_direction():
    message = r'Objective\("val_mystery", direction="min"\).*Received'
    with pytest.raises(ValueError, match=message):
        small(objective="val_mystery")
