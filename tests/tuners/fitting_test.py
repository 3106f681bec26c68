"""Compiling and fitting: what is tuned, what can be overridden."""

import keras
import keras_tuner
import pytest

from tests.callbacks import event_files
from tests.tuners.conftest import ROWS
from tests.tuners.conftest import SmallSpace
from tests.tuners.conftest import small


def test_compile_can_be_overridden(make_tuner, points):
    class Plain(SmallSpace):
        def compile(self, hp, model):
            momentum = hp.Choice("momentum", [0.5, 0.9])
            model.compile(
                keras.optimizers.SGD(0.01, momentum), "mae", run_eagerly=True
            )

    tuner = make_tuner(small(Plain))
    names = {hp.name for hp in tuner.oracle.get_space().space}
    assert names == {"batch_size", "epochs", "momentum", "units"}
    tuner.search(*points, validation_data=points, verbose=0)
    model = tuner.get_best_models()[0]
    assert model.loss == "mae"
    assert isinstance(model.optimizer, keras.optimizers.SGD)


class Steps(keras.callbacks.Callback):
    steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1


def fit(space, points, hp, **kwargs):
    steps = Steps()
    history = space.fit(
        hp,
        space.build(hp),
        *points,
        validation_data=points,
        verbose=0,
        callbacks=[steps],
        **kwargs,
    )
    return len(history.epoch), steps.steps


def test_batch_size_and_epochs_are_tuned(points):
    space = small(batch_sizes=(4, 8), epochs=(1, 3))
    hp = keras_tuner.HyperParameters()
    space.declare_hyperparameters(hp)
    assert hp.values == {"batch_size": 4, "epochs": 3}
    assert fit(space, points, hp) == (3, 3 * ROWS // 4)
    hp.values.update(batch_size=8, epochs=2)
    assert fit(space, points, hp) == (2, 2 * ROWS // 8)
    # As Hyperband gives them.
    found = fit(space, points, hp, epochs=3, initial_epoch=2, batch_size=16)
    assert found == (1, 1)


def test_data_in_batches(points):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return tuple(values[8 * index : 8 * index + 8] for values in points)

    space = small(batch_sizes=None)
    hp = keras_tuner.HyperParameters()
    history = space.fit(
        hp, space.build(hp), Batches(), validation_data=Batches(), verbose=0
    )
    assert len(history.epoch) == 2
    assert "batch_size" not in hp


def test_learning_rate_falls_to_zero(points):
    space = small(train_size=ROWS)
    hp = keras_tuner.HyperParameters()
    model = space.build(hp)
    space.fit(hp, model, *points, validation_data=points, verbose=0)
    rate = keras.ops.convert_to_numpy(model.optimizer.learning_rate)
    assert rate == pytest.approx(0.0, abs=1e-6)


def test_seed(points):
    space = small()
    hp = keras_tuner.HyperParameters()
    first, second = (space.build(hp).get_weights() for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


def test_precision_outlives_a_cleared_session(points):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        space = small()
        # As KerasTuner does before each trial.
        keras.utils.clear_session()
        model = space.build(keras_tuner.HyperParameters())
        assert model.layers[0].compute_dtype == "bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


def test_hyperparameters_are_written(make_tuner, points, tmp_path):
    from tensorboard.plugins.hparams import metadata

    tuner = make_tuner(small(log_dir=tmp_path / "logs"))
    tuner.search(*points, validation_data=points, verbose=0)
    for key, trial in tuner.oracle.trials.items():
        folder = tmp_path / "logs" / f"trial_{key}" / "schedules"
        content = (
            event_files.read(folder)
            .SummaryMetadata(metadata.SESSION_START_INFO_TAG)
            .plugin_data.content
        )
        found = metadata.parse_session_start_info_plugin_data(content).hparams
        values = {name: value.number_value for name, value in found.items()}
        assert values == pytest.approx(trial.hyperparameters.values)
        losses = event_files.scalars(folder)["objective/val_loss"]
        best = min(loss for _, loss in losses)
        assert best == pytest.approx(trial.score, rel=1e-5)


def test_hyperband(points, tmp_path):
    space = small(epochs=2)
    tuner = keras_tuner.Hyperband(
        space,
        objective=space.objective,
        max_epochs=2,
        factor=2,
        seed=0,
        directory=tmp_path,
    )
    tuner.search(*points, validation_data=points, verbose=0)
    trials = tuner.oracle.trials.values()
    assert {trial.status for trial in trials} == {"COMPLETED"}
    assert any("tuner/trial_id" in t.hyperparameters.values for t in trials)
