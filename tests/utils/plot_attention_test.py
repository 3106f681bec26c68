import io
import re
import struct
import sys

import numpy as np
import pytest

from keras_seqcredit.utils import plot_attention

SLOTS = np.array([[0, -1], [0, 1], [1, 2], [3, 0]], dtype="int32")
WEIGHTS = np.array([[1, 0], [0.5, 0.5], [0.9, 0.1], [0.75, 0.25]], "float32")


def points(figure):
    """Returns `{(step that reads, step that is read): weight}`."""
    scatter = figure.axes[-3].collections[0]
    return {
        tuple(xy): weight
        for xy, weight in zip(
            scatter.get_offsets().tolist(),
            scatter.get_array().tolist(),
            strict=True,
        )
    }


def arcs(figure):
    """Returns the ends of the arcs: steps that read and that are read."""
    segments = figure.axes[0].collections[0].get_segments()
    return {tuple(np.round(s[[0, -1], 0], 6)) for s in segments}


def received(figure):
    """Returns the greatest weight of the bars at each level."""
    path = figure.axes[-2].collections[0].get_paths()[0].vertices
    return path[:, 0].max()


def test_every_read_is_a_point_and_an_arc():
    figure = plot_attention(SLOTS, WEIGHTS)
    expected = {
        (0, -1): 1,
        (1, -1): 0.5,
        (1, 0): 0.5,
        (2, 0): 0.9,
        (2, 1): 0.1,
        (3, 2): 0.75,
        (3, -1): 0.25,
    }
    assert points(figure) == pytest.approx(expected)
    assert arcs(figure) == set(expected)
    assert received(figure) == pytest.approx(1.75)


def test_slots_stand_for_every_k_att_th_step():
    slots = np.array([[0], [0], [0], [1], [1], [1], [2]])
    figure = plot_attention(slots, np.ones_like(slots), k_att=3)
    assert set(points(figure)) == {
        (0, -1),
        (1, -1),
        (2, -1),
        (3, 2),
        (4, 2),
        (5, 2),
        (6, 5),
    }
    assert received(figure) == pytest.approx(3)


@pytest.mark.parametrize("k_att", [1, 2])
@pytest.mark.parametrize("features", [None, 1, 6])
@pytest.mark.parametrize("num_steps", [1, 2, 30, 1500])
def test_draws_any_length(num_steps, features, k_att, tmp_path):
    slots = np.minimum(
        np.arange(num_steps)[:, None] // k_att, np.array([[0, 1, 7]])
    )
    inputs = None
    if features:
        inputs = np.random.default_rng(0).random((num_steps, features))
    path = tmp_path / "map.png"
    figure = plot_attention(
        slots, np.full(slots.shape, 1 / 3), k_att, inputs=inputs, path=path
    )
    height, width = figure.get_size_inches()[::-1] * 110
    assert png_size(path.read_bytes()) == (int(width), int(height))
    # Panels: arcs, input if there is one, reads, weight received, colors.
    assert len(figure.axes) == (4 if inputs is None else 5)


def png_size(png):
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", png[16:24])


def test_draws_steps_that_read_nothing():
    figure = plot_attention(np.full((5, 2), -1), np.zeros((5, 2)))
    assert points(figure) == {}
    figure.savefig(io.BytesIO())


def test_names_steps():
    figure = plot_attention(SLOTS, WEIGHTS, labels=["the", "cat", "sat", "."])
    reads = figure.axes[-3]
    names = [label.get_text() for label in reads.get_xticklabels()]
    assert names == ["the", "cat", "sat", "."]
    names = [label.get_text() for label in reads.get_yticklabels()]
    assert names == ["start", "the", "cat", "sat", "."]
    assert reads.get_xlabel() == "Step that reads"


def test_labels_of_long_sequences_are_thinned_out():
    slots = np.zeros((500, 1), dtype=int)
    figure = plot_attention(slots, slots + 1.0, labels=["w"] * 500)
    assert len(figure.axes[-3].get_xticks()) <= 40


def test_title():
    figure = plot_attention(SLOTS, WEIGHTS, title="a layer")
    assert figure.get_suptitle() == "a layer"


def test_leaves_pyplot_alone():
    loaded = "matplotlib.pyplot" in sys.modules
    plot_attention(SLOTS, WEIGHTS)
    assert ("matplotlib.pyplot" in sys.modules) == loaded


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"weights": WEIGHTS[:3]}, "weights.shape=(3, 2)"),
        ({"slots": SLOTS[None], "weights": WEIGHTS[None]}, "(1, 4, 2)"),
        ({"slots": SLOTS[:0], "weights": WEIGHTS[:0]}, "(0, 2)"),
        ({"slots": SLOTS.astype("float32")}, "slots.dtype=float32"),
        ({"k_att": 0}, "k_att=0"),
        ({"k_att": 1.0}, "k_att=1.0"),
        ({"k_att": 2}, "slot 1 read at step 1"),
        ({"inputs": np.zeros((3, 2))}, "inputs.shape=(3, 2)"),
        ({"inputs": np.zeros((4, 2, 2))}, "inputs.shape=(4, 2, 2)"),
        ({"labels": ["a"]}, "1 labels"),
    ],
)
def test_says_what_is_wrong(kwargs, message):
    with pytest.raises(ValueError, match=f"Received: .*{re.escape(message)}"):
        plot_attention(**{"slots": SLOTS, "weights": WEIGHTS} | kwargs)


def test_says_how_to_install_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"keras-seqcredit\[examples\]"):
        plot_attention(SLOTS, WEIGHTS)
