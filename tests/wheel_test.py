"""The wheel, built and installed, runs the first snippet of the README."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
CONTENTS = ("LICENSE", "README.md", "pyproject.toml", "setup.cfg")
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def wheel(tmp_path):
    """Builds in a copy, by what is installed: nothing is downloaded."""
    pytest.importorskip("build")
    pytest.importorskip("setuptools", minversion="77")
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in CONTENTS:
        shutil.copy(ROOT / name, copy)
    shutil.copytree(
        ROOT / "keras_seqcredit",
        copy / "keras_seqcredit",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    built = tmp_path / "dist"
    run("-m", "build", "--no-isolation", "--outdir", built, copy, cwd=tmp_path)
    assert len(list(built.glob("*.tar.gz"))) == 1
    (wheel,) = built.glob("*.whl")
    return wheel


def run(*arguments, cwd, **variables):
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_wheel_runs_the_first_snippet_of_the_readme(wheel, tmp_path):
    installed = tmp_path / "installed"
    run(
        *("-m", "pip", "install", "--no-deps", "--no-index"),
        *("--target", installed, wheel),
        cwd=tmp_path,
    )
    files = [p.relative_to(installed) for p in installed.rglob("*")]
    assert pathlib.Path("keras_seqcredit/py.typed") in files
    assert any("static" in path.parts for path in files)
    assert not any(p.parts[0] in ("tests", "examples", "docs") for p in files)

    snippet = SNIPPET.findall((ROOT / "README.md").read_text())[0]
    short = snippet.replace("epochs=20", "epochs=1")
    assert short != snippet
    where = "import keras_seqcredit\nprint(keras_seqcredit.__file__)\n"
    (tmp_path / "elsewhere").mkdir()
    output = run(
        *("-c", short + where),
        cwd=tmp_path / "elsewhere",
        PYTHONPATH=str(installed),
        KERAS_BACKEND=os.environ.get("KERAS_BACKEND", "tensorflow"),
    )
    assert output.splitlines()[-1].startswith(str(installed))
