"""Files that older versions have saved load, compute the same, and train on."""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

import keras_seqcredit  # noqa: F401 - tells Keras of the layers.
from tests.saved_models import make_trainings

FOLDER = pathlib.Path(__file__).parent / "saved_models"


def test_layers_saved_before_reads_went_anywhere_but_to_the_state():
    model = keras.models.load_model(FOLDER / "before_read_into.keras")
    recurrent = model.layers[1:4]
    assert [layer.read_into for layer in recurrent] == ["state"] * 3
    assert [layer.attention for layer in recurrent] == [
        "additive",
        "dot",
        "concat",
    ]
    assert [layer.memory_content for layer in recurrent] == [
        "state",
        "provisional",
        "state",
    ]
    random = np.random.default_rng(0)
    x = random.normal(size=(3, 9, 3)).astype("float32")
    y = random.normal(size=(3, 2)).astype("float32")
    np.testing.assert_allclose(
        model.predict(x, verbose=0),
        [
            [-2.783601, -0.413220],
            [-3.815670, -1.215581],
            [-3.687627, -0.819906],
        ],
        atol=1e-4,
    )
    losses = model.fit(
        x, y, epochs=2, batch_size=3, shuffle=False, verbose=0
    ).history["loss"]
    assert losses == pytest.approx([5.443478, 5.401493], abs=1e-3)


def expected(name):
    file = make_trainings.FOLDER / f"{keras.backend.backend()}.json"
    return json.loads(file.read_text(encoding="utf-8"))[name]


def folder_of(name):
    return make_trainings.FOLDER / keras.backend.backend() / name


@pytest.mark.parametrize("name", make_trainings.NAMES)
def test_a_model_saved_before_the_rooms_moved_computes_the_same(name):
    model = keras.models.load_model(folder_of(name) / "model.keras")
    assert make_trainings.evaluated(name, model) == pytest.approx(
        expected(name)["evaluated"], rel=1e-4
    )


@pytest.mark.parametrize("name", make_trainings.NAMES)
def test_a_training_begun_before_the_rooms_moved_goes_on(name, tmp_path):
    state = tmp_path / "state"
    shutil.copytree(folder_of(name) / "state", state)
    model, losses = make_trainings.fit(name, state, 3)
    wanted = expected(name)
    assert losses[:2] == wanted["losses"][:2]  # Restored, not trained again.
    assert losses[2:] == pytest.approx(wanted["losses"][2:], rel=1e-4)
    assert [
        float(np.abs(weight).sum()) for weight in model.get_weights()
    ] == pytest.approx(wanted["weights"], rel=1e-3, abs=1e-4)
