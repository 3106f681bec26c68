"""A search of each space runs; its best model is what was trained."""

import keras
import keras_tuner
import numpy as np
import pytest

from keras_seqcredit import callbacks
from keras_seqcredit import layers
from keras_seqcredit import models
from keras_seqcredit import tuners
from tests.on_one_backend import only_on
from tests.tuners.conftest import statuses

ROWS, TIME = 16, 5
SMALL = {"batch_sizes": (8,), "epochs": 1, "seed": 0}


def sequences(features=1):
    random = np.random.default_rng(0)
    return random.normal(size=(ROWS, TIME, features)).astype("float32")


def classes(steps=()):
    return np.random.default_rng(0).integers(0, 3, (ROWS, *steps))


def search(tuner, x, y=None):
    tuner.search(
        x[:8], None if y is None else y[:8], verbose=0, **held_out(x, y)
    )
    assert statuses(tuner) == ["COMPLETED", "COMPLETED"]
    assert all(
        np.isfinite(trial.score) for trial in tuner.oracle.trials.values()
    )
    return tuner.get_best_models()[0]


def held_out(x, y=None):
    return {"validation_data": (x[8:], None if y is None else y[8:])}


def score(tuner, model, x, y=None):
    """What the tuner says of its best trial, and what its model does."""
    found = model.evaluate(
        x[8:],
        None if y is None else y[8:],
        batch_size=8,
        verbose=0,
        return_dict=True,
    )
    name = tuner.oracle.objective.name.removeprefix("val_")
    return tuner.oracle.get_best_trials()[0].score, found[name]


def test_sab(make_tuner):
    x, y = sequences(), classes()
    space = tuners.SABHyperModel((TIME, 1), 3, **SMALL)
    tuner = make_tuner(space, fixed={"units": 4, "layer": "lstm"})
    model = search(tuner, x, y)
    assert isinstance(model.layers[0], layers.SABLSTM)
    assert model.output_shape == (None, 3)
    expected, found = score(tuner, model, x, y)
    assert found == pytest.approx(expected, rel=1e-4)
    names = {hp.name for hp in tuner.oracle.get_space().space}
    assert names == {
        "attention",
        "batch_size",
        "epochs",
        "k_att",
        "k_top",
        "k_trunc",
        "layer",
        "learning_rate",
        "memory_content",
        "read_into",
        "units",
    }


def test_views_of_a_search(make_tuner, tmp_path):
    x, y = sequences(), classes()
    space = tuners.SABHyperModel((TIME, 1), 3, **SMALL)
    tuner = make_tuner(space, fixed={"units": 4, "layer": "lstm"})
    views = [
        callbacks.AttentionMap(x[:2], tmp_path / "views"),
        callbacks.ScheduleLogger(tmp_path / "views"),
    ]
    tuner.search(x[:8], y[:8], verbose=0, callbacks=views, **held_out(x, y))
    assert statuses(tuner) == ["COMPLETED", "COMPLETED"]
    folders = {path.name for path in (tmp_path / "views").iterdir()}
    # One of each trial.
    assert {"attention_map", "attention_map-2", "schedules-2"} <= folders


def test_sab_for_each_step_of_tokens():
    space = tuners.SABHyperModel(
        (None,),
        3,
        per_step=True,
        embedding=lambda hp: keras.layers.Embedding(3, hp.Choice("e", [2])),
    )
    model = space.build(keras_tuner.HyperParameters())
    assert model.output_shape == (None, None, 3)
    assert model.inputs[0].dtype == "int32"


def test_sab_for_numbers():
    space = tuners.SABHyperModel((TIME, 1), 1, loss="mse", metrics=["mae"])
    hp = keras_tuner.HyperParameters()
    hp.Fixed("layer", "gru")
    model = space.build(hp)
    assert isinstance(model.layers[0], layers.SABGRU)
    assert model.loss == "mse"


@only_on("jax")
def test_z_forcing(make_tuner):
    x = sequences(2)
    space = tuners.ZForcingHyperModel(
        lambda hp: layers.GaussianHead(2), train_size=8, **SMALL
    )
    fixed = {"units": 4, "latent_dim": 2, "kl_start": 0.2}
    fixed |= {"auxiliary_weight": 0.003, "posterior": "backward_and_target"}
    tuner = make_tuner(space, fixed=fixed)
    model = search(tuner, x)
    assert isinstance(model, models.ZForcing)
    assert model.stochastic_rnn.posterior == "backward_and_target"
    # The posterior is drawn from anew.
    expected, found = score(tuner, model, x)
    assert found == pytest.approx(expected, rel=0.1)
    # The weight has grown, and is saved with the rest.
    assert int(model.updates) == 1
    assert float(model.kl_weight(model.updates)) == 1.0
    # The backward network learns by itself, too.
    for weight in (model.auxiliary_weight, model.backward_weight):
        assert weight.value == 0.003


def test_walkback(make_tuner):
    x = sequences(2)[:, 0]
    space = tuners.WalkbackHyperModel(2, **SMALL)
    fixed = {"units": 4, "num_hidden": 1, "num_steps": 3}
    tuner = make_tuner(space, fixed=fixed)
    model = search(tuner, x)
    assert isinstance(model, models.VariationalWalkback)
    assert model.num_steps == 3
    assert np.isfinite(score(tuner, model, x)).all()


def test_walkback_with_an_operator_of_ones_own():
    def transition(hp):
        units = (hp.Choice("width", [3]),)
        network = models.transition_mlp(2, units, learned_scale=False)
        return layers.BernoulliTransition(network)

    space = tuners.WalkbackHyperModel(2, transition, **SMALL)
    hp = keras_tuner.HyperParameters()
    model = space.build(hp)
    assert isinstance(model.transition, layers.BernoulliTransition)
    assert "width" in hp and "units" not in hp


@only_on("jax")
def test_professor_forcing(make_tuner):
    x = classes((TIME,))
    space = tuners.ProfessorForcingHyperModel(
        lambda hp: layers.CategoricalHead(3),
        embedding=lambda hp: keras.layers.Embedding(3, 2),
        **SMALL,
    )
    fixed = {"units": 4, "discriminator_units": 4, "cell": "gru"}
    tuner = make_tuner(space, fixed=fixed)
    names = {hp.name for hp in tuner.oracle.get_space().space}
    assert {"mse_weight", "adversarial_weight"} <= names
    assert {"discriminator_learning_rate", "learning_rate"} <= names
    assert len(names) == len(tuner.oracle.get_space().space)
    model = search(tuner, x)
    for trial in tuner.oracle.trials.values():
        assert trial.hyperparameters.values["discriminator_units"] == 4
    assert isinstance(model, models.ProfessorForcing)
    expected, found = score(tuner, model, x)
    assert found == pytest.approx(expected, rel=1e-4)


@only_on("jax")
@pytest.mark.parametrize("training", ["adversarial", "mse", "teacher"])
def test_trainings_of_generators(training):
    space = tuners.ProfessorForcingHyperModel(
        lambda hp: layers.CategoricalHead(3),
        embedding=lambda hp: keras.layers.Embedding(3, 2),
        trainings=(training,),
        train_size=20,
        batch_sizes=(8, 4),
        epochs=3,
    )
    hp = keras_tuner.HyperParameters()
    model = space.build(hp)
    if training == "teacher":
        assert isinstance(model, models.AutoregressiveRNN)
        optimizers = [model.optimizer]
    else:
        assert model.matching == training
        optimizers = model._optimizers
    assert ("discriminator_units" in hp) == (training == "adversarial")
    # Of 20 examples, 8 at a time, 3 batches an epoch.
    for optimizer in optimizers:
        assert optimizer._learning_rate.decay_steps == 9


@pytest.mark.parametrize(
    "space, name, direction",
    [
        (lambda: tuners.SABHyperModel((2, 1), 2), "val_loss", "min"),
        (lambda: tuners.ZForcingHyperModel(print), "val_elbo", "max"),
        (lambda: tuners.WalkbackHyperModel(2), "val_bound", "max"),
        (lambda: tuners.ProfessorForcingHyperModel(print), "val_nll", "min"),
    ],
)
def test_objectives(space, name, direction):
    objective = space().objective
    assert (objective.name, objective.direction) == (name, direction)


def test_an_objective_of_ones_own():
    accuracy = keras_tuner.Objective("val_accuracy", "max")
    space = tuners.SABHyperModel((2, 1), 2, objective=accuracy)
    assert space.objective is accuracy


HEAD = layers.GaussianHead(1)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: tuners.SABHyperModel((5,), 2), r"input_shape=\(5,\)"),
        (lambda: tuners.SABHyperModel((5, None), 2), r"=\(5, None\)"),
        (lambda: tuners.SABHyperModel((5, 1), 0), "num_outputs=0"),
        (
            lambda: tuners.SABHyperModel(
                (5, 1), 2, metrics=[keras.metrics.Mean()]
            ),
            "metrics=",
        ),
        (lambda: tuners.ZForcingHyperModel(HEAD), "head=<Gaus"),
        (lambda: tuners.ZForcingHyperModel(print, HEAD), "embedding=<Gaus"),
        (lambda: tuners.ZForcingHyperModel(None), "head=None"),
        (lambda: tuners.WalkbackHyperModel((2, 0)), "shape=0"),
        (lambda: tuners.WalkbackHyperModel(2, HEAD), "transition=<Gaus"),
        (
            lambda: tuners.ProfessorForcingHyperModel(
                print, trainings=("student",)
            ),
            r"trainings=\('student',\)",
        ),
        (
            lambda: tuners.WalkbackHyperModel(2, objective="val_mystery"),
            "objective='val_mystery'",
        ),
        (
            lambda: tuners.WalkbackHyperModel(
                2, objective=keras_tuner.Objective("val_bound", "up")
            ),
            "direction='up'",
        ),
        (lambda: tuners.WalkbackHyperModel(2, epochs=(5, 2)), r"\(5, 2\)"),
        (lambda: tuners.WalkbackHyperModel(2, epochs=0), "epochs=0"),
        (lambda: tuners.WalkbackHyperModel(2, batch_sizes=32), "sizes=32"),
        (lambda: tuners.WalkbackHyperModel(2, batch_sizes=(0,)), "sizes=0"),
        (
            lambda: tuners.WalkbackHyperModel(
                2, batch_sizes=None, train_size=9
            ),
            "train_size=9, batch_sizes=None",
        ),
        (
            lambda: tuners.WalkbackHyperModel(2, max_parameters=-1),
            "max_parameters=-1",
        ),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(
        ValueError, match=f"(?s)Expected .*Received: .*{message}"
    ):
        make()
