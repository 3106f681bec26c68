"""The examples of several devices, each in processes of its own."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.on_one_backend import only_on

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def run(name, logdir, *flags, backend):
    command = [sys.executable, str(EXAMPLES / f"distributed_{name}.py")]
    ended = subprocess.run(
        [*command, f"--logdir={logdir}", *flags],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": str(EXAMPLES.parent),
            # Each process is one device, but for what its flags say.
            "XLA_FLAGS": os.environ["XLA_FLAGS"].replace(
                "--xla_force_host_platform_device_count=8", ""
            ),
        },
        capture_output=True,
        text=True,
        timeout=200,
    )
    result = pathlib.Path(logdir) / "result.json"
    found = json.loads(result.read_text()) if result.exists() else None
    return ended, found


@only_on("jax")
def test_two_processes_train_as_one(tmp_path):
    # Small steps: reading from the memory makes large ones of roundings.
    flags = ["--epochs=1", "--units=4", "--learning-rate=1e-4"]
    found = []
    for name, processes in (("one", []), ("two", ["--local=2"])):
        ended, result = run(
            "jax", tmp_path / name, *flags, *processes, backend="jax"
        )
        assert ended.returncode == 0, ended.stderr
        found.append(result)
    one, two = found
    assert (one["processes"], two["processes"]) == (1, 2)
    np.testing.assert_allclose(
        one["history"]["loss"], two["history"]["loss"], rtol=1e-5
    )
    np.testing.assert_allclose(one["test_loss"], two["test_loss"], rtol=1e-5)


@only_on("tensorflow")
def test_replicas_of_a_host(tmp_path):
    flags = ["--epochs=1", "--units=4", "--devices=2"]
    ended, result = run("tensorflow", tmp_path, *flags, backend="tensorflow")
    assert ended.returncode == 0, ended.stderr
    assert result["devices"] == 2
    assert np.isfinite(result["test_loss"])


@only_on("jax")
@pytest.mark.parametrize(
    "name, flags, backend, message",
    [
        ("tensorflow", [], "jax", "Received: another backend"),
        ("jax", ["--backend=tensorflow"], "jax", "Received: another backend"),
        (
            "jax",
            ["--host-devices=2", "--batch-size=33"],
            "jax",
            "Received: 33",
        ),
        (
            "jax",
            [
                "--coordinator=127.0.0.1:9",
                "--processes=2",
                "--process=1",
                "--timeout=1",
            ],
            "jax",
            "Expected process 0 to answer at 127.0.0.1:9 within 1 s",
        ),
        (
            "jax",
            ["--coordinator=127.0.0.1:{port}", "--processes=2", "--timeout=1"],
            "jax",
            "within 1 s. Received: all but 1",
        ),
        (
            "jax",
            ["--coordinator=127.0.0.1", "--processes=2"],
            "jax",
            "expected --coordinator as host:port. Received: 127.0.0.1",
        ),
        ("jax", ["--processes=2"], "jax", "expected --coordinator"),
        ("jax", ["--process=1"], "jax", "Received: 1 of 1"),
    ],
)
def test_says_what_is_wrong(name, flags, backend, message, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = [flag.format(port=port) for flag in flags]
    ended, _ = run(name, tmp_path, *flags, backend=backend)
    assert ended.returncode in (1, 2)  # Not a signal.
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
