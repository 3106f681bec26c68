"""The measurements of `examples.on_gpu`, one per process.

    python -m examples.benchmarks.on_gpu_measurements "steps of T=220"

Prints JSON as its last line. A separate process returns its memory to the GPU
and reads XLA's flags.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from typing import NamedTuple

os.environ["KERAS_BACKEND"] = "jax"

# Attention with 16 units has a key of 16 numbers per slot.
NETS = ("cudnn", "lstm", "k_top=0", "dot", "dot16", "additive16", "concat")
SYSTEMS = ("sab", "z_forcing", "professor_forcing")
LAWS = (
    "tests/laws/padding_test.py",
    "tests/laws/jit_test.py",
    "tests/layers/exactness_test.py",
    "tests/models/z_forcing_test.py",
    "tests/models/professor_forcing_test.py",
)


class Size(NamedTuple):
    """Size of the measurements.

    Attributes:
        repeats: calls per median.
        steps: training steps per call.
        short, long: time steps of a sequence.
        systems: which of `SYSTEMS` to measure.
        nets: which of `NETS` to measure.
        turns: turns of a loop to start at once.
        laws: which of `LAWS` to run.
    """

    repeats: int = 7
    steps: int = 5
    short: int = 220
    long: int = 1020
    systems: tuple = SYSTEMS
    nets: tuple = NETS
    turns: tuple = (1, 2, 4, 8, 16)
    laws: tuple = LAWS


TINY = Size(
    repeats=1,
    steps=1,
    short=9,
    long=12,
    systems=("sab",),
    nets=("cudnn", "dot16"),
    turns=(1, 2),
    laws=("tests/recurrence/sparse_attention_test.py",),
)


def training_of(net: str, length: int, steps: int):
    from examples.benchmarks import sparse_attentive_backtracking as sab
    from examples.benchmarks.measuring import training

    return training(sab.make_model(net), sab.make_batch(length), steps)


def system(name: str, size: Size):
    from examples.benchmarks import professor_forcing
    from examples.benchmarks import z_forcing

    if name == "sab":
        return training_of("dot16", size.short, size.steps)
    if name == "z_forcing":
        return z_forcing.make_steps(name, size.steps)
    return professor_forcing.make_steps(name, size.steps)


def steps_by_net(length: int, size: Size) -> dict:
    """Seconds per training step; networks take turns."""
    from examples.benchmarks.measuring import time_in_turns

    calls = {net: training_of(net, length, size.steps) for net in size.nets}
    found = time_in_turns(calls, size.repeats, size.steps)
    for figures in found.values():
        figures["times_cudnn"] = figures["median"] / found["cudnn"]["median"]
    return found


def steps_of_systems(size: Size) -> dict:
    """Seconds per training step, under this process's flags."""
    from examples.benchmarks.measuring import time_in_turns

    calls = {name: system(name, size) for name in size.systems}
    return time_in_turns(calls, size.repeats, size.steps)


def turns_at_once(size: Size) -> dict:
    """Seconds per training step by the loop turns started at once."""
    from examples.benchmarks.measuring import time_in_turns
    from keras_seqcredit.backend import jax as backend

    calls = {}
    before = backend.TURNS_AT_ONCE
    try:
        for turns in size.turns:
            backend.TURNS_AT_ONCE = turns
            for name in size.systems:
                call = system(name, size)
                # The first call compiles it, under this setting.
                call()
                calls[f"{name}, {turns}"] = call
    finally:
        backend.TURNS_AT_ONCE = before
    return time_in_turns(calls, size.repeats, size.steps)


def peak_memory(net: str, size: Size) -> dict:
    """Peak device memory in MB, after a training step on a long sequence."""
    import jax

    training_of(net, size.long, 1)()
    stats = jax.devices()[0].memory_stats() or {}
    peak = stats.get("peak_bytes_in_use")
    return {"peak_mb": None if peak is None else peak / 2**20}


def laws(size: Size) -> dict:
    """Numbers of tests that passed and failed, and names of failed tests.

    Matrix products are in full precision: TensorFloat-32 is not float32.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-rf", *size.laws]
    start = time.perf_counter()
    said = subprocess.run(
        command,
        env={**os.environ, "JAX_DEFAULT_MATMUL_PRECISION": "highest"},
        capture_output=True,
        text=True,
    ).stdout

    def number(what):
        found = re.findall(rf"(\d+) {what}", said.strip().rpartition("\n")[2])
        return int(found[0]) if found else 0

    passed = number("passed")
    if not passed:
        raise RuntimeError(f"Expected tests to pass. Received: {said[-2000:]}")
    return {
        "passed": passed,
        "failed": number("failed") + number("error"),
        "names": re.findall(r"^FAILED (\S+)", said, re.MULTILINE),
        "seconds": time.perf_counter() - start,
    }


def tensorflow_program(size: Size, folder: pathlib.Path) -> dict:
    """Seconds per training step that TensorFlow traced and JAX runs."""
    from examples.benchmarks import tensorflow_program

    return tensorflow_program.run(folder, size.repeats)


MEASUREMENTS = {
    "steps, short": lambda size, _: steps_by_net(size.short, size),
    "steps, long": lambda size, _: steps_by_net(size.long, size),
    **{
        f"memory, {net}": lambda size, _, net=net: peak_memory(net, size)
        for net in ("cudnn", "dot", "dot16", "additive16")
    },
    "turns at once": lambda size, _: turns_at_once(size),
    "flags": lambda size, _: steps_of_systems(size),
    "laws": lambda size, _: laws(size),
    "tensorflow": tensorflow_program,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=MEASUREMENTS)
    parser.add_argument("--tiny", action="store_true", help="to try it")
    parser.add_argument("--folder", type=pathlib.Path, default=".")
    arguments = parser.parse_args()
    size = TINY if arguments.tiny else Size()
    print(json.dumps(MEASUREMENTS[arguments.name](size, arguments.folder)))


if __name__ == "__main__":
    main()
