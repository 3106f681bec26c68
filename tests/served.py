"""A new process in which this package cannot be imported."""

import subprocess
import sys

import pytest

# Seconds after which it has stopped, however slow the machine.
TIMEOUT = 300

START = """
import json, pathlib, sys

sys.modules["keras_seqcredit"] = None  # An import of it raises.

import numpy as np
import tensorflow as tf

folder = pathlib.Path(sys.argv[1])
"""


def run_without_package(code, folder, *arguments):
    """Runs code that may use `folder`, `json`, `np` and `tf`.

    The arguments are strings, `sys.argv[2]` and so on.
    """
    try:
        subprocess.run(
            [sys.executable, "-I", "-c", START + code, folder, *arguments],
            check=True,
            cwd=folder,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"The new process has not ended in {TIMEOUT} seconds.")
