"""What views write, on the pages of TensorBoard in a browser."""

import re

import keras
import numpy as np
import pytest

from keras_seqcredit import callbacks
from keras_seqcredit import layers
from keras_seqcredit import models
from tests.callbacks.small_models import bits
from tests.callbacks.small_models import generator
from tests.callbacks.small_models import reader

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax",
    reason="logs do not depend on the backend: pages are tested on jax",
)

LENGTH = 9


def train(logdir):
    """Logs with something for each page."""
    x = bits(time=LENGTH)
    labels = np.arange(len(x)) % 2
    reader(time=LENGTH).fit(
        x,
        labels,
        verbose=0,
        callbacks=[
            callbacks.AttentionMap(x, logdir / "reader"),
            callbacks.CreditAssignment(x, labels, logdir / "reader"),
            callbacks.ScheduleLogger(logdir / "reader", {"cell": "lstm"}),
        ],
    )
    generator().fit(
        x,
        verbose=0,
        callbacks=[
            callbacks.DynamicsProjector(
                x, logdir / "writer", image_shape=(3, 3)
            ),
            callbacks.SampleLogger(
                logdir / "writer", LENGTH, sample_rate=8000, num_samples=3
            ),
            callbacks.ScheduleLogger(logdir / "writer", {"cell": "gru"}),
        ],
    )
    text = models.AutoregressiveRNN(
        keras.layers.GRUCell(4),
        layers.CategoricalHead(2),
        keras.layers.Embedding(2, 2),
    )
    text.compile("adam")
    text.fit(
        x[..., 0].astype("int32"),
        verbose=0,
        callbacks=[
            callbacks.SampleLogger(
                logdir / "text", LENGTH, vocabulary=["tick", "tack"]
            )
        ],
    )


@pytest.fixture(scope="module")
def url(tensorboard, tmp_path_factory):
    logdir = tmp_path_factory.mktemp("logs")
    train(logdir)
    return tensorboard(logdir)


def turn_to(page, name):
    page.evaluate("name => { location.hash = name }", name)


def test_every_page_has_what_the_views_wrote(page, url):
    # High enough for all: what is out of sight is not drawn.
    page.set_viewport_size({"width": 1200, "height": 4000})
    page.goto(f"{url}#scalars")
    page.get_by_text("dynamics/free_running_gap").first.wait_for()

    turn_to(page, "images")
    pictures = page.locator("tf-image-loader img")
    pictures.first.wait_for()
    for tag in (
        "attention_map/sab/example_0",
        "credit_assignment/sab",
    ):
        page.get_by_text(tag).first.wait_for(state="attached")

    # These groups of pictures are closed until they are clicked at.
    for group in ("dynamics", "samples"):
        page.get_by_text(group, exact=True).first.wait_for(state="attached")

    turn_to(page, "audio")
    page.locator("audio").nth(2).wait_for()

    turn_to(page, "text")
    page.get_by_text(re.compile("(tick|tack){9}")).first.wait_for()

    turn_to(page, "hparams")
    for text in ("lstm", "gru", "objective/nats"):
        page.get_by_text(text, exact=True).first.wait_for()


def test_projector_lists_points_and_runs_tsne(page, url):
    from playwright.sync_api import expect

    page.goto(f"{url}#projector")
    projector = page.frame_locator("iframe").frame_locator("iframe")
    # Two runs of six sequences, in four dimensions.
    points = projector.get_by_text(re.compile("Points: *108"))
    points.wait_for()
    projector.get_by_text(re.compile("Dimension: *4")).wait_for()
    projector.locator("#tsne-tab").click()
    iteration = projector.locator(".run-tsne-iter")
    expect(iteration).to_have_text(re.compile("[1-9][0-9]"), timeout=20_000)
