"""The server's part of the page, in a TensorBoard with both of its loaders."""

import importlib.metadata
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from tensorboard import program
from tensorboard.plugins import base_plugin
from tensorboard.plugins.core import core_plugin

from keras_seqcredit.tensorboard_plugin import plugin
from tests.tensorboard_plugin import event_files

ROOT = pathlib.Path(__file__).parents[2]
READS_TAG = "credit/sab/example_0/reads"
GRADIENTS_TAG = "credit/sab/example_0/gradients"
NUM_EPOCHS = 30
# The machine's proxies know nothing of it.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url, **arguments):
    """Returns the status, the type and the text of an answer."""
    if arguments:
        url += "?" + urllib.parse.urlencode(arguments)
    try:
        with OPENER.open(url, timeout=20) as response:
            text = response.read().decode()
            return response.status, response.headers.get_content_type(), text
    except urllib.error.HTTPError as error:
        return error.code, None, error.read().decode()


def serve(logdir, load_fast):
    """Starts TensorBoard in a thread: the server ends with the process."""
    board = program.TensorBoard(
        plugins=[core_plugin.CorePluginLoader(), plugin.CreditLoader]
    )
    board.configure(
        argv=[
            "tensorboard",
            f"--logdir={logdir}",
            f"--load_fast={load_fast}",
            "--host=127.0.0.1",
            "--port=0",
            "--reload_interval=0",
        ]
    )
    return board.launch().rstrip("/")


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    epochs = range(NUM_EPOCHS)
    event_files.write(
        folder / "sab" / "attention_map",
        READS_TAG,
        {n: event_files.reads(9, seed=n, labels=["é"] * 9) for n in epochs},
    )
    event_files.write(
        folder / "sab" / "credit_assignment",
        GRADIENTS_TAG,
        {0: '{"kind": "gradients", "length": 2, "norms": [NaN, Infinity]}'},
    )
    return folder


@pytest.fixture(scope="module", params=["false", "true"])
def url(request, logdir):
    fast = request.param == "true"
    if fast and importlib.util.find_spec("tensorboard_data_server") is None:
        pytest.skip("TensorBoard's fast loader is not installed")
    url = serve(logdir, request.param)
    tags = f"{url}/data/plugin/credit/tags"
    deadline = time.monotonic() + 30
    while len(json.loads(get(tags)[2])) < 2:
        assert time.monotonic() < deadline, "TensorBoard has read no data"
        time.sleep(0.1)
    return url


def test_is_active_with_data(url):
    status, _, text = get(f"{url}/data/plugins_listing")
    assert status == 200
    listed = json.loads(text)["credit"]
    assert listed["enabled"] is True
    assert listed["tab_name"] == "Credit"
    assert listed["loading_mechanism"] == {
        "type": "IFRAME",
        "module_path": "/data/plugin/credit/index.js",
    }


def test_tags_have_kinds(url):
    status, content_type, text = get(f"{url}/data/plugin/credit/tags")
    assert (status, content_type) == (200, "application/json")
    assert json.loads(text) == {
        "sab/attention_map": {READS_TAG: "reads"},
        "sab/credit_assignment": {GRADIENTS_TAG: "gradients"},
    }


def test_data_has_all_epochs(url):
    """TensorBoard by itself would keep 10 of them."""
    status, content_type, text = get(
        f"{url}/data/plugin/credit/data",
        run="sab/attention_map",
        tag=READS_TAG,
    )
    assert (status, content_type) == (200, "application/json")
    epochs = json.loads(text)
    assert [epoch["step"] for epoch in epochs] == list(range(NUM_EPOCHS))
    for n, epoch in enumerate(epochs):
        assert abs(epoch["wall_time"] - time.time()) < 3600
        expected = event_files.reads(9, seed=n, labels=["é"] * 9)
        assert epoch["value"] == expected


def test_browsers_can_read_what_is_not_finite(url):
    _, _, text = get(
        f"{url}/data/plugin/credit/data",
        run="sab/credit_assignment",
        tag=GRADIENTS_TAG,
    )
    assert json.loads(text)[0]["value"]["norms"] == [None, None]


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        ({}, 400, "Received: no `run`"),
        ({"run": "sab/attention_map"}, 400, "Received: no `tag`"),
        ({"run": "none", "tag": READS_TAG}, 404, "Received: run='none'"),
        ({"run": "sab/attention_map", "tag": "<b>"}, 404, "tag='<b>'"),
        ({"run": "sab/attention_map", "tag": GRADIENTS_TAG}, 404, "tag='cre"),
    ],
)
def test_says_what_is_wrong(url, arguments, status, message):
    received, _, text = get(f"{url}/data/plugin/credit/data", **arguments)
    assert received == status
    assert "Expected" in text and message in text


def test_serves_every_file_that_the_page_names(url):
    names = {"index.js"}
    pattern = re.compile(r'"\./([\w.]+)"')
    while True:
        texts = {}
        for name in names:
            status, content_type, text = get(f"{url}/data/plugin/credit/{name}")
            expected = "text/css" if name.endswith("css") else "text/javascript"
            assert (name, status, content_type) == (name, 200, expected)
            assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
            texts[name] = text
        named = names.union(*(pattern.findall(t) for t in texts.values()))
        if named == names:
            break
        names = named
    assert names == {path.name for path in plugin.STATIC.iterdir()}
    assert not any("innerHTML" in text for text in texts.values())


def test_is_inactive_without_data(tmp_path):
    assert not plugin.CreditPlugin(base_plugin.TBContext()).is_active()
    url = serve(tmp_path, "false")
    _, _, text = get(f"{url}/data/plugins_listing")
    assert json.loads(text)["credit"]["enabled"] is False
    assert get(f"{url}/data/plugin/credit/tags")[2] == "{}"


def test_users_choose_how_many_epochs_are_kept():
    board = program.TensorBoard(
        plugins=[core_plugin.CorePluginLoader(), plugin.CreditLoader]
    )
    board.configure(argv=["tensorboard", "--logdir=logs"])
    assert board.flags.samples_per_plugin == {"credit": plugin.MAX_EPOCHS}
    flag = "--samples_per_plugin=credit=7,images=3"
    board.configure(argv=["tensorboard", "--logdir=logs", flag])
    assert board.flags.samples_per_plugin == {"credit": 7, "images": 3}


def test_is_installed_where_tensorboard_looks():
    (found,) = importlib.metadata.entry_points(
        group="tensorboard_plugins", name="credit"
    )
    assert found.load() is plugin.CreditLoader


def test_is_imported_without_a_backend(tmp_path):
    script = (
        "import sys; import keras_seqcredit.tensorboard_plugin.plugin;"
        "print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    modules = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        timeout=60,
    ).stdout.split()
    assert "keras_seqcredit" in modules
    assert not {"keras", "tensorflow", "jax", "torch"} & set(modules)
