"""Everything that needs a GPU, in one run that stops in time and can resume.

    python -m examples.on_gpu --seconds 500 --data-dir data

The script works through a list by priority. Each entry is a separate process
with an estimate of its seconds. An entry that does not fit into the remaining
time waits for the next run, except for an experiment, which is stopped when the
time is up. Each result is written to `OUT/results.json` immediately. A stopped
experiment resumes from its checkpoint, which is kept in `OUT` as a `.tar.gz`.
The same command continues where the last one stopped.

`--list` shows the entries, `--entries` chooses some, and `--tiny` tries them
all with tiny sizes, also on a CPU. The script runs on JAX. The TensorFlow
program is measured if it was written to `OUT` before, on a machine with
TensorFlow:

    python -m examples.benchmarks.tensorflow_program OUT
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from typing import NamedTuple

from examples.common import write_json

ROOT = pathlib.Path(__file__).parents[1]
# An experiment needs at least this long, since it compiles first.
LEAST_SECONDS = 60
COMMAND_BUFFERS = "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL"


class Entry(NamedTuple):
    """A process.

    Attributes:
        name: name of its result.
        seconds: estimate on a GPU.
        command: arguments for Python.
        tiny: arguments for `--tiny`, which need no data; `()` if none.
        flags: XLA flags, in addition to the environment's.
        goes_on: whether it has checkpoints and may be stopped. Its command
            gets `--logdir`, where it writes `result.json`.
        data: whether it needs `--data-dir`.
    """

    name: str
    seconds: int
    command: tuple
    tiny: tuple
    flags: str = ""
    goes_on: bool = False
    data: bool = False


def _measurement(name: str, seconds: int, flags: str = "", label: str = ""):
    module = "examples.benchmarks.on_gpu_measurements"
    command = ("-m", module, name)
    return Entry(label or name, seconds, command, (*command, "--tiny"), flags)


def _flags(label: str, flags: str) -> Entry:
    return _measurement("flags", 60, flags, f"flags, {label}")


def _experiment(name: str, seconds: int, command: str, tiny: str = ""):
    return Entry(
        name,
        seconds,
        tuple(f"examples/{command} --backend jax".split()),
        tuple(f"examples/{tiny} --backend jax".split()) if tiny else (),
        goes_on=True,
        data="{data}" in command,
    )


# If an experiment has several seeds, `--tiny` runs one.
TINY = {
    "speech": "sequential_mnist_z_forcing.py --pixels-per-step 16 --epochs 1 "
    "--units 4 --latent-dim 2 --likelihood-samples 2 --ways auxiliary "
    "--batch-size 256",
    "professor": "sequential_mnist_professor.py --pixels-per-step 16 "
    "--epochs 1 --units 4 --discriminator-units 4 --ways professor "
    "--batch-size 256",
}


def entries() -> list[Entry]:
    """The list, by priority."""
    buffers = "--xla_gpu_enable_command_buffer="
    return [
        _measurement("steps, short", 90),
        _measurement("steps, long", 120),
        *(
            _measurement(f"memory, {net}", 20)
            for net in ("cudnn", "dot", "dot16", "additive16")
        ),
        _measurement("turns at once", 200),
        _flags("none", ""),
        _flags(
            "command buffers",
            f"{buffers}{COMMAND_BUFFERS} --xla_gpu_graph_min_graph_size=1",
        ),
        _flags(
            "command buffers of loops",
            f"{buffers}{COMMAND_BUFFERS},WHILE,CONDITIONAL "
            "--xla_gpu_graph_min_graph_size=1",
        ),
        _flags("no command buffers", buffers),
        _measurement("laws", 120),
        _measurement("tensorflow", 30),
        # About 10,000 updates of each way and seed.
        _experiment(
            "speech in pairs",
            900,
            "speech_paired.py --data-dir {data} --seeds 0 1 2 3 4 "
            "--epochs 134 --ways plain annealing auxiliary both",
            TINY["speech"],
        ),
        _experiment(
            "walkback, MNIST",
            400,
            "walkback_images.py --data mnist --network unet --data-dir {data}",
            "walkback_images.py --train-images 64 --test-images 16 "
            "--epochs 1 --no-ddpm --network mlp",
        ),
        _experiment(
            "permuted MNIST",
            400,
            "sequential_digits.py --data-dir {data} --no-views --epochs 20 "
            "--batch-size 100",
            "sequential_digits.py --no-views --train-size 64 --epochs 1 "
            "--models sab",
        ),
        *(
            _experiment(
                f"professor, MNIST, seed {seed}",
                300,
                f"sequential_mnist_professor.py --data-dir {{data}} "
                f"--seed {seed}",
                "" if seed else TINY["professor"],
            )
            for seed in range(3)
        ),
    ]


class Run:
    """Works through the list and keeps the results.

    Args:
        out: folder of results and checkpoints.
        tiny: whether to use tiny sizes.
        data_dir: folder of data sets, or None.
    """

    def __init__(self, out: pathlib.Path, tiny: bool, data_dir):
        self.out = out
        self.tiny = tiny
        self.data_dir = data_dir
        self.path = out / "results.json"
        self.results: dict = {}
        if self.path.exists():
            self.results = json.loads(self.path.read_text(encoding="utf-8"))

    def is_done(self, entry: Entry) -> bool:
        found = self.results.get(entry.name, {})
        return found.get("status") in ("done", "failed")

    def can(self, entry: Entry) -> bool:
        """Whether its command and its data are available."""
        if self.tiny:
            return bool(entry.tiny)
        return bool(self.data_dir) or not entry.data

    def do(self, entry: Entry, seconds: float) -> None:
        """Runs an entry for at most `seconds` and writes the outcome."""
        start = time.monotonic()
        folder = self.out / "running"
        shutil.rmtree(folder, ignore_errors=True)
        checkpoint = self.out / f"{entry.name.replace(', ', '_')}.tar.gz"
        checkpoint = checkpoint.with_name(checkpoint.name.replace(" ", "_"))
        if checkpoint.exists():
            with tarfile.open(checkpoint) as tar:
                tar.extractall(folder, filter="data")
        code, said = _run(self._command(entry, folder), entry.flags, seconds)
        found: dict = {"status": "done" if code == 0 else "failed"}
        if code is None:
            found["status"] = "stopped"
        try:
            if code == 0:
                found["result"] = self._result(entry, folder, said)
        except (OSError, IndexError, ValueError) as error:
            found = {"status": "failed", "error": f"{error}"}
        if code:
            found["error"] = said[-2000:]
        before = self.results.get(entry.name, {}).get("seconds", 0)
        found["seconds"] = round(before + time.monotonic() - start, 1)
        self.results[entry.name] = found
        checkpoint.unlink(missing_ok=True)
        if code is None and entry.goes_on and folder.exists():
            with tarfile.open(checkpoint, "w:gz") as tar:
                tar.add(folder, ".")
        shutil.rmtree(folder, ignore_errors=True)
        write_json(self.path, self.results)

    def _command(self, entry: Entry, folder: pathlib.Path) -> list[str]:
        command = entry.tiny if self.tiny else entry.command
        command = [x.replace("{data}", str(self.data_dir)) for x in command]
        if entry.goes_on:
            return [sys.executable, *command, "--logdir", str(folder)]
        return [sys.executable, *command, "--folder", str(self.out)]

    def _result(self, entry: Entry, folder: pathlib.Path, said: str) -> dict:
        if entry.goes_on:
            path = folder / "result.json"
            return json.loads(path.read_text(encoding="utf-8"))
        return json.loads(said.strip().splitlines()[-1])


def _run(command, flags: str, seconds: float) -> tuple[int | None, str]:
    """Exit status and output of a process; None if its time ran out."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip(),
    }
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # Kills its children too.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, ""
    return process.returncode, said if process.returncode == 0 else errors


def parse_arguments(argv=None):
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--seconds", type=float, default=500, help="time limit")
    add("--out", type=pathlib.Path, default="runs/on_gpu", help="folder")
    add("--data-dir", type=pathlib.Path, help="folder of data sets")
    add("--entries", nargs="+", help="names of entries (default: all)")
    add("--retry", action="store_true", help="rerun failed entries")
    add("--tiny", action="store_true", help="use tiny sizes, to try it")
    add("--list", action="store_true", help="show the entries and exit")
    arguments = parser.parse_args(argv)
    names = [entry.name for entry in entries()]
    unknown = set(arguments.entries or ()) - set(names)
    if unknown:
        parser.error(
            f"Expected entries among {names}. Received: {sorted(unknown)}"
        )
    return arguments


def main(argv=None) -> None:
    """Works through the list until the time is up."""
    arguments = parse_arguments(argv)
    end = time.monotonic() + arguments.seconds
    out, data_dir = arguments.out.resolve(), arguments.data_dir
    out.mkdir(parents=True, exist_ok=True)
    run = Run(out, arguments.tiny, data_dir and data_dir.resolve())
    if arguments.retry:
        for found in run.results.values():
            if found["status"] == "failed":
                found["status"] = "stopped"
    for entry in entries():
        if arguments.entries and entry.name not in arguments.entries:
            continue
        status = run.results.get(entry.name, {}).get("status", "waits")
        if arguments.list:
            print(f"{entry.name}: {entry.seconds} s, {status}")
            continue
        left = end - time.monotonic()
        needed = entry.seconds
        if entry.goes_on:
            needed = min(needed, LEAST_SECONDS)
        if arguments.tiny:
            needed = 0
        if run.is_done(entry) or not run.can(entry) or left <= needed:
            continue
        run.do(entry, left)
        found = run.results[entry.name]
        print(f"{entry.name}: {found['status']}, {found['seconds']} s")


if __name__ == "__main__":
    main()
