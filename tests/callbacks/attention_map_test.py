import io
import re
import struct
import sys

import keras
import numpy as np
import pytest

from keras_seqcredit import models
from keras_seqcredit.callbacks import AttentionMap
from keras_seqcredit.layers import SABGRU
from keras_seqcredit.layers import SABLSTM
from keras_seqcredit.layers import CategoricalHead
from keras_seqcredit.layers import SparseAttentiveRNN

NUM_EXAMPLES, TIME, FEATURES = 6, 9, 3
JIT = ["auto", True]
# Compiled by themselves, layers would take most of the time of these tests.
FAST = {"k_top": 2, "jit_compile": False}


@pytest.fixture
def x():
    shape = (NUM_EXAMPLES, TIME, FEATURES)
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.fixture
def y():
    return np.random.default_rng(1).integers(0, 2, NUM_EXAMPLES)


def sequential(*layers, jit_compile="auto"):
    model = keras.Sequential(
        [*layers, keras.layers.Dense(2, activation="softmax")]
    )
    model.compile(
        "adam", "sparse_categorical_crossentropy", jit_compile=jit_compile
    )
    return model


def recompute(layer, sequences, mask=None):
    """What a layer reads, from a new layer that returns it."""
    config = layer.get_config() | {"return_attention": True, "stateful": False}
    other = type(layer).from_config(config)
    other.build(sequences.shape)
    states = layer.states or []
    other.set_weights(
        [
            keras.ops.convert_to_numpy(w)
            for w in layer.weights
            if not any(w is state for state in states)
        ]
    )
    *_, slots, weights = other(sequences, mask=mask)
    return keras.ops.convert_to_numpy(slots), keras.ops.convert_to_numpy(
        weights
    )


def assert_reads(callback, expected):
    slots, weights = callback.reads()
    np.testing.assert_array_equal(slots, expected[0])
    np.testing.assert_allclose(weights, expected[1], atol=1e-5)


def summaries(log_dir):
    """Returns `{tag: [(step, width, height, png), ...]}`."""
    from tensorboard.backend.event_processing import event_accumulator

    events = event_accumulator.EventAccumulator(str(log_dir))
    events.Reload()
    return {
        tag: [
            (e.step, e.width, e.height, e.encoded_image_string)
            for e in events.Images(tag)
        ]
        for tag in events.Tags()["images"]
    }


@pytest.mark.parametrize("jit_compile", JIT)
def test_draws_the_weights_of_each_epoch(x, y, tmp_path, jit_compile):
    class Check(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            _ = self.model
            read.append((callback.reads(), recompute(layer, x[:1])))

    read = []
    layer = SABLSTM(4, **FAST, name="sab")
    model = sequential(layer, jit_compile=jit_compile)
    model.optimizer.learning_rate = 0.1
    callback = AttentionMap(x, tmp_path)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[callback, Check()])
    for (slots, weights), expected in read:
        np.testing.assert_array_equal(slots, expected[0])
        np.testing.assert_allclose(weights, expected[1], atol=1e-5)
    assert not np.allclose(read[0][0][1], read[1][0][1])
    (images,) = summaries(tmp_path / "attention_map").values()
    assert [step for step, *_ in images] == [0, 1]
    assert images[0] != images[1]


def test_writes_pictures_and_summaries(x, tmp_path):
    model = sequential(keras.Input((TIME, FEATURES)), SABLSTM(4, name="sab"))
    callback = AttentionMap(x, tmp_path, examples=(1, 4), frequency=2)
    callback.set_model(model)
    for epoch in range(4):
        callback.on_epoch_end(epoch)
    callback.on_train_end()

    folder = tmp_path / "attention_map"
    assert sorted(p.name for p in folder.glob("*.png")) == [
        "sab-example1-epoch0002.png",
        "sab-example1-epoch0004.png",
        "sab-example4-epoch0002.png",
        "sab-example4-epoch0004.png",
    ]
    images = summaries(folder)
    assert set(images) == {
        "attention_map/sab/example_1",
        "attention_map/sab/example_4",
    }
    for tag, written in images.items():
        assert [step for step, *_ in written] == [1, 3]
        for step, width, height, png in written:
            name = f"sab-example{tag[-1]}-epoch{step + 1:04d}.png"
            assert png == (folder / name).read_bytes()
            assert struct.unpack(">II", png[16:24]) == (width, height)
            assert decoded_shape(png)[:2] == (height, width)


def decoded_shape(png):
    from matplotlib.image import imread

    return imread(io.BytesIO(png)).shape


def test_training_is_the_same_without(x, y, tmp_path):
    def train(callbacks):
        keras.utils.set_random_seed(0)
        model = sequential(
            keras.Input((TIME, FEATURES)),
            SABLSTM(4, **FAST, dropout=0.2),
        )
        history = model.fit(
            x, y, epochs=2, verbose=0, callbacks=callbacks, batch_size=2
        )
        return history.history["loss"], model.get_weights()

    losses, weights = train([])
    other_losses, other_weights = train([AttentionMap(x, tmp_path)])
    np.testing.assert_allclose(losses, other_losses, rtol=1e-5)
    for a, b in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("kind", ["masking", "embedding"])
def test_masks_are_respected(kind, y, tmp_path):
    rng = np.random.default_rng(0)
    mask = np.arange(TIME) < rng.integers(3, TIME, NUM_EXAMPLES)[:, None]
    if kind == "masking":
        x = rng.normal(size=(NUM_EXAMPLES, TIME, FEATURES)).astype("float32")
        x = x * mask[..., None]
        first = keras.layers.Masking()
    else:
        x = rng.integers(1, 7, (NUM_EXAMPLES, TIME)) * mask
        first = keras.layers.Embedding(7, FEATURES, mask_zero=True)
    layer = SABLSTM(4, **FAST)
    model = sequential(first, layer)
    callback = AttentionMap(x, tmp_path, examples=range(NUM_EXAMPLES))
    model.fit(x, y, verbose=0, callbacks=[callback])
    expected = recompute(layer, first(x), mask=mask)
    assert (expected[0][~mask] == -1).all()
    assert_reads(callback, expected)


def test_functional_model_with_several_inputs_and_layers(x, y, tmp_path):
    inputs = {
        "a": keras.Input((TIME, FEATURES), name="a"),
        "b": keras.Input((4,), name="b"),
    }
    hidden = SABLSTM(4, **FAST, return_sequences=True, name="one")(inputs["a"])
    state = keras.layers.Dense(5)(inputs["b"])
    top = SparseAttentiveRNN(
        keras.layers.SimpleRNNCell(5), k_top=1, jit_compile=False, name="two"
    )
    outputs = keras.layers.Dense(2)(top(hidden, initial_state=[state]))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse")
    data = {"a": x, "b": x[:, :4, 0]}

    callback = AttentionMap(data, tmp_path, layer="two", examples=[2, 3])
    model.fit(data, np.eye(2)[y], verbose=0, callbacks=[callback])
    (path,) = (tmp_path / "attention_map").glob("two-example2-*.png")
    assert decoded_shape(path.read_bytes())
    middle = keras.Model(inputs, [hidden, state])
    hidden, state = middle({k: v[2:4] for k, v in data.items()})
    top.return_attention = True
    _, *expected = top(hidden, initial_state=[state])
    top.return_attention = False
    assert_reads(callback, expected)
    callback = AttentionMap(data, tmp_path, layer=model.get_layer("one"))
    callback.set_model(model)
    assert callback.reads()[0].shape == (1, TIME, 2)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"return_attention": True, "return_memory": True, "return_state": True},
        {"stateful": True, "memory_size": 5},
        {"go_backwards": True},
        {"k_att": 3, "return_sequences": True},
    ],
)
def test_any_setting_of_the_layer(kwargs, x, tmp_path):
    inputs = keras.Input(batch_shape=(NUM_EXAMPLES, TIME, FEATURES))
    layer = SABLSTM(4, **FAST, **kwargs)
    outputs = keras.tree.flatten(layer(inputs))[0]
    model = keras.Model(inputs, outputs)
    callback = AttentionMap(x, tmp_path, labels=[["w"] * TIME] * NUM_EXAMPLES)
    callback.set_model(model)
    callback.on_epoch_end(0)
    assert len(list((tmp_path / "attention_map").glob("*.png"))) == 1
    assert_reads(callback, recompute(layer, x[:1]))


def test_unwritable_folder_gives_one_warning(x, y, tmp_path):
    (tmp_path / "logs").write_text("in the way")
    model = sequential(SABLSTM(4, **FAST))
    with pytest.warns(UserWarning, match="No more of `AttentionMap`") as caught:
        history = model.fit(
            x,
            y,
            epochs=2,
            verbose=0,
            callbacks=[AttentionMap(x, tmp_path / "logs")],
        )
    assert len(history.epoch) == 2
    messages = [str(w.message) for w in caught]
    assert sum("No more of" in m for m in messages) == 1


@pytest.mark.parametrize(
    "layers, layer, message",
    [
        ([keras.layers.LSTM(4, name="lstm")], None, "lstm (LSTM)"),
        ([SABLSTM(4, k_top=0, name="sab")], None, "sab (SABLSTM)"),
        ([SABLSTM(4, name="sab")], "sub", "sab (SABLSTM)"),
        ([keras.layers.LSTM(4, name="lstm")], "lstm", "lstm (LSTM)"),
        (
            [SABLSTM(4, return_sequences=True, name="a"), SABGRU(4, name="b")],
            None,
            "a (SABLSTM), b (SABGRU)",
        ),
    ],
)
def test_says_what_is_wrong_with_the_model(layers, layer, message, x, tmp_path):
    model = sequential(keras.Input((TIME, FEATURES)), *layers)
    callback = AttentionMap(x, tmp_path, layer=layer)
    with pytest.raises(ValueError, match=f"Received: .*{re.escape(message)}"):
        callback.set_model(model)


def test_says_that_the_model_has_no_graph(x, tmp_path):
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__(name="mine")
            self.sab = SABLSTM(4)

        def call(self, x):
            return self.sab(x)

    with pytest.raises(ValueError, match=r"Received: model mine \(Subclassed"):
        AttentionMap(x, tmp_path).set_model(Subclassed())
    callback = AttentionMap(x, tmp_path)
    callback.set_model(sequential(SABLSTM(4)))
    with pytest.raises(ValueError, match="Received: .*built=False"):
        callback.reads()


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"x": np.zeros((0, 4, 2))}, "(0, 4, 2)"),
        ({"x": np.zeros(())}, "()"),
        ({"x": [np.zeros((2, 3)), np.zeros((3, 3))]}, "(2, 3), (3, 3)"),
        ({"examples": (0, 6)}, "examples=(0, 6)"),
        ({"examples": (-1,)}, "examples=(-1,)"),
        ({"examples": ()}, "examples=()"),
        ({"examples": 3}, "examples=3"),
        ({"labels": [["a"]]}, "1 entries"),
        ({"frequency": 0}, "frequency=0"),
        ({"frequency": 1.5}, "frequency=1.5"),
    ],
)
def test_says_which_argument_is_wrong(kwargs, message, x, tmp_path):
    with pytest.raises(ValueError, match=f"Received: .*{re.escape(message)}"):
        AttentionMap(**{"x": x, "log_dir": tmp_path} | kwargs)


@pytest.mark.parametrize("module", ["matplotlib", "tensorboard"])
def test_says_how_to_install(module, x, tmp_path, monkeypatch):
    for name in [m for m in sys.modules if m.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"{module}.*\\[examples\\]"):
        AttentionMap(x, tmp_path)


@pytest.mark.parametrize("forced", [False, True])
def test_core_of_a_generator(forced, tmp_path):
    x = np.random.default_rng(0).integers(1, 5, (NUM_EXAMPLES, TIME))
    x[3, 4:] = 0
    generator = models.AutoregressiveRNN(
        SABGRU(4, **FAST, name="sab"),
        CategoricalHead(5),
        keras.layers.Embedding(5, FEATURES, mask_zero=True),
    )
    model = models.ProfessorForcing(generator) if forced else generator
    model.compile("adam")
    callback = AttentionMap(x, tmp_path, examples=[0, 3])
    model.fit(x, verbose=0, callbacks=[callback])
    frames = keras.ops.convert_to_numpy(generator.embedding(x[[0, 3]]))
    past = np.pad(frames, [(0, 0), (1, 0), (0, 0)])[:, :-1]
    expected = recompute(generator.core, past, mask=x[[0, 3]] != 0)
    assert_reads(callback, expected)
    assert set(summaries(tmp_path / "attention_map")) == {
        "attention_map/sab/example_0",
        "attention_map/sab/example_3",
    }


def test_reads_are_written_for_the_page_credit(x, y, tmp_path):
    import json

    from tests.callbacks import event_files

    model = sequential(SABLSTM(4, **FAST, k_att=2, name="sab"))
    labels = [[f"s{i}" for i in range(TIME)]] * NUM_EXAMPLES
    callback = AttentionMap(x[..., :1], tmp_path, examples=[2], labels=labels)
    model.fit(x[..., :1], y, verbose=0, callbacks=[callback])
    ((tag, ((step, text),)),) = event_files.strings(
        tmp_path / "attention_map"
    ).items()
    assert (tag, step) == ("credit/sab/example_2/reads", 0)
    document = json.loads(text)
    slots, weights = callback.reads()
    reads = {
        (reader, int(slots[0, reader, i]) * 2 - 1)
        for reader, i in np.argwhere(weights[0] > 0)
    }
    assert {(a, b) for a, b, _ in document["reads"]} == reads
    assert sum(w for *_, w in document["reads"]) == pytest.approx(
        weights[0].sum(), abs=1e-2
    )
    assert document["labels"] == labels[2]
    np.testing.assert_allclose(document["inputs"], x[2, :, 0], atol=1e-4)
    assert (document["kind"], document["length"]) == ("reads", TIME)


@pytest.mark.parametrize("known", [True, False])
def test_labels_are_checked_before_training(known, x, tmp_path):
    time = TIME if known else None
    model = sequential(keras.Input((time, FEATURES)), SABLSTM(4, name="sab"))
    callback = AttentionMap(x, tmp_path, labels=[["a"] * 4] * NUM_EXAMPLES)
    message = r"each of the 9 steps that sab reads. Received: .*\[4\] labels"
    with pytest.raises(ValueError, match=message):
        callback.set_model(model)
