import json
import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit import backend
from keras_seqcredit import layers
from keras_seqcredit import models
from keras_seqcredit.callbacks import CreditAssignment
from tests.callbacks import event_files
from tests.callbacks.small_models import ROWS
from tests.callbacks.small_models import TIME
from tests.callbacks.small_models import bits
from tests.callbacks.small_models import generator
from tests.callbacks.small_models import reader

LABELS = np.array([0, 1, 0, 1, 0, 1])


def looking_at(model, y, folder, x=None, **kwargs):
    view = CreditAssignment(bits() if x is None else x, y, folder, **kwargs)
    view.set_model(model)
    return view


def norms_step_by_step(cell, x, loss_of, keep=None):
    """Norms of the gradients, from a plain loop over steps.

    `loss_of(states)` is the sum over examples; `keep`, boolean
    `(batch, time)`, are the steps that are not padding.
    """

    def loss(added):
        batch, time = x.shape[:2]
        states = [
            ops.zeros((batch, size))
            for size in keras.tree.flatten(cell.state_size)
        ]
        hidden = []
        for step in range(time):
            _, new = cell(ops.convert_to_tensor(x[:, step]), states)
            new = [new[0] + added[:, step], *new[1:]]
            if keep is not None:
                new = [
                    ops.where(keep[:, step, None], a, b)
                    for a, b in zip(new, states, strict=True)
                ]
            states = new
            hidden.append(states[0])
        return loss_of(hidden)

    size = keras.tree.flatten(cell.state_size)[0]
    value, pull_back = backend.vjp(loss, ops.zeros((*x.shape[:2], size)))
    (gradient,) = pull_back(ops.ones_like(value))
    return np.linalg.norm(ops.convert_to_numpy(gradient), axis=-1)


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.LSTM(4, use_cudnn=False),
        keras.layers.GRU(4, use_cudnn=False),
        keras.layers.RNN(keras.layers.SimpleRNNCell(4)),
        layers.SABLSTM(4, k_top=0),
    ],
    ids=["LSTM", "GRU", "RNN", "SABLSTM without attention"],
)
def test_gradients_are_those_of_a_plain_loop(layer, tmp_path):
    layer = type(layer).from_config(layer.get_config())
    model = reader(layer)
    view = looking_at(model, LABELS, tmp_path)
    found, last, _ = view.norms()

    def loss_of(hidden):
        values = model.loss.call(
            ops.convert_to_tensor(LABELS), model.layers[-1](hidden[-1])
        )
        return ops.sum(values)

    expected = norms_step_by_step(layer.cell, bits(), loss_of)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(last, TIME - 1)


def test_padding_gets_nothing(tmp_path):
    keep = np.arange(TIME) < np.array([[5], [3], [1], [4], [2], [5]])
    x = np.where(keep[..., None], 1 + bits(), 0).astype("float32")
    layer = keras.layers.GRU(4, use_cudnn=False)
    model = keras.Sequential(
        [
            keras.Input((TIME, 1)),
            keras.layers.Masking(),
            layer,
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    view = looking_at(model, LABELS, tmp_path, x=x)
    found, last, _ = view.norms()

    def loss_of(hidden):
        probability = model.layers[-1](hidden[-1])
        return -ops.sum(ops.log(probability) * np.eye(2)[LABELS])

    expected = norms_step_by_step(layer.cell, x, loss_of, keep)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert (found[~keep] == 0).all()
    np.testing.assert_array_equal(last, keep.sum(axis=1) - 1)


def test_of_a_loss_at_each_step_the_last_counts(tmp_path):
    layer = keras.layers.LSTM(4, return_sequences=True, use_cudnn=False)
    model = reader(layer)
    y = np.repeat(LABELS[:, None], TIME, axis=1)
    found, _, _ = looking_at(model, y, tmp_path).norms()

    def loss_of(hidden):
        outputs = model.layers[-1](hidden[-1])
        return ops.sum(model.loss.call(ops.convert_to_tensor(LABELS), outputs))

    expected = norms_step_by_step(layer.cell, bits(), loss_of)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_of_a_generator_the_last_step_counts(tmp_path):
    model = generator()
    model.build((None, TIME, 1))
    found, _, by_weight = looking_at(model, None, tmp_path).norms()
    past = np.pad(bits(), [(0, 0), (1, 0), (0, 0)])[:, :-1]

    def loss_of(hidden):
        parameters = model.head(hidden[-1])
        return -ops.sum(model.head.log_prob(parameters, bits()[:, -1]))

    expected = norms_step_by_step(model.core.cell, past, loss_of)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert set(by_weight) == {
        v.path.removeprefix(f"{model.name}/") for v in model.trainable_variables
    }


@pytest.mark.parametrize("k_top", [0, 2])
def test_truncation_and_what_attention_reads(k_top, tmp_path):
    x = np.random.default_rng(0).normal(size=(ROWS, 12, 1)).astype("float32")
    layer = layers.SABLSTM(4, k_top=k_top, k_trunc=3, name="sab")
    found, _, _ = looking_at(reader(layer, 12), LABELS, tmp_path, x=x).norms()
    assert (found[:, 9:] > 0).all()
    if k_top:
        assert (found[:, :9] > 0).any(axis=1).all()
    else:
        assert (found[:, :9] == 0).all()


def test_gradients_by_the_weights(tmp_path):
    model = reader(keras.layers.LSTM(4, use_cudnn=False, name="lstm"))
    _, _, found = looking_at(model, LABELS, tmp_path).norms()

    def loss(*weights):
        mapping = zip(model.trainable_variables, weights, strict=True)
        with keras.StatelessScope(list(mapping)):
            outputs = model(ops.convert_to_tensor(bits()))
        return model.loss(ops.convert_to_tensor(LABELS), outputs)

    weights = [backend.read(v) for v in model.trainable_variables]
    _, pull_back = backend.vjp(loss, *weights)
    expected = [
        np.linalg.norm(ops.convert_to_numpy(g).ravel())
        for g in pull_back(ops.ones(()))
    ]
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-4)
    assert "lstm/lstm_cell/recurrent_kernel" in found


def test_gradients_by_the_weights_leave_out_padding(tmp_path):
    keep = np.arange(TIME) < np.array([[5], [3], [1], [4], [2], [5]])
    y = np.repeat(LABELS[:, None], TIME, axis=1)
    model = keras.Sequential(
        [
            keras.Input((TIME, 1)),
            keras.layers.Masking(),
            keras.layers.GRU(4, return_sequences=True, use_cudnn=False),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    found = []
    for padding in (0, 1):
        x = np.where(keep[..., None], 1 + bits(), 0).astype("float32")
        view = looking_at(model, np.where(keep, y, padding), tmp_path, x=x)
        found.append(list(view.norms()[2].values()))
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_is_written_for_tensorboard(tmp_path):
    model = reader(layers.SABLSTM(4, k_top=0, k_trunc=2, name="sab"))
    view = CreditAssignment(
        bits(), LABELS, tmp_path, examples=(0, 4), labels=[list("abcde")] * 6
    )
    model.fit(bits(), LABELS, epochs=2, verbose=0, callbacks=[view])
    folder = tmp_path / "credit_assignment"
    images = event_files.read(folder).Images("credit_assignment/sab")
    assert [image.step for image in images] == [0, 1]
    scalars = event_files.scalars(folder)
    assert len(scalars) == len(model.trainable_variables)
    assert all(
        tag.startswith("gradient_norm/") and [s for s, _ in found] == [0, 1]
        for tag, found in scalars.items()
    )
    documents = event_files.strings(folder)
    assert set(documents) == {
        f"credit/sab/example_{i}/gradients" for i in (0, 4)
    }
    step, text = documents["credit/sab/example_4/gradients"][-1]
    document = json.loads(text)
    norms = document.pop("norms")
    assert step == 1
    assert document == {
        "kind": "gradients",
        "layer": "sab",
        "example": 4,
        "length": TIME,
        "labels": list("abcde"),
    }
    found, _, _ = view.norms()
    np.testing.assert_allclose(norms, found[4], rtol=1e-5)


def test_go_backwards(tmp_path):
    forward = keras.layers.GRU(4, use_cudnn=False)
    backward = keras.layers.GRU(4, use_cudnn=False, go_backwards=True)
    models_ = [reader(forward), reader(backward)]
    models_[1].set_weights(models_[0].get_weights())
    found = [
        looking_at(model, LABELS, tmp_path, x=x).norms()[0]
        for model, x in zip(models_, (bits(), bits()[:, ::-1]), strict=True)
    ]
    np.testing.assert_allclose(*found, rtol=1e-5)


def two_layers():
    model = keras.Sequential(
        [
            keras.Input((TIME, 1)),
            keras.layers.GRU(4, return_sequences=True, name="a"),
            keras.layers.GRU(4, name="b"),
        ]
    )
    model.compile("adam", "mse")
    return model


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.gru = keras.layers.GRU(4, name="gru")

    def call(self, x):
        return self.gru(x)


def subclassed():
    model = Subclassed()
    model.compile("adam", "mse")
    model(bits())
    return model


def two_outputs():
    x = keras.Input((TIME, 1))
    model = keras.Model(x, keras.layers.GRU(4, return_state=True)(x))
    model.compile("adam", "mse")
    return model


def two_heads(loss=None):
    keras.utils.set_random_seed(0)
    x = keras.Input((TIME, 1))
    state = keras.layers.GRU(4, use_cudnn=False)(x)
    heads = [keras.layers.Dense(1, name=name)(state) for name in "ab"]
    model = keras.Model(x, dict(zip("ab", heads, strict=True)))
    model.compile("adam", loss or {"a": "mse", "b": "mae"})
    return model


def one_loss_of_two():
    return two_heads({"a": "mse", "b": None})


@pytest.mark.parametrize("output", ["b", 1])
def test_of_two_outputs_one_is_chosen(output, tmp_path):
    model = two_heads()
    y = LABELS[:, None].astype("float32")
    found, _, by_weight = looking_at(model, y, tmp_path, output=output).norms()
    alone = keras.Model(model.inputs, model.get_layer("b").output)
    alone.compile("adam", "mae")
    expected, _, _ = looking_at(alone, y, tmp_path).norms()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)
    assert found.max() > 1e-4
    assert by_weight["a/kernel"] == 0 < by_weight["b/kernel"]


def without_loss():
    model = keras.Sequential([keras.Input((TIME, 1)), keras.layers.GRU(4)])
    model.compile("adam")
    return model


@pytest.mark.parametrize(
    "make, y, kwargs, message",
    [
        (two_layers, LABELS, {}, "a (GRU), b (GRU)"),
        (two_layers, LABELS, {"layer": "c"}, "a (GRU), b (GRU)"),
        (reader, None, {}, "y=None"),
        (generator, LABELS, {}, "y of 6 rows"),
        (without_loss, LABELS, {}, "loss=None"),
        (two_outputs, LABELS, {}, "output=None"),
        (two_heads, LABELS, {"output": "c"}, "output='c'"),
        (two_heads, LABELS, {"output": 2}, "output=2"),
        (one_loss_of_two, LABELS, {"output": "b"}, "loss={'a': 'mse'"),
    ],
)
def test_says_what_is_wrong_with_the_model(make, y, kwargs, message, tmp_path):
    with pytest.raises(ValueError, match=f"Received: .*{re.escape(message)}"):
        looking_at(make(), y, tmp_path, **kwargs)


def test_says_that_the_model_has_no_graph(tmp_path):
    y = np.zeros((ROWS, 4), "float32")
    with pytest.raises(ValueError, match=r"Received: model mine \(Subclassed"):
        looking_at(subclassed(), y, tmp_path)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"y": LABELS[:3]}, "3 rows"),
        ({"examples": (6,)}, "examples=(6,)"),
        ({"labels": [["a"]]}, "1 entries"),
    ],
)
def test_says_which_argument_is_wrong(kwargs, message, tmp_path):
    arguments = {"x": bits(), "y": LABELS, "log_dir": tmp_path} | kwargs
    with pytest.raises(ValueError, match=f"Received: .*{re.escape(message)}"):
        CreditAssignment(**arguments)


def test_a_stack_of_cells_has_no_one_state(tmp_path):
    cells = [keras.layers.GRUCell(4), keras.layers.GRUCell(4)]
    model = models.AutoregressiveRNN(cells, layers.BernoulliHead(1))
    with pytest.raises(ValueError, match="Received: model"):
        looking_at(model, None, tmp_path)
