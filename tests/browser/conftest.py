"""A real TensorBoard and a real browser, both on this machine."""

import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import threading

import pytest

BROWSERS = ("chromium", "google-chrome", "chromium-browser")
TIMEOUT = 20.0  # Seconds for whatever the page is waited for.
# The page needs no TensorFlow, and without it TensorBoard starts in no time.
# Not from the folder of the checkout: the plugin is found as it is installed.
START = """
import sys
sys.modules["tensorflow"] = None
from tensorboard.main import run_main
run_main()
"""


@pytest.fixture(scope="module")
def tensorboard(tmp_path_factory):
    """`tensorboard(logdir)` starts a server and returns its address."""
    processes = []

    def start(logdir):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                START,
                f"--logdir={logdir}",
                "--host=127.0.0.1",
                "--port=0",
                "--reload_interval=1",
            ],
            cwd=tmp_path_factory.mktemp("elsewhere"),
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return address_of(process)

    yield start
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def address_of(process):
    """Waits until a server has said where it is."""
    lines = queue.Queue()

    def read():
        # To the end: a full pipe would stop the server.
        for line in process.stderr:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    said = ""
    while True:
        try:
            line = lines.get(timeout=60)
        except queue.Empty:
            line = None
        assert line is not None, f"TensorBoard has not started: {said}"
        said += line
        if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
            return found[0]


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed"
    )
    path = find_browser()
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} found; CHROMIUM names one")
    # The projector draws with WebGL, which is done on the CPU.
    arguments = [
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--no-proxy-server",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=arguments, timeout=60_000
        )
        yield browser
        browser.close()


def find_browser():
    if path := os.environ.get("CHROMIUM"):
        assert pathlib.Path(path).exists(), f"CHROMIUM={path} does not exist"
        return path
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture
def page(browser):
    """A new page, with timeouts, that fails the test on errors of scripts."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(TIMEOUT * 1000)
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []
