import re

import keras
import numpy as np
import pytest

from keras_seqcredit import layers
from keras_seqcredit import models
from keras_seqcredit.callbacks import SampleLogger
from tests.callbacks import event_files
from tests.callbacks.small_models import TIME
from tests.callbacks.small_models import bits
from tests.callbacks.small_models import generator
from tests.callbacks.small_models import reader
from tests.callbacks.small_models import walkback
from tests.callbacks.small_models import z_forcing
from tests.on_one_backend import only_on

# TensorFlow compiles long: it has every view in `view_test.py`.
pytestmark = only_on("jax")

CODES = np.random.default_rng(0).integers(0, 3, (6, TIME)).astype("int32")
STROKES = np.concatenate([bits(), bits() - 0.5, bits()], axis=-1)
IMAGES = np.random.default_rng(0).normal(size=(6, 4, 4, 1)).astype("float32")


def text_model():
    model = models.AutoregressiveRNN(
        keras.layers.GRUCell(4),
        layers.CategoricalHead(3),
        keras.layers.Embedding(3, 2),
    )
    model.compile("adam")
    return model


def image_chain():
    return walkback((4, 4, 1))


def log(model, x, folder, **kwargs):
    view = SampleLogger(folder, **{"num_samples": 2, **kwargs})
    model.fit(x, epochs=2, verbose=0, callbacks=[view])
    return view, event_files.read(folder / "samples")


@pytest.mark.parametrize(
    "make, x, kwargs, tag",
    [
        (generator, bits(time=6), {"image_shape": (2, 3)}, "images"),
        (generator, bits(), {}, "series"),
        (z_forcing, bits(), {}, "series"),
        (
            lambda: generator(layers.PenStrokeHead(2)),
            STROKES,
            {},
            "drawings",
        ),
        (image_chain, IMAGES, {"length": None}, "images"),
        (walkback, IMAGES[:, :2, 0, 0], {"length": None}, "points"),
        (
            lambda: walkback(6),
            IMAGES.reshape(6, -1)[:, :6],
            {"length": None, "image_shape": (2, 3)},
            "images",
        ),
    ],
)
def test_kinds_of_pictures(make, x, kwargs, tag, tmp_path):
    kwargs = {"length": x.shape[1], **kwargs}
    _, events = log(make(), x, tmp_path, **kwargs)
    assert events.Tags()["images"] == [f"samples/{tag}"]
    images = events.Images(f"samples/{tag}")
    assert [image.step for image in images] == [0, 1]


def test_text(tmp_path):
    model = text_model()
    view, _ = log(
        model, CODES, tmp_path, length=TIME, vocabulary=["a", "\n", "<b>"]
    )
    ((_, _), (step, found)) = event_files.strings(tmp_path / "samples")[
        "samples/text"
    ]
    assert step == 1
    samples = model.generate(length=TIME, num_samples=2, seed=0)
    texts = [
        "    " + "".join(["a", "\n    ", "<b>"][code] for code in row)
        for row in samples
    ]
    assert found.decode() == "\n\n---\n\n".join(texts)


def test_classes_without_a_vocabulary_are_numbers(tmp_path):
    log(text_model(), CODES, tmp_path, length=TIME)
    found = event_files.strings(tmp_path / "samples")["samples/text"][-1][1]
    assert re.fullmatch(r" {4}[012]( [012]){4}\n.*", found.decode(), re.DOTALL)


def test_sounds_of_frames(tmp_path):
    x = np.repeat(bits(), 8, axis=2)
    model = generator(layers.GaussianHead(8))
    view, events = log(model, x, tmp_path, length=TIME, sample_rate=8000)
    sounds = events.Audio("samples/audio_1")
    assert [(s.step, s.sample_rate, s.length_frames) for s in sounds] == [
        (0, 8000, 8 * TIME),
        (1, 8000, 8 * TIME),
    ]
    assert events.Tags()["images"] == ["samples/spectrograms"]


def test_what_is_decoded_is_shown(tmp_path):
    view, events = log(
        text_model(),
        CODES,
        tmp_path,
        length=TIME,
        sample_rate=100,
        decode=lambda codes: codes / 2 - 0.5,
    )
    samples = view.samples()
    assert set(np.unique(samples)) <= {-0.5, 0.0, 0.5}
    assert events.Tags()["audio"] == ["samples/audio_0", "samples/audio_1"]


def test_one_sample_of_each_prompt_and_the_same_at_each_look(tmp_path):
    model = generator()
    view = SampleLogger(tmp_path, length=TIME, prompt=bits()[:3, :2])
    model.fit(bits(), verbose=0, callbacks=[view])
    samples = view.samples()
    assert samples.shape == (3, TIME, 1)
    np.testing.assert_array_equal(samples[:, :2], bits()[:3, :2])
    np.testing.assert_array_equal(samples, view.samples())


@pytest.mark.parametrize(
    "make, length, message",
    [
        (generator, None, "length=None"),
        (walkback, 3, "length=3"),
        (reader, 3, "model "),
    ],
)
def test_says_what_is_wrong_with_the_model(make, length, message, tmp_path):
    view = SampleLogger(tmp_path, length=length)
    with pytest.raises(ValueError, match=f"Received: .*{message}"):
        view.set_model(make())


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"length": 0}, "length=0"),
        ({"num_samples": 0}, "num_samples=0"),
        ({"sample_rate": 0}, "sample_rate=0"),
        (
            {"vocabulary": "abc", "image_shape": (2, 2)},
            "['vocabulary', 'image_shape']",
        ),
    ],
)
def test_says_which_argument_is_wrong(kwargs, message, tmp_path):
    with pytest.raises(ValueError, match=f"Received: .*{re.escape(message)}"):
        SampleLogger(tmp_path, **kwargs)
