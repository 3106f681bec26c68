"""Times training steps on a CPU with small and large memory pages.

A step on JAX requests its memory, some hundred megabytes, from the system and
returns it; each page causes a page fault. Linux provides pages of 2 MB instead
of 4 kB to programs whose allocator requests them: glibc's does with
`GLIBC_TUNABLES=glibc.malloc.hugetlb=1` in the environment.

Each model's step is the one from its own benchmark. Configurations take turns,
each turn in its own process; results are medians over turns of the medians of
each turn.

    KERAS_BACKEND=jax python -m examples.benchmarks.large_pages

Prints a Markdown table and writes JSON to `--output`.
"""

import argparse
import json
import pathlib
import resource
import time

from examples.benchmarks.measuring import measured_apart
from examples.benchmarks.measuring import summary

SYSTEMS = (
    "keras.layers.LSTM",
    "SABLSTM, concat",
    "ZForcing",
    "VariationalWalkback, points",
    "ProfessorForcing",
)
VARIABLE, LARGE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
WAYS = {"small": "", "large": LARGE}


def make_step(system: str):
    """A function that trains one step."""
    if system == "ZForcing":
        from examples.benchmarks import z_forcing

        return z_forcing.make_steps("z_forcing")
    if system == "ProfessorForcing":
        from examples.benchmarks import professor_forcing

        return professor_forcing.make_steps("professor_forcing")
    if system == "VariationalWalkback, points":
        from examples.benchmarks import variational_walkback

        return variational_walkback.training_steps("default", "points", 1)
    from examples.benchmarks import sparse_attentive_backtracking as sab

    model = sab.make_model("lstm" if "keras" in system else "concat")
    x, y = sab.make_batch(220)
    return lambda: float(model.train_on_batch(x, y))


def measure(system: str, repeats: int) -> dict:
    """Seconds and page faults per step, medians of `repeats`."""
    step = make_step(system)
    step()
    step()
    seconds, faults = [], []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
        faults.append(
            resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        )
    middle = repeats // 2
    return {
        "seconds": sorted(seconds)[middle],
        "faults": sorted(faults)[middle],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--repeats", type=int, default=11, help="steps per turn"
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--output", default="runs/benchmarks")
    parser.add_argument(
        "--systems", nargs="+", default=SYSTEMS, choices=SYSTEMS
    )
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.repeats)))
        return

    import keras

    from examples.common import describe_machine
    from examples.common import write_json

    result: dict = {"machine": describe_machine(), "step": {}}
    print("| system | small pages, seconds | faults | large | faults | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for system in arguments.systems:
        turns: dict = {way: [] for way in WAYS}
        for _ in range(arguments.turns):
            for way, found in turns.items():
                found.append(
                    measured_apart(
                        __spec__.name,
                        system,
                        "--repeats",
                        arguments.repeats,
                        environment={VARIABLE: WAYS[way]},
                    )
                )
        figures = {
            way: summary([turn["seconds"] for turn in found])
            | {
                "faults": sorted(turn["faults"] for turn in found)[
                    len(found) // 2
                ]
            }
            for way, found in turns.items()
        }
        result["step"][system] = figures
        cells = [
            f"{x['median']:.3f} ({x['least']:.3f} to {x['most']:.3f}) "
            f"| {x['faults']:,}"
            for x in figures.values()
        ]
        ratio = figures["large"]["median"] / figures["small"]["median"]
        print(f"| {system} | {' | '.join(cells)} | {ratio:.2f} |", flush=True)
    path = pathlib.Path(arguments.output)
    path = path / f"large_pages_{keras.backend.backend()}.json"
    write_json(path, result)
    print(f"\n{path}")


if __name__ == "__main__":
    main()
