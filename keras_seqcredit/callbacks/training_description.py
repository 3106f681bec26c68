"""Describes a training run, so that no other one resumes from its state."""

import inspect
import json
import warnings
from typing import Any

import keras

from keras_seqcredit.backend import keras_private

# Names, which Keras numbers within a process; locations of code; batch sizes;
# and what `compile` chooses by itself.
_LEFT_OUT = {
    "build_config",
    "build_input_shape",
    "compile_config",
    "module",
    "name",
    "registered_name",
    "shared_object_id",
}
_PLACES = {"input_layers", "keras_history", "output_layers"}


def describe(model: keras.Model, params: dict[str, Any]) -> dict[str, Any]:
    """Describes, as JSON, which runs may resume from a state."""
    description = {
        "model": type(model).__name__,
        "weights": [[v.name, list(v.shape), v.dtype] for v in model.weights],
        "compile": _unnamed(model.get_compile_config()),
        "steps an epoch": params.get("steps"),
    }
    configuration = _configuration(model)
    if configuration is not None:
        description["configuration"] = configuration
    description["layers"] = [
        {"class_name": type(layer).__name__, "config": _configuration(layer)}
        for layer in keras_private.flat_layers(model, include_self=False)
    ]
    return json.loads(json.dumps(description))


def differences(
    before: dict[str, Any], now: dict[str, Any], model: keras.Model
) -> list[str]:
    """Returns what has changed, one line each.

    Args:
        before: The result of `describe`, perhaps from an earlier version, whose
            layers lacked arguments. They behaved as the defaults do.
        now: The result of `describe` for `model`.
        model: A model.
    """
    changes: list[str] = []
    defaults = _defaults(model)
    before = _completed(before, now, defaults)
    if "configuration" in before:
        old, new = (
            {"class_name": x["model"], "config": x.get("configuration")}
            for x in (before, now)
        )
        completed = _completed(old, new, defaults)
        before = before | {"configuration": completed["config"]}
    for name, value in now.items():
        # Earlier versions left out the configuration, ...
        if name not in before:
            continue
        old = before[name]
        # ... and kept more of the arguments of `compile`.
        if name == "compile":
            old = _unnamed(old)
        # Layers contain what a model's own configuration may leave out.
        if name == "layers" and changes:
            continue
        if old != value:
            changes += _changes(name, old, value)
    return changes


def _defaults(model: keras.Model) -> dict[str, dict[str, Any]]:
    """Defaults of the arguments of a model's layers, by class name."""
    return {
        kind.__name__: {
            name: _unnamed(parameter.default)
            for name, parameter in inspect.signature(kind).parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        for kind in set(map(type, keras_private.flat_layers(model)))
    }


def _completed(before: Any, now: Any, defaults: dict) -> Any:
    """A description with missing arguments set to their defaults."""
    if isinstance(before, list) and isinstance(now, list):
        if len(before) != len(now):
            return before
        return [
            _completed(old, new, defaults)
            for old, new in zip(before, now, strict=True)
        ]
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return before
    known = before | {
        key: _completed(value, now[key], defaults)
        for key, value in before.items()
        if key in now
    }
    kind, config = known.get("class_name"), known.get("config")
    if kind == now.get("class_name") and isinstance(config, dict):
        known["config"] = config | {
            key: value
            for key, value in (now.get("config") or {}).items()
            if key not in config
            and key in defaults.get(kind, {})
            and _plain(value) == defaults[kind][key]
        }
    return known


def _plain(value: Any) -> Any:
    """The original argument: a number may be saved as a schedule."""
    if isinstance(value, dict) and value.get("class_name") == (
        "ConstantSchedule"
    ):
        return value["config"]["value"]
    return value


def _configuration(layer: keras.layers.Layer) -> Any:
    """The result of `get_config`, or None if it fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It may not be reloadable.
            config = _unnamed(layer.get_config())
        json.dumps(config)
    except Exception:  # Each kind of layer raises its own.
        return None
    return config


def _unnamed(config: Any, names: Any = None) -> Any:
    """As JSON, reduced to what stays the same between runs of a program.

    Args:
        config: A configuration.
        names: Dict, numbers of the layers that it may refer to, by name.
            Defaults to `None`.
    """
    if isinstance(config, dict):
        return _unnamed_dict(config, names or {})
    if isinstance(config, (list, tuple)):
        return [_unnamed(x, names) for x in config]
    if isinstance(config, (set, frozenset)):
        return sorted(str(_unnamed(x, names)) for x in config)
    if isinstance(config, float) and config != config:
        return "nan"  # Which equals itself.
    if config is None or isinstance(config, (bool, int, float, str)):
        return config
    if hasattr(config, "tolist"):
        return _unnamed(config.tolist(), names)
    # Its text may contain a memory address.
    return type(config).__name__


def _unnamed_dict(config: dict, names: dict[str, int]) -> Any:
    kind = config.get("class_name")
    inner = config.get("config")
    if kind == "__lambda__":  # Its code is not always written the same way.
        return {"class_name": kind}
    if kind == "DTypePolicy" and isinstance(inner, dict):
        return inner.get("name")
    if kind == "__keras_tensor__" and isinstance(inner, dict):
        return _places(inner.get("keras_history"), names)
    layers = config.get("layers")
    if isinstance(layers, list):
        names = {
            layer["name"]: number
            for number, layer in enumerate(layers)
            if isinstance(layer, dict) and isinstance(layer.get("name"), str)
        }
    plain = {}
    for key, value in config.items():
        if key in _LEFT_OUT:
            continue
        if key in _PLACES:
            value = _places(value, names)
        elif key == "batch_shape" and isinstance(value, (list, tuple)):
            value = value[1:]
        plain[str(key)] = _unnamed(value, names)
    return plain


def _places(value: Any, names: dict[str, int]) -> Any:
    """Tensors of a functional model, by the numbers of their layers."""
    if isinstance(value, dict):
        return {key: _places(part, names) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_places(part, names) for part in value]
    if isinstance(value, str):
        return names.get(value, value)
    return value


def _changes(name: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [
            line
            for key in keys
            if old.get(key) != new.get(key)
            for line in _changes(f"{name}.{key}", old.get(key), new.get(key))
        ]
    if isinstance(old, list) and isinstance(new, list):
        if len(old) == len(new):
            return [
                line
                for i, (a, b) in enumerate(zip(old, new, strict=True))
                if a != b
                for line in _entry_changes(f"{name}[{i}]", a, b)
            ]
        if any(isinstance(x, (dict, list)) for x in [*old, *new]):
            return [f"{name}: {len(old)} entries became {len(new)}"]
    return [f"{name}: {old} became {new}"]


def _entry_changes(name: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return _changes(name, old, new)
    return [f"{name}: {old} became {new}"]
