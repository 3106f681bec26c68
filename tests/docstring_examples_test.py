"""Examples of docstrings, of the README and of the docs run as they stand.

The examples of one docstring or page run one after another, in an empty folder,
and share their names. Training is cut to two epochs of two steps, a search to
one trial.
"""

import inspect
import pathlib
import re
import textwrap

import keras
import keras_tuner
import pytest

from tests.public_names import public_objects

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLE = re.compile(r"^ *```python\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def examples(text: str) -> list[str]:
    return [textwrap.dedent(code) for code in EXAMPLE.findall(text)]


def documents() -> dict[str, list[str]]:
    """Returns the examples of everything that has some, by name."""
    texts = {}
    for name, value in public_objects().items():
        texts[name] = value.__doc__ or ""
        if not inspect.isclass(value):
            continue
        for attribute, method in vars(value).items():
            if inspect.isfunction(method) and not attribute.startswith("_"):
                texts[f"{name}.{attribute}"] = method.__doc__ or ""
    for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]:
        texts[str(path.relative_to(ROOT))] = path.read_text()
    found = {name: examples(text) for name, text in texts.items()}
    return {name: codes for name, codes in found.items() if codes}


DOCUMENTS = documents()


def backend_of(name: str) -> str:
    """Each is run on one backend: what it calls is tested on both."""
    if name == "docs/guides/export.md":
        return "tensorflow"  # It cannot run what JAX exports of attention.
    # What compiles most, as searches do, on the one that compiles sooner.
    compiles_much = name.endswith(".md") or any(
        module in name for module in (".callbacks.", ".models.", ".tuners.")
    )
    return "jax" if compiles_much else "tensorflow"


@pytest.fixture
def short_training(monkeypatch):
    fit = keras.Model.fit

    def short_fit(*args, **kwargs):
        epochs = kwargs.get("initial_epoch", 0) + 2
        kwargs["epochs"] = min(kwargs.get("epochs", 1), epochs)
        kwargs["steps_per_epoch"] = 2
        if "validation_data" in kwargs:
            kwargs["validation_steps"] = 1
        return fit(*args, **kwargs)

    start_oracle = keras_tuner.Oracle.__init__

    def one_trial(oracle, *args, **kwargs):
        if kwargs.get("max_trials"):
            kwargs["max_trials"] = 1
        start_oracle(oracle, *args, **kwargs)

    monkeypatch.setattr(keras.Model, "fit", short_fit)
    monkeypatch.setattr(keras_tuner.Oracle, "__init__", one_trial)


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.usefixtures("short_training")
def test_examples_run(name, tmp_path, monkeypatch):
    if backend_of(name) != keras.backend.backend():
        pytest.skip(f"this is run on {backend_of(name)}")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for number, code in enumerate(DOCUMENTS[name], start=1):
        exec(compile(code, f"<{name}, example {number}>", "exec"), namespace)


def test_every_public_class_and_function_has_an_example():
    objects = {n for n, v in public_objects().items() if callable(v)}
    assert sorted(objects - DOCUMENTS.keys()) == []
