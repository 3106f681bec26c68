"""The page "Credit" in a browser: what it shows, and what moves it."""

import keras
import pytest

from tests.tensorboard_plugin import event_files

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax",
    reason="no backend has a part in the page: it is tested on jax",
)

LENGTH = 24
LABELS = ["<b>x</b>", *"abcdefghijklmnopqrstuvw"]
# Step 20 reads 3 and 7, and step 22 reads it; in epoch 1 something else.
READS = {
    0: [[5, -1, 1.0], [20, 3, 0.25], [20, 7, 0.75], [22, 20, 0.5]],
    1: [[9, 2, 1.0], [20, 4, 1.0]],
}


@pytest.fixture(scope="module")
def url(tensorboard, tmp_path_factory):
    logdir = tmp_path_factory.mktemp("logs")
    reads = event_files.reads(LENGTH, labels=LABELS)
    event_files.write(
        logdir / "digits" / "sab" / "attention_map",
        "credit/sab/example_0/reads",
        {n: reads | {"reads": triples} for n, triples in READS.items()},
    )
    event_files.write(
        logdir / "digits" / "sab" / "credit_assignment",
        "credit/sab/example_0/gradients",
        {n: event_files.gradients(LENGTH, 0.01) for n in READS},
    )
    event_files.write(
        logdir / "digits" / "truncated" / "credit_assignment",
        "credit/lstm/example_0/gradients",
        {0: event_files.gradients(LENGTH, 0.2, truncated=9, layer="lstm")},
    )
    event_files.write(
        logdir / "long" / "attention_map",
        "credit/sab/example_0/reads",
        {0: event_files.reads(1000, k_top=5)},
    )
    return tensorboard(logdir)


@pytest.fixture
def credit(page, url):
    return open_alone(page, url)


def open_alone(page, url):
    """Without the page of TensorBoard around it, which takes longer to load."""
    page.goto(f"{url}data/plugin_entry.html?name=credit")
    return page


def wait_for(credit, selector, **attributes):
    conditions = "".join(f'[data-{k}="{v}"]' for k, v in attributes.items())
    credit.locator(selector + conditions).wait_for()


def point_at(page, credit, step):
    """Moves the pointer to a step of 24, with the start before them."""
    canvas = credit.locator("#arcs")
    box = canvas.bounding_box()
    margin = 14  # As in arcs.js.
    cell = (box["width"] - 2 * margin) / (LENGTH + 1)
    page.mouse.move(
        box["x"] + margin + (step + 1.5) * cell,
        box["y"] + box["height"] - 30,
    )


def texts(locator):
    return [text.strip() for text in locator.all_inner_texts()]


def test_is_a_page_of_tensorboard_and_as_dark(page, url):
    page.goto(f"{url}#credit")
    credit = page.frame_locator("iframe[src*='name=credit']")
    wait_for(credit, "#arcs", arcs=2, step="")
    assert texts(credit.locator("#run option")) == [
        "digits/sab",
        "digits/truncated",
        "long",
    ]
    assert texts(credit.locator("#entry option")) == ["sab/example_0"]
    assert credit.locator("#arcs-note").inner_text().startswith("2 reads of 24")
    assert "Epoch 1 " in credit.locator("#epoch-text").inner_text()
    painted = credit.locator("#arcs").evaluate(
        """canvas => canvas
          .getContext("2d")
          .getImageData(0, 0, canvas.width, canvas.height / 2)
          .data.some(value => value > 0)"""
    )
    assert painted

    assert contrast(credit) < 1 / 7
    page.evaluate("document.body.classList.add('dark-mode')")
    credit.locator(":root[data-theme=dark]").wait_for(state="attached")
    assert contrast(credit) > 7


def test_a_step_shows_its_arcs_by_pointer_and_by_keys(page, credit):
    wait_for(credit, "#arcs", arcs=2)
    slider = credit.locator("#epoch")
    slider.focus()
    slider.press("ArrowLeft")
    wait_for(credit, "#arcs", arcs=4)
    assert "Epoch 0 " in credit.locator("#epoch-text").inner_text()

    point_at(page, credit, 20)
    wait_for(credit, "#arcs", arcs=3, step=20)
    status = credit.locator("#status").inner_text()
    assert status.startswith("step 20 't' (input ")
    assert status.endswith("reads 7 (0.75), 3 (0.25); read by 22")
    wait_for(credit, "#gradients", lag=LENGTH - 1 - 20)

    credit.locator("#arcs").click(position={"x": 16, "y": 240})
    wait_for(credit, "#arcs", arcs=1, step=-1)
    assert credit.locator("#status").inner_text() == "the start read by 5"
    canvas = credit.locator("#arcs")
    canvas.press("ArrowRight")
    wait_for(credit, "#arcs", arcs=0, step=0)
    # Names are text, whatever they look like.
    status = credit.locator("#status").inner_text()
    assert status.startswith("step 0 '<b>x</b>'")
    assert credit.locator("b").count() == 0
    assert "'<b>x</b>'" in canvas.get_attribute("aria-valuetext")
    canvas.press("End")
    wait_for(credit, "#arcs", step=LENGTH - 1)
    page.mouse.move(0, 0)
    canvas.press("Escape")
    wait_for(credit, "#arcs", arcs=4, step="")


def test_compares_the_gradients_of_all_training_runs(credit):
    wait_for(credit, "#gradients", lines=2)
    assert texts(credit.locator("#legend button")) == [
        "digits/sab (epoch 1)",
        "digits/truncated (epoch 0)",
    ]
    zeros = f"digits/truncated exactly 0 at {LENGTH - 10} of {LENGTH} lags"
    assert zeros in credit.locator("#gradients-note").inner_text()
    credit.locator("#arcs").press("Home")
    credit.locator("#arcs").press("ArrowRight")
    wait_for(credit, "#gradients", lag=LENGTH - 2)
    said = credit.locator("#lag-text").inner_text()
    assert said.endswith("digits/truncated exactly 0")
    credit.locator("#legend button").nth(1).click()
    wait_for(credit, "#gradients", lines=1)


def test_long_sequences_and_runs_without_reads(credit):
    credit.locator("#run").select_option("long")
    wait_for(credit, "#arcs", arcs=1500)
    note = credit.locator("#arcs-note").inner_text()
    assert note.startswith("The 1500 heaviest of ")
    credit.locator("#run").select_option("digits/truncated")
    wait_for(credit, "#arcs", arcs=0)
    note = credit.locator("#arcs-note").inner_text()
    assert note.startswith("Nothing is known of the reads here")


def contrast(credit):
    """Of text and its ground: below 1 where the ground is the lighter one."""
    ink, ground = credit.locator("body").evaluate(
        """body => [
          getComputedStyle(body).color,
          getComputedStyle(body).backgroundColor,
        ]"""
    )
    return (luminance(ink) + 0.05) / (luminance(ground) + 0.05)


def luminance(color):
    """Relative luminance of `rgb(...)`."""
    channels = [int(c) / 255 for c in color[4:-1].split(",")]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in channels
    ]
    return sum(
        w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)
    )


def test_says_who_writes_data_and_shows_it_once_there(
    page, tensorboard, tmp_path
):
    credit = open_alone(page, tensorboard(tmp_path))
    hint = credit.locator("#hint")
    hint.wait_for()
    assert "keras_seqcredit.callbacks.AttentionMap" in hint.inner_text()
    assert "keras_seqcredit.callbacks.CreditAssignment" in hint.inner_text()
    assert not credit.locator("#content").is_visible()
    event_files.write(
        tmp_path / "sab" / "attention_map",
        "credit/sab/example_0/reads",
        {0: event_files.reads(9)},
    )
    for _ in range(20):  # Until TensorBoard itself has read it.
        credit.locator("#reload").click()
        page.wait_for_timeout(250)
        if hint.is_hidden():
            break
    assert texts(credit.locator("#run option")) == ["sab"]
