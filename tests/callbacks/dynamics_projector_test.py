import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_seqcredit.callbacks import DynamicsProjector
from keras_seqcredit.callbacks.projector_files import write_projector_files
from keras_seqcredit.metrics import mean_discrepancy
from keras_seqcredit.models.sequences import Sequences
from tests.callbacks import event_files
from tests.callbacks.small_models import ROWS
from tests.callbacks.small_models import TIME
from tests.callbacks.small_models import bits
from tests.callbacks.small_models import generator
from tests.callbacks.small_models import professor
from tests.on_one_backend import only_on

# TensorFlow compiles long: it has every view in `view_test.py`.
pytestmark = only_on("jax")


def embedding_of(folder):
    """What TensorBoard's own plugin finds in a folder of logs."""
    from tensorboard.plugins.projector import projector_plugin
    from tensorboard.plugins.projector.projector_config_pb2 import (
        ProjectorConfig,
    )

    config = projector_plugin.text_format.Parse(
        (folder / "projector_config.pbtxt").read_text(), ProjectorConfig()
    )
    (embedding,) = config.embeddings
    points = projector_plugin._read_tensor_tsv_file(
        str(folder / embedding.tensor_path)
    )
    lines = (folder / embedding.metadata_path).read_text().splitlines()
    return embedding, points, [line.split("\t") for line in lines]


@pytest.mark.parametrize("make", [professor, generator])
def test_states_of_both_runs(make, tmp_path):
    model = make()
    view = DynamicsProjector(bits(), tmp_path, classes=list("abcabc"))
    model.fit(bits(), epochs=2, verbose=0, callbacks=[view])
    folder = tmp_path / "dynamics"
    embedding, points, (header, *rows) = embedding_of(folder)
    assert embedding.tensor_name == "states after epoch 2"
    assert header == ["run", "example", "step", "class"]
    assert points.shape == (2 * ROWS * TIME, 4)
    assert len(rows) == len(points)
    assert rows[0] == ["data", "0", "0", "a"]
    assert rows[-1] == ["free", "5", "4", "c"]
    generator_ = getattr(model, "generator", model)
    on_data, _ = generator_.net.run(Sequences(ops.convert_to_tensor(bits())))
    on_data = ops.convert_to_numpy(on_data)
    np.testing.assert_allclose(
        points[: ROWS * TIME], on_data.reshape(-1, 4), rtol=1e-4, atol=1e-5
    )
    free = points[ROWS * TIME :].reshape(ROWS, TIME, 4)
    # Both start from nothing, and part.
    np.testing.assert_allclose(free[:, 0], on_data[:, 0], atol=1e-5)
    assert not np.allclose(free[:, -1], on_data[:, -1])
    gaps = event_files.scalars(folder)["dynamics/free_running_gap"]
    np.testing.assert_allclose(
        gaps[-1][1], mean_discrepancy(on_data, free), atol=1e-3
    )
    images = event_files.read(folder).Images("dynamics/states")
    assert [image.step for image in images] == [0, 1]


def test_padding_is_left_out_and_points_are_limited(tmp_path):
    keep = np.arange(TIME) < np.array([[5], [3], [1], [4], [2], [5]])
    x = {"sequences": bits(), "mask": keep}
    model = generator()
    for limit, number in ((2000, 2 * keep.sum()), (7, 7)):
        view = DynamicsProjector(x, tmp_path, max_points=limit)
        model.fit(x, verbose=0, callbacks=[view])
        _, points, (_, *rows) = embedding_of(view.log_dir)
        assert len(points) == len(rows) == number
        assert all(keep[int(row[1]), int(row[2])] for row in rows)


def test_thumbnails_show_what_was_read_so_far(tmp_path):
    from matplotlib.image import imread

    x = bits(time=6)
    model = generator()
    view = DynamicsProjector(x, tmp_path, image_shape=(2, 3))
    model.fit(x, verbose=0, callbacks=[view])
    folder = tmp_path / "dynamics"
    embedding, points, (_, *rows) = embedding_of(folder)
    width, height = embedding.sprite.single_image_dim
    assert (width % 3, height % 2) == (0, 0)
    sprite = imread(folder / embedding.sprite.image_path)[..., 0]
    side = int(np.ceil(np.sqrt(len(points))))
    assert sprite.shape == (side * height, side * width)
    for number in (0, 5, 9, 35):
        line, column = divmod(number, side)
        found = sprite[
            line * height : (line + 1) * height : height // 2,
            column * width : (column + 1) * width : width // 3,
        ].ravel()
        _, example, step, _ = rows[number]
        known = np.arange(6) < int(step)
        expected = np.where(known, x[int(example), :, 0], 0.5)
        np.testing.assert_allclose(found, expected, atol=0.01)


def test_files_say_what_is_missing_and_stay_tables(tmp_path):
    write_projector_files(
        tmp_path,
        "points",
        np.eye(2, 3),
        ("a", "b"),
        [("tab\there", ""), ("line\nend", None)],
    )
    _, points, table = embedding_of(tmp_path)
    np.testing.assert_allclose(points, np.eye(2, 3))
    assert table == [["a", "b"], ["tab here", "-"], ["line end", "None"]]


def test_large_thumbnails_fit_into_a_sprite(tmp_path):
    write_projector_files(
        tmp_path,
        "points",
        np.zeros((400, 2)),
        ("a", "b"),
        [("", "")] * 400,
        np.zeros((400, 500, 500), "float32"),
    )
    embedding, _, _ = embedding_of(tmp_path)
    width, height = embedding.sprite.single_image_dim
    assert 0 < 20 * width <= 8192 and 0 < 20 * height <= 8192


@pytest.mark.parametrize("projection", ["pca", "tsne"])
def test_projections_to_the_plane(projection, tmp_path):
    view = DynamicsProjector(bits(), tmp_path, projection=projection)
    random = np.random.default_rng(0)
    states = random.normal(size=(30, 4)) + 20 * (np.arange(30) % 2)[:, None]
    flat = view._flat(states.astype("float32"))
    assert flat.shape == (30, 2)
    # Two groups stay apart.
    centers = [flat[i::2].mean(axis=0) for i in (0, 1)]
    spread = max(flat[i::2].std() for i in (0, 1))
    assert np.linalg.norm(centers[0] - centers[1]) > spread


def test_one_unit_is_a_line(tmp_path):
    model = generator(core=keras.layers.GRUCell(1))
    view = DynamicsProjector(bits(), tmp_path)
    model.fit(bits(), verbose=0, callbacks=[view])
    assert embedding_of(tmp_path / "dynamics")[1].shape == (60, 1)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"classes": [1]}, "1 entries"),
        ({"image_shape": (2, 2)}, "image_shape=(2, 2)"),
        ({"projection": "umap"}, "projection='umap'"),
        ({"max_points": 0}, "max_points=0"),
    ],
)
def test_says_which_argument_is_wrong(kwargs, message, tmp_path):
    arguments = {"x": bits(), "log_dir": tmp_path} | kwargs
    with pytest.raises(ValueError, match=f"Received: .*{re.escape(message)}"):
        DynamicsProjector(**arguments)
