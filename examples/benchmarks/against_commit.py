"""Times training steps of this tree against those of another commit.

Both versions of the package are loaded into one process, the other one under
another name, and their steps take turns, so that what slows the machine slows
both. A process has its own luck with the places of its arrays: the ratio is
measured in several, and its standard error is that between processes.

    python -m examples.benchmarks.against_commit d1f7ef1 --nets dot additive

Prints a Markdown table and writes JSON to `--output`. Needs a clone with Git.
"""

import argparse
import importlib
import inspect
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time

from examples.benchmarks.measuring import measured_apart

PACKAGE = "keras_seqcredit"
OTHER = f"{PACKAGE}_before"
BATCH, TIME, FEATURES, UNITS = 64, 220, 10, 128
# The form of the paper, which each commit has, from the same weights: which
# slots are read, and so the time that it takes, depends on them.
STATE = {
    "memory_content": "state",
    "read_into": "state",
    "attention_initializer": "glorot_uniform",
}
SAB = {
    "dot": {"attention": "dot", **STATE},
    "dot16": {"attention": "dot", "attention_units": 16, **STATE},
    "additive": {"attention": "additive", **STATE},
    "additive16": {"attention": "additive", "attention_units": 16, **STATE},
    "concat": {"attention": "concat", **STATE},
    "k_top=0": {"k_top": 0, **STATE},
    # A read that reaches the output only is later than some commits.
    "default": {
        "attention": "dot",
        "memory_content": "provisional",
        "attention_initializer": "glorot_uniform",
    },
}
NETS = (*SAB, "z_forcing", "walkback")


def place(commit: str, folder: str) -> None:
    """Writes the package of a commit into a folder, under its other name."""
    archive = subprocess.run(
        ["git", "archive", commit, PACKAGE],
        capture_output=True,
        check=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    root = pathlib.Path(folder)
    (root / PACKAGE).rename(root / OTHER)
    for path in (root / OTHER).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(PACKAGE, OTHER), encoding="utf-8")


def make_step(package: str, net: str):
    """A function that trains a net of a package for one step."""
    import keras
    import numpy as np

    layers = importlib.import_module(f"{package}.layers")
    models = importlib.import_module(f"{package}.models")
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    optimizer = keras.optimizers.Adam(1e-3, clipnorm=1.0)
    if net == "walkback":
        model = models.VariationalWalkback(
            layers.GaussianTransition(models.transition_mlp(2, (256, 256))),
            30,
            temperature_factor=1.1,
            seed=0,
        )
        data = (random.normal(size=(500, 2)).astype("float32"),)
        model.build((None, 2))
        model.compile(optimizer, jit_compile=True)
    elif net == "z_forcing":
        model = models.ZForcing(
            layers.StochasticRNN(256, 64),
            layers.GaussianHead(200),
            auxiliary_weight=0.1,
        )
        data = (random.normal(size=(32, 40, 200)).astype("float32"),)
        model.compile(optimizer, jit_compile=True)
    else:
        options = dict(SAB[net])
        if package == OTHER and not _has(layers.SABLSTM, "read_into"):
            options.pop("read_into", None)
        model = keras.Sequential(
            [
                keras.Input((None, FEATURES)),
                layers.SABLSTM(
                    UNITS,
                    **{"k_top": 5} | options,
                    k_trunc=5,
                    return_sequences=True,
                ),
                keras.layers.Dense(FEATURES, activation="softmax"),
            ]
        )
        symbols = random.integers(0, FEATURES, (BATCH, TIME))
        data = np.eye(FEATURES, dtype="float32")[symbols], symbols
        model.compile(
            optimizer, "sparse_categorical_crossentropy", jit_compile=True
        )
    return lambda: model.train_on_batch(*data)


def _has(kind, argument: str) -> bool:
    return any(
        argument in inspect.signature(base.__init__).parameters
        for base in kind.__mro__
    )


def measure(folder: str, net: str, steps: int) -> None:
    """Prints the ratio of this process, as JSON."""
    import numpy as np

    sys.path.insert(0, folder)
    calls = {name: make_step(name, net) for name in (PACKAGE, OTHER)}
    for call in calls.values():
        call()
        call()
    seconds = {name: [] for name in calls}
    for turn in range(steps):
        # Each is first in every second turn.
        for name in sorted(calls, reverse=bool(turn % 2)):
            start = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - start)
    now, before = (float(np.median(seconds[name])) for name in (PACKAGE, OTHER))
    print(json.dumps({"ratio": now / before, "now": now, "before": before}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("commit", nargs="?", help="the other commit")
    parser.add_argument("--nets", nargs="+", default=["dot"], choices=NETS)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--steps", type=int, default=60, help="in each process")
    parser.add_argument("--output", default="runs/benchmarks")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        folder, net, steps = arguments.measure
        measure(folder, net, int(steps))
        return
    if not arguments.commit:
        parser.error("Expected a commit, such as: HEAD~1.")

    import keras
    import numpy as np

    from examples.common import describe_machine
    from examples.common import write_json

    backend = keras.backend.backend()
    result = {"machine": describe_machine(), "commit": arguments.commit}
    print(f"### Seconds a step on {backend}, against {arguments.commit}\n")
    print("| net | now | before | ratio |\n| --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        place(arguments.commit, folder)
        for net in arguments.nets:
            found = [
                measured_apart(
                    __spec__.name,
                    folder,
                    net,
                    arguments.steps,
                    environment={"KERAS_BACKEND": backend},
                )
                for _ in range(arguments.processes)
            ]
            ratios = np.array([one["ratio"] for one in found])
            error = ratios.std(ddof=1) / np.sqrt(len(ratios))
            now, before = (
                float(np.median([one[name] for one in found]))
                for name in ("now", "before")
            )
            result[net] = {
                "ratios": ratios.tolist(),
                "mean": float(ratios.mean()),
                "standard_error": float(error),
                "now": now,
                "before": before,
            }
            print(
                f"| {net} | {now:.4f} | {before:.4f} "
                f"| {ratios.mean():.3f} ± {error:.3f} |",
                flush=True,
            )
    path = pathlib.Path(arguments.output) / f"against_commit_{backend}.json"
    write_json(path, result)
    print(f"\n{path}")


if __name__ == "__main__":
    main()
