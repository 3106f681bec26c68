"""Backends are imported in `keras_seqcredit/backend` and nowhere else."""

import ast
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "keras_seqcredit"
FORBIDDEN = ("tensorflow", "jax", "jaxlib", "torch", "keras.src")
OPTIONAL = (
    "keras_tuner",
    "matplotlib",
    "sklearn",
    "tensorboard",
    "tensorflow_probability",
    "tf_keras",
)
# A callback that writes summaries may import tensorflow inside a function, if
# a comment of its module says so: "# Imports tensorflow lazily: <why>".
LAZY_TENSORFLOW = re.compile(r"^# Imports tensorflow lazily: \S", re.MULTILINE)


def forbidden_imports(source: str, allow_lazy: bool = False) -> list[str]:
    """Returns `"line: name"` for each import that `source` may not have."""
    tree = ast.parse(source)
    lazy = set()
    if allow_lazy and LAZY_TENSORFLOW.search(source):
        lazy = {
            node
            for function in ast.walk(tree)
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
            for node in ast.walk(function)
        }
    return [
        f"{node.lineno}: {name}"
        for node in ast.walk(tree)
        for name in imported_names(node)
        if any(f"{name}.".startswith(f"{module}.") for module in FORBIDDEN)
        and not (node in lazy and f"{name}.".startswith("tensorflow."))
    ]


def imported_names(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), names=names, level=0):
            return [f"{module}.{alias.name}" for alias in names]
        case ast.Attribute(ast.Name("keras"), "src"):
            return ["keras.src"]
        case ast.Call(
            ast.Name("__import__" | "import_module")
            | ast.Attribute(attr="import_module"),
            [ast.Constant(str(name)), *_],
        ):
            return [name]
    return []


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent.name != "backend"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_module_is_free_of_backends(path):
    allow_lazy = path.is_relative_to(PACKAGE / "callbacks")
    assert forbidden_imports(path.read_text(), allow_lazy) == []


@pytest.mark.parametrize(
    "source",
    [
        "import jax.numpy as jnp",
        "from keras import src",
        "from keras.src import backend",
        "import keras\nkeras.src.backend",
        "def f():\n    from torch import nn",
        "import importlib\nimportlib.import_module('tensorflow.summary')",
        "__import__('jaxlib')",
    ],
)
def test_guard_sees(source):
    assert len(forbidden_imports(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import keras\nfrom keras import ops",
        "from keras_seqcredit.backend import scan",
        "from keras_seqcredit import backend",
        "from . import jax",
        "import tensorflow_probability",
        "keras.backend.backend() == 'jax'",
    ],
)
def test_guard_allows(source):
    assert forbidden_imports(source) == []


def test_guard_allows_a_lazy_import_that_says_so():
    lazy = "def f():\n    import tensorflow as tf\n"
    comment = "# Imports tensorflow lazily: summaries are its own format.\n"
    assert forbidden_imports(lazy, allow_lazy=True)
    assert forbidden_imports(comment + lazy)
    assert not forbidden_imports(comment + lazy, allow_lazy=True)
    assert forbidden_imports(comment + "import tensorflow", allow_lazy=True)
    assert forbidden_imports(
        comment + "def f():\n    import jax", allow_lazy=True
    )


def test_import_has_no_side_effects(tmp_path):
    script = """
    import json, logging, os, random, sys, warnings
    import keras, numpy

    def state():
        return {
            "environment": dict(os.environ),
            "folder": os.getcwd(),
            "warnings": [str(f) for f in warnings.filters],
            "loggers": {
                name or "root": [logger.level, len(logger.handlers)]
                for name, logger in [
                    (None, logging.getLogger()),
                    *sorted(logging.Logger.manager.loggerDict.items()),
                ]
                if isinstance(logger, logging.Logger)
                and (logger.level or logger.handlers)
            },
            "floatx": keras.config.floatx(),
            "dtype policy": keras.config.dtype_policy().name,
            "image format": keras.config.image_data_format(),
            "random": hash(random.getstate()),
            "numpy random": str(numpy.random.get_state()),
        }

    written = []

    def audit(event, arguments):
        if event == "open" and isinstance(arguments[1], str):
            if set(arguments[1]) & set("wax+"):
                written.append(str(arguments[0]))
        elif event in ("os.mkdir", "os.rename", "os.remove"):
            written.append(str(arguments[0]))

    before, modules = state(), set(sys.modules)
    sys.addaudithook(audit)
    import keras_seqcredit.layers
    import keras_seqcredit.metrics
    import keras_seqcredit.schedules
    files = list(written)
    after = state()
    print(json.dumps({
        "changed": [key for key in before if before[key] != after[key]],
        "files": files,
        "modules": sorted(set(sys.modules) - modules),
    }))
    """
    output = subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(script)],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        text=True,
        env=environment(),
    ).stdout
    effects = json.loads(output.splitlines()[-1])
    assert effects["changed"] == []
    assert effects["files"] == []
    assert "keras_seqcredit" in effects["modules"]
    assert not {m.split(".")[0] for m in effects["modules"]} & set(OPTIONAL)
    assert list(tmp_path.iterdir()) == []


def environment() -> dict[str, str]:
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
