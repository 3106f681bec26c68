"""Each documented argument that has a default says it, and says the right one.

As Keras writes it: "Defaults to `None`.". For `None` the docstring may say what
stands in its place: "Defaults to all sequences.".
"""

import inspect
import re
from typing import Any

import pytest

from tests.public_names import public_objects


def documented() -> dict[str, Any]:
    """Public functions, classes and their methods, by name."""
    found = {}
    for full, value in public_objects().items():
        name = full.removeprefix("keras_seqcredit.")
        found[name] = value
        if inspect.isclass(value):
            for key, method in vars(value).items():
                method = getattr(method, "__func__", method)
                if inspect.isfunction(method) and not key.startswith("_"):
                    found[f"{name}.{key}"] = method
    return found


def arguments_in(docstring: str | None) -> dict[str, str]:
    """The text about each argument, of the section `Args:`."""
    section = re.search(
        r"^Args:\n((?: {4}.*\n|\n)*)",
        inspect.cleandoc(docstring or "") + "\n",
        re.MULTILINE,
    )
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in section[1].splitlines() if section else ():
        start = re.match(r" {4}(\w+(?:, \w+)*):(.*)", line)
        if start:
            names = start[1].split(", ")
        for name in names:
            text = start[2] if start else line
            texts[name] = f"{texts.get(name, '')} {text.strip()}".strip()
    return texts


def says_default(text: str, default: Any) -> bool:
    said = re.search(r"[Dd]efaults to (`[^`]+`|[^\s`]+)", text)
    if said is None:
        return False
    if default is None or callable(default):
        return True
    value = said[1].strip("`")
    if isinstance(default, bool | str):
        return value.rstrip(".,;") == repr(default).replace("'", '"')
    if isinstance(default, int | float):
        number = value.rstrip(".,;").replace(",", "")
        try:
            return float(number) == default
        except ValueError:
            return False
    return value.rstrip(".,;") == repr(default).replace("'", '"')


def missing(value: Any) -> list[str]:
    """Documented arguments with a default that is not told."""
    function = value.__init__ if inspect.isclass(value) else value
    parameters = inspect.signature(function).parameters
    return [
        name
        for name, text in arguments_in(value.__doc__).items()
        if name in parameters
        and parameters[name].default is not inspect.Parameter.empty
        and not says_default(text, parameters[name].default)
    ]


@pytest.mark.parametrize("name", sorted(documented()))
def test_defaults_are_told(name):
    assert missing(documented()[name]) == []


@pytest.mark.parametrize(
    ("text", "default", "told"),
    [
        ("Integer.", 3, False),
        ("Integer. Defaults to 3.", 3, True),
        ("Integer. Defaults to 4.", 3, False),
        ("Integer. Defaults to 10,000.", 10000, True),
        ("Float. Defaults to `0.5`.", 0.5, True),
        ('String. Defaults to `"dot"`.', "dot", True),
        ("String. Defaults to `dot`.", "dot", False),
        ("Boolean. Defaults to `False`.", True, False),
        ("Integer. Defaults to all of them.", None, True),
    ],
)
def test_says_default(text, default, told):
    assert says_default(text, default) is told
