"""The shape of the code: sizes, and who may use whose private names."""

import ast
import pathlib

import pytest

import keras_seqcredit

PACKAGE = pathlib.Path(keras_seqcredit.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
MOST_LINES = 550
# Public, in spite of the underscore.
OF_NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}
MOST_METHODS = 25


def name_of(path):
    return str(path.relative_to(PACKAGE))


def classes():
    return [
        (name_of(path), node)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]


def is_private(name):
    if name in OF_NAMED_TUPLES or name.startswith("__"):
        return False
    return name.startswith("_")


def defined(tree):
    """Private names that a file gives to its functions and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign):
            if isinstance(node.target, ast.Name):
                yield node.target.id
        elif isinstance(node, ast.Attribute) and _is_own(node.value):
            if isinstance(node.ctx, ast.Store):
                yield node.attr


def taken(tree):
    """Private names that a file reads or sets on other objects."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not _is_own(node.value):
                yield node.attr, node.lineno


def _is_own(node):
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


OWNERS: dict[str, set] = {}
for file, parsed in TREES.items():
    for private in filter(is_private, defined(parsed)):
        OWNERS.setdefault(private, set()).add(file.parent)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_short(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MOST_LINES, f"{name_of(path)} has {lines} lines"


@pytest.mark.parametrize(
    ("file", "node"), classes(), ids=lambda x: getattr(x, "name", str(x))
)
def test_classes_have_few_methods(file, node):
    methods = {
        item.name for item in node.body if isinstance(item, ast.FunctionDef)
    }
    assert len(methods) <= MOST_METHODS, (
        f"{node.name} in {file} has {len(methods)} methods"
    )


@pytest.mark.parametrize(
    "path",
    # That one is about the names of Keras.
    [path for path in FILES if path.name != "keras_private.py"],
    ids=name_of,
)
def test_no_private_name_of_another_folder(path):
    wrong = [
        f"{name} at line {line}"
        for name, line in taken(TREES[path])
        if name in OWNERS and path.parent not in OWNERS[name]
    ]
    assert wrong == []
