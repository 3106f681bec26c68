"""Training in two processes is training in one, on the same batches."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import numpy as np

from tests import two_processes
from tests.on_one_backend import only_on

ROOT = pathlib.Path(__file__).parents[1]
# Seconds; it takes a tenth of them.
TIMEOUT = 500


def start(folder, address, process):
    command = [sys.executable, "-m", two_processes.__name__, str(folder)]
    with open(folder / f"{process}.txt", "w") as file:
        return subprocess.Popen(
            [*command, address, "2", str(process)],
            cwd=ROOT,
            env={
                **os.environ,
                "KERAS_BACKEND": "jax",
                "XLA_FLAGS": os.environ["XLA_FLAGS"].replace(
                    "--xla_force_host_platform_device_count=8", ""
                ),
            },
            stderr=file,
        )


@only_on("jax")
def test_two_processes_train_as_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [start(tmp_path, address, number) for number in range(2)]
    end = time.monotonic() + TIMEOUT
    try:
        one = two_processes.trained()
        # One that fails leaves the other waiting.
        codes = [None, None]
        while None in codes and not any(codes) and time.monotonic() < end:
            codes = [process.poll() for process in processes]
            time.sleep(0.1)
        said = [path.read_text() for path in tmp_path.glob("*.txt")]
        assert codes == [0, 0], said
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for number in range(2):
        found = np.load(tmp_path / f"{number}.npz")
        assert len(found) == len(one)
        for name, values in one.items():
            # As in `distribution_test.py`.
            np.testing.assert_allclose(
                found[name], values, rtol=2e-4, atol=2e-5, err_msg=name
            )
