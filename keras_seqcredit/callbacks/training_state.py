"""The state of a training run, and the files that store it."""

import json
import pathlib
import random
import shutil
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

_WEIGHTS = "model.weights.h5"
_ARRAYS = "arrays.npz"
_NUMBERS = "numbers.json"


def save(
    folder: pathlib.Path,
    epoch: int,
    model: keras.Model,
    numbers: dict[str, Any],
    arrays: dict[str, np.ndarray],
) -> None:
    """Writes a state, which atomically replaces the previous one."""
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    model.save_weights(str(partial / _WEIGHTS))
    np.savez(partial / _ARRAYS, **arrays)  # type: ignore[arg-type]
    with open(partial / _NUMBERS, "w", encoding="utf-8") as file:
        json.dump(numbers, file, default=float)
    before = _saved(folder)
    partial.rename(folder / f"epoch{epoch:06d}")
    for old in before:
        shutil.rmtree(old)


def load(
    folder: pathlib.Path,
) -> tuple[pathlib.Path, dict[str, Any], dict[str, np.ndarray]] | None:
    """The path of the weights and the rest of the last state, if any."""
    saved = _saved(folder)
    if not saved:
        return None
    last = saved[-1]
    numbers = json.loads((last / _NUMBERS).read_text(encoding="utf-8"))
    with np.load(last / _ARRAYS) as file:
        return last / _WEIGHTS, numbers, dict(file)


def delete(folder: pathlib.Path) -> None:
    """Deletes all states, and the folder if it is then empty."""
    for old in (*_saved(folder), folder / "partial"):
        shutil.rmtree(old, ignore_errors=True)
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def _saved(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("epoch[0-9]*"))


def random_state() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """State of the global generators of Python and NumPy."""
    kind, key, position, has_gauss, gauss = np.random.get_state()
    numbers = {
        "python": random.getstate(),
        "numpy": [kind, position, has_gauss, gauss],
    }
    return numbers, {"numpy": np.asarray(key)}


def set_random_state(
    numbers: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    """Restores the result of `random_state`."""
    version, internal, gauss = numbers["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, position, has_gauss, gauss = numbers["numpy"]
    np.random.set_state((kind, arrays["numpy"], position, has_gauss, gauss))


def seed_arrays(model: keras.Model) -> dict[str, np.ndarray]:
    """Random seeds, the variables that `save_weights` leaves out."""
    return {
        f"seed{i}": ops.convert_to_numpy(seed)
        for i, seed in enumerate(_seeds(model))
    }


def set_seeds(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Restores the result of `seed_arrays`."""
    for i, seed in enumerate(_seeds(model)):
        seed.assign(arrays[f"seed{i}"])


def _seeds(model: keras.Model) -> list[Any]:
    known = {id(v) for v in (*model.weights, *model.metrics_variables)}
    return [v for v in model.variables if id(v) not in known]


def callback_state(
    callbacks: Sequence[keras.callbacks.Callback],
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Attributes of callbacks, as JSON and lists of arrays."""
    numbers: list[dict[str, Any]] = []
    arrays = {}
    for i, callback in enumerate(callbacks):
        plain = {}
        for name, value in vars(callback).items():
            if _is_plain(value):
                plain[name] = {"value": value}
            elif _is_op(value):
                plain[name] = {"op": value.__name__}
            elif _is_arrays(value):
                plain[name] = {"arrays": len(value)}
                for j, array in enumerate(value):
                    arrays[f"callback{i}/{name}/{j}"] = array
        numbers.append(plain)
    return numbers, arrays


def set_callback_state(
    callbacks: Sequence[keras.callbacks.Callback],
    numbers: list[dict[str, Any]],
    arrays: dict[str, np.ndarray],
) -> None:
    """Restores the result of `callback_state`."""
    for i, (callback, plain) in enumerate(zip(callbacks, numbers, strict=True)):
        for name, tagged in plain.items():
            ((kind, value),) = tagged.items()
            if kind == "op":
                value = getattr(ops, value)
            elif kind == "arrays":
                paths = [f"callback{i}/{name}/{j}" for j in range(value)]
                value = [arrays[path] for path in paths]
            setattr(callback, name, value)


def _is_plain(value: Any) -> bool:
    kinds = (bool, int, float, str, np.number)
    return value is None or isinstance(value, kinds)


def _is_op(value: Any) -> bool:
    """Whether it is an op, such as the comparison in Keras' callbacks."""
    return getattr(ops, getattr(value, "__name__", ""), None) is value


def _is_arrays(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(x, np.ndarray) for x in value)
    )
