"""Shared code of the examples: the backend, the machine, the result file."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import shutil
from typing import Any

PACKAGES = ("keras", "tensorflow", "jax", "numpy")


def select_backend(argv: list[str] | None = None) -> str:
    """Selects Keras' backend from the flag `--backend`.

    Must be called before Keras is imported. Without the flag, the environment
    variable `KERAS_BACKEND` decides; without either, TensorFlow is used.
    TensorFlow's startup messages are disabled.

    Args:
        argv: List of strings, the command line without the program. Defaults
            to the process's own.

    Returns:
        String, the name of the backend.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_backend_argument(parser)
    arguments, _ = parser.parse_known_args(argv)
    os.environ["KERAS_BACKEND"] = arguments.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return arguments.backend


def add_backend_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the flag `--backend`, which `select_backend` has already read."""
    parser.add_argument(
        "--backend",
        choices=("tensorflow", "jax"),
        default=os.environ.get("KERAS_BACKEND") or "tensorflow",
        help="Keras backend (default: KERAS_BACKEND, or else tensorflow)",
    )


def describe_machine() -> dict[str, Any]:
    """Describes the machine and software of a measurement.

    Returns:
        Dictionary with the platform, the number of CPUs, the accelerators,
        and the versions of Python, the backend and the packages.
    """
    import keras

    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpu_count": _cpu_count(),
        "accelerators": _accelerators(),
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        **{name: _version(name) for name in PACKAGES},
    }


def check_settings(
    logdir: str | os.PathLike[str],
    settings: dict[str, Any],
    resume: bool = True,
    free: tuple[str, ...] = (),
) -> None:
    """Prevents a run from resuming with another run's weights.

    Args:
        logdir: Folder of the run, where its settings are written.
        settings: Dictionary of the settings, in JSON types.
        resume: Boolean, whether to resume; if not, its `backup` is deleted.
        free: Names of settings that may change between runs.

    Raises:
        SystemExit: if the folder holds a run with other settings.
    """
    logdir = pathlib.Path(logdir)
    path = logdir / "settings.json"
    if not resume:
        shutil.rmtree(logdir / "backup", ignore_errors=True)
    elif path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [
            f"{name}={before.get(name)!r} became {value!r}"
            for name, value in settings.items()
            if name not in free and before.get(name) != value
        ]
        if changed:
            raise SystemExit(
                f"{logdir} holds a run with other settings: "
                f"{', '.join(changed)}. Give another --logdir, or --no-resume "
                "to start over."
            )
    write_json(path, settings)


def tensorboard(logdir: str | os.PathLike[str]) -> list[Any]:
    """Returns the callbacks that log to TensorBoard.

    Keras' own callback needs TensorFlow on every backend. Without TensorFlow,
    prints a message and returns none.
    """
    import keras

    if importlib.util.find_spec("tensorflow") is None:
        print("No logs for TensorBoard: Keras needs tensorflow to write them.")
        return []
    return [keras.callbacks.TensorBoard(str(logdir), write_graph=False)]


def write_json(path: str | os.PathLike[str], result: dict[str, Any]) -> None:
    """Writes a result; a killed process leaves no partial file."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _accelerators() -> list[str]:
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return [d.device_kind for d in jax.devices() if d.platform != "cpu"]
    try:
        devices = keras.distribution.list_devices()
    except RuntimeError:
        return []
    return [device for device in devices if not device.startswith("cpu")]


def _cpu_count() -> int | None:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Missing on some systems.
        return os.cpu_count()


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
