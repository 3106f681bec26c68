"""Each name of Keras that is not documented is there and does what we need."""

import ast
import inspect
import json
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.backend import keras_private
from keras_seqcredit.recurrence.keras_cell import KerasCell

PACKAGE = pathlib.Path(keras_private.__file__).parents[1]
# Without an underscore, and yet documented nowhere.
UNDOCUMENTED = {
    "backend_mesh",
    "distribute_strategy",
    "get_dropout_mask",
    "get_recurrent_dropout_mask",
    "reset_dropout_mask",
    "reset_recurrent_dropout_mask",
    "training_metadata.json",
}


def names_in(source: str) -> set[str]:
    """The attributes, and strings that may name one, in some code."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return names


def private_names() -> set[str]:
    names = names_in(inspect.getsource(keras_private))
    return {
        name
        for name in names
        if name in UNDOCUMENTED
        or (name.startswith("_") and name.isidentifier())
    }


def test_the_list_of_names_is_whole():
    names = private_names()
    assert names >= UNDOCUMENTED
    assert {"_flatten_layers", "_dropout_mask", "_fn"} <= names


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(PACKAGE.rglob("*.py")) if p.stem != "keras_private"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_no_other_file_uses_them(path):
    # `backend_mesh` and the like are also names of our functions.
    functions = {name for name in vars(keras_private) if name[0] != "_"}
    used = names_in(path.read_text()) & private_names()
    assert not used - functions


def test_each_function_has_a_test_here():
    functions = {
        name
        for name, value in vars(keras_private).items()
        if getattr(value, "__module__", None) == keras_private.__name__
    }
    tested = names_in(pathlib.Path(__file__).read_text())
    assert functions and not functions - tested


class Net(keras.Model):
    """A model with a layer in a layer, and one of everything of its own."""

    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential([keras.layers.Dense(1, name="deep")])
        self.seed = keras.random.SeedGenerator(0)
        self.score = keras.metrics.Mean("score")
        self.weight = self.add_weight(shape=(), name="weight")
        self.count = self.add_weight(shape=(), name="count", trainable=False)

    def call(self, x):
        self.add_loss(ops.sum(self.weight))
        return self.inner(x)


def test_flat_layers():
    net = Net()
    assert keras_private.flat_layers(net)[0] is net
    inside = keras_private.flat_layers(net, include_self=False)
    assert net not in inside and net.inner in inside
    assert "deep" in [layer.name for layer in inside]


def test_own_parts_of_a_layer():
    net = Net()
    net.build((None, 2))
    (weight,) = keras_private.own_trainable_variables(net)
    assert weight is net.weight
    (count,) = keras_private.own_non_trainable_variables(net)
    assert count is net.count
    (seed,) = keras_private.own_seed_generators(net)
    assert seed is net.seed
    assert any(m is net.score for m in keras_private.own_metrics(net))


CELLS = [keras.layers.LSTMCell, keras.layers.GRUCell]
CELLS += [keras.layers.SimpleRNNCell]


def has_them(cell) -> bool:
    return keras_private.has_dropout_masks(cell)


@pytest.mark.parametrize("make", CELLS)
def test_dropout_masks_that_are_set_are_used(make):
    cell = make(3, dropout=0.5, recurrent_dropout=0.5, seed=0)
    cell.build((2, 4))
    assert has_them(cell) and not has_them(keras.layers.Dense(3))
    x, h = ops.ones((2, 4)), ops.ones((2, 3))
    masks = keras_private.draw_dropout_masks(cell, x, h)
    keras_private.set_dropout_masks(cell, *masks)
    for mask, used in zip(
        masks,
        (cell.get_dropout_mask(x), cell.get_recurrent_dropout_mask(h)),
        strict=True,
    ):
        for a, b in zip(
            keras.tree.flatten(mask), keras.tree.flatten(used), strict=True
        ):
            assert a is b
    before = np.array(cell.seed_generator.state)
    for _ in range(2):
        cell(x, [h] * len(keras.tree.flatten(cell.state_size)), training=True)
    np.testing.assert_array_equal(before, cell.seed_generator.state)


def test_dropout_masks_are_forgotten():
    cell = keras.layers.LSTMCell(3, dropout=0.5)
    cell.build((2, 4))
    keras_private.set_dropout_masks(cell, ops.ones((2, 4)), None)
    keras_private.reset_dropout_masks(cell)
    assert not np.all(cell.get_dropout_mask(ops.ones((2, 4))) == 1)


class RenamedCell(keras.layers.SimpleRNNCell):
    """As a Keras that keeps the mask under another name."""

    def get_dropout_mask(self, step_input):
        if getattr(self, "kept", None) is None:
            self.kept = self._create_dropout_mask(step_input, self.dropout)
        return self.kept


def test_a_dropout_mask_that_is_not_found_is_an_error():
    cell = RenamedCell(3, dropout=0.5)
    cell.build((2, 4))
    step = KerasCell(cell, training=True)
    with pytest.raises(RuntimeError, match="Expected the cell to keep them"):
        step.constants(ops.ones((2, 4)))


def test_seed_without_state():
    class Key(keras_private.SeedWithoutState):
        def next(self, ordered=True):
            return key

    key = keras.random.SeedGenerator(3).next()
    assert keras.random.normal((2,), seed=Key()).shape == (2,)
    assert not hasattr(Key(), "state")


def trained(callback=None, **kwargs):
    net = Net()
    net.compile("sgd", "mse")
    x, y = np.ones((4, 2)), np.ones((4, 1))
    callbacks = [callback] if callback else []
    history = net.fit(x, y, verbose=0, callbacks=callbacks, **kwargs)
    return net, history


def test_loss_tracker():
    net, _ = trained()
    assert keras_private.loss_tracker(net).name == "loss"
    assert any(m is keras_private.loss_tracker(net) for m in net.metrics)


def test_losses_of_call():
    handed = []

    class Overriding(Net):
        @property
        def losses(self):
            handed.append(len(keras_private.losses_of_call(self)))
            return super().losses

    net = Overriding()
    net.compile("sgd", "mse")
    net.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    assert handed
    if keras.backend.backend() == "jax":
        assert max(handed) == 1


def test_is_validation_of_fit():
    asked = []

    class Evaluating(Net):
        def evaluate(self, *args, **kwargs):
            asked.append(keras_private.is_validation_of_fit(kwargs))
            return super().evaluate(*args, **kwargs)

    net = Evaluating()
    net.compile("sgd", "mse")
    x, y = np.ones((4, 2)), np.ones((4, 1))
    net.fit(x, y, validation_data=(x, y), verbose=0)
    net.evaluate(x, y, verbose=0)
    assert asked == [True, False]


def test_symbolic_calls():
    x = keras.Input((3, 2))
    layer = keras.layers.LSTM(2)
    assert keras_private.symbolic_calls(layer) == []
    layer(x, training=True)
    (call,) = keras_private.symbolic_calls(layer)
    assert call.args[0] is x
    assert call.kwargs["training"] is True


def test_set_initial_epoch():
    class Later(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            keras_private.set_initial_epoch(self.model, 2)

    _, history = trained(Later(), epochs=4)
    assert history.epoch == [2, 3]


def test_wrapped_function():
    metric = keras.metrics.MeanMetricWrapper(keras.losses.mean_squared_error)
    function = keras_private.wrapped_function(metric)
    assert function is keras.losses.mean_squared_error
    assert keras_private.wrapped_function(Wrapper()) is None


class Wrapper(keras.metrics.MeanMetricWrapper):
    def __init__(self):
        super().__init__(None)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_set_direction(direction):
    class Rank(keras.metrics.MeanMetricWrapper):
        def __init__(self):
            super().__init__(keras.losses.mean_squared_error, name="rank")
            keras_private.set_direction(self, direction)

    net = Net()
    net.compile("sgd", "mse", metrics=[Rank()])
    stop = keras.callbacks.EarlyStopping("rank", patience=1)
    net.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[stop])
    larger = stop.monitor_op(2.0, 1.0)
    assert bool(larger) == (direction == "up")


def test_distribution_strategy():
    strategy = keras_private.distribution_strategy(Net())
    assert (strategy is None) == (keras.backend.backend() != "tensorflow")
    if strategy is not None:
        assert strategy.num_replicas_in_sync == 1


def test_backend_mesh():
    if keras.backend.backend() != "jax":
        pytest.skip("`keras.distribution` is for JAX.")
    devices = keras.distribution.list_devices()[:1]
    mesh = keras.distribution.DeviceMesh((1,), ["batch"], devices)
    assert keras_private.backend_mesh(mesh).axis_names == ("batch",)


def test_backed_up_epoch(tmp_path):
    assert keras_private.backed_up_epoch(tmp_path) is None
    found = []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            found.append(keras_private.backed_up_epoch(tmp_path))

    net = Net()
    net.compile("sgd", "mse")
    net.build((None, 2))
    net.fit(
        np.ones((4, 2)),
        np.ones((4, 1)),
        epochs=3,
        verbose=0,
        callbacks=[keras.callbacks.BackupAndRestore(str(tmp_path)), Look()],
    )
    assert found[1:] == [1, 2]


def test_a_broken_backup_has_no_epoch(tmp_path):
    path = tmp_path / "training_metadata.json"
    path.write_text(json.dumps({"epoch": 7}))
    assert keras_private.backed_up_epoch(tmp_path) == 7
    path.write_text("{")
    assert keras_private.backed_up_epoch(tmp_path) is None
