"""Resumable runs, and the time of their steps."""

import json
import pathlib
import time
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import common
import keras


class StepTime(keras.callbacks.Callback):
    """Adds `seconds_per_step` to the figures of an epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps = batch + 1
        self.end = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds_per_step"] = (self.end - self.start) / self.steps


def results_of(
    cases: Iterable[str],
    compute: Callable[[str], Any],
    path: pathlib.Path,
    settings: dict[str, Any],
    resume: bool = True,
) -> dict[str, Any]:
    """The result of each case, including those of an interrupted run.

    Args:
        cases: Names.
        compute: Function that takes a name and returns a result in JSON types.
        path: File of the results so far. Delete it at the end of the run.
        settings: Settings that must match for a run to resume another.
        resume: Whether to resume.
    """
    results = {}
    if resume and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before["settings"] == settings:
            results = before["results"]
    for case in cases:
        if case not in results:
            results[case] = compute(case)
            common.write_json(path, {"settings": settings, "results": results})
    return results
