"""Shared code of the benchmarks: timing in turns, peak memory, tables."""

import json
import os
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def training(model, batch: tuple, steps: int):
    """A function that trains `steps` steps on a batch by `fit`, as users do.

    Keras starts a step before the previous one has ended, so that a device
    does not wait for Python. `train_on_batch` waits for each step.
    """
    import numpy as np

    data = [np.concatenate([x] * steps) for x in batch]

    def call():
        model.fit(
            *data, batch_size=len(batch[0]), shuffle=False, epochs=1, verbose=0
        )

    return call


def time_in_turns(calls: dict, repeats: int, steps: int = 1) -> dict:
    """Median seconds per step of each call, after a call that compiles.

    Args:
        calls: functions by their names.
        repeats: how often each is called.
        steps: training steps per call.
    """
    seconds = {name: [] for name in calls}
    compile_seconds = {}
    for name, call in calls.items():
        start = time.perf_counter()
        call()
        compile_seconds[name] = time.perf_counter() - start
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append((time.perf_counter() - start) / steps)
    return {
        name: summary(values) | {"first_call": compile_seconds[name]}
        for name, values in seconds.items()
    }


def summary(values: list[float]) -> dict:
    import numpy as np

    return {
        "median": float(np.median(values)),
        "least": min(values),
        "most": max(values),
    }


def table(title: str, figures: dict, yardstick: str) -> str:
    """The results of `time_in_turns`, in Markdown."""
    base = figures[yardstick]["median"]
    lines = [
        f"### {title}",
        "",
        "| net | seconds per step | ratio | first call, seconds |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, values in figures.items():
        lines.append(
            f"| {name} | {values['median']:.3f} "
            f"({values['least']:.3f} to {values['most']:.3f}) "
            f"| {values['median'] / base:.2f} | {values['first_call']:.1f} |"
        )
    return "\n".join([*lines, ""])


def peak_memory(module: str, *arguments) -> dict:
    """Peak memory of a process `module --measure arguments`.

    That process must call `report_peak`.
    """
    return measured_apart(module, *arguments)


def peaks_of_memory(module: str, names) -> dict:
    """`peak_memory(module, name)` of each name; also prints a table."""
    print("### Peak memory of the process\n")
    print("| net | peak MB | before MB |\n| --- | ---: | ---: |")
    found = {}
    for name in names:
        found[name] = peak_memory(module, name)
        peak, before = found[name]["peak_mb"], found[name]["idle_mb"]
        print(f"| {name} | {peak:.0f} | {before:.0f} |", flush=True)
    return found


def measured_apart(module: str, *arguments, environment=None) -> dict:
    """The JSON that a process `module --measure arguments` prints last.

    Args:
        module: its name.
        *arguments: what follows the flag.
        environment: additional environment variables, or None.
    """
    command = [sys.executable, "-m", module, "--measure", *map(str, arguments)]
    found = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(found.stdout.strip().splitlines()[-1])


def report_peak(prepare, step) -> None:
    """Prints the process's memory after `prepare()` and after two steps."""
    prepare()
    before = _most_memory()
    step()
    start = time.perf_counter()
    step()
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "peak_mb": _most_memory() / 1024,
                "idle_mb": before / 1024,
                "step_seconds": seconds,
            }
        )
    )


def _most_memory() -> int:
    """Peak memory of this process, in kilobytes."""
    # Not `ru_maxrss`, which a process inherits from its parent.
    with open("/proc/self/status", encoding="utf-8") as file:
        (line,) = (line for line in file if line.startswith("VmHWM:"))
    return int(line.split()[1])
