"""Identifies the search in a folder, so that no other one resumes from it."""

import inspect
import json
import pathlib
from typing import Any

from keras_seqcredit.tuners.imports import FatalValueError

FILE = "configuration.json"
# Arguments of a search space that may change between runs.
_FREE = {"log_dir", "name", "objective", "tunable"}


def check_configuration(tuner: Any, is_reloaded: bool = False) -> None:
    """Checks that a folder belongs to this search, or claims an empty one.

    KerasTuner continues with whatever it finds: the search space of the folder,
    and scores of another objective.

    Args:
        tuner: A tuner of KerasTuner.
        is_reloaded: Boolean, whether the tuner's space was already loaded from
            the folder; then it is not compared. Defaults to `False`.

    Raises:
        FatalValueError: of KerasTuner, if the folder holds another search.
    """
    path = pathlib.Path(tuner.project_dir) / FILE
    if not path.exists():
        _write(path, {**_describe(tuner), "space": _space(tuner)})
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    now = _describe(tuner)
    changed = [
        f"{name} {_text(name, before[name])} became {_text(name, now[name])}"
        for name in now
        # Earlier versions saved less.
        if name in before and before[name] != now[name]
    ]
    if not is_reloaded:
        names = _changed(before["space"], _space(tuner))
        if names:
            changed.append(f"other hyperparameters {', '.join(names)}")
    if changed:
        raise FatalValueError(
            f"Expected {path.parent} to hold no other search: KerasTuner would "
            "mix the two. Give another `project_name`, or delete the folder. "
            f"Received: {'; '.join(changed)}"
        )


def _describe(tuner: Any) -> dict[str, Any]:
    objective = tuner.oracle.objective
    return {
        "tuner": type(tuner).__name__,
        "objective": [
            [part.name, part.direction]
            for part in getattr(objective, "objectives", [objective])
        ],
        **_arguments(tuner.hypermodel),
    }


def _arguments(hypermodel: Any) -> dict[str, Any]:
    """The arguments of a search space, as JSON."""
    if hypermodel is None:  # A tuner that defines its model itself.
        return {}
    kind = type(hypermodel)
    names = {
        name
        for base in kind.__mro__
        for make in [vars(base).get("__init__")]
        if inspect.isfunction(make)
        for name in inspect.signature(make).parameters
    }
    found: dict[str, Any] = {"search space": kind.__name__}
    for name in sorted((names & vars(hypermodel).keys()) - _FREE):
        value = getattr(hypermodel, name)
        try:
            found[name] = json.loads(json.dumps(value))
        except TypeError:  # A function, or a Keras object.
            found[name] = getattr(value, "__name__", type(value).__name__)
    return found


def _space(tuner: Any) -> list[dict[str, Any]]:
    # As JSON stores it, without tuples.
    return json.loads(
        json.dumps(tuner.oracle.get_space().get_config()["space"])
    )


def _changed(before: list[Any], now: list[Any]) -> list[str]:
    """The names of hyperparameters that only one of two spaces has."""
    different = [found for found in before if found not in now]
    different += [found for found in now if found not in before]
    return sorted({found["config"]["name"] for found in different})


def _text(name: str, value: Any) -> str:
    if name != "objective":
        return str(value)
    return " and ".join(f"{part} ({direction})" for part, direction in value)


def _write(path: pathlib.Path, configuration: dict[str, Any]) -> None:
    # A killed process leaves no partial file.
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(configuration), encoding="utf-8")
    partial.replace(path)
