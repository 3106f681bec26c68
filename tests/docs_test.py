"""The docs name all that is public, and only what exists."""

import pathlib
import re

from tests.public_names import public_objects

ROOT = pathlib.Path(__file__).parents[1]
ENTRY = re.compile(r"^::: (keras_seqcredit\.(\w+)\S*)$", re.MULTILINE)
FILE = re.compile(r"`((?:docs|examples|keras_seqcredit|tests)/[\w/.]*)`")
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_reference_lists_every_public_name_on_the_page_of_its_module():
    entries = {
        (path.stem, *match)
        for path in ROOT.glob("docs/api/*.md")
        for match in ENTRY.findall(path.read_text())
    }
    assert {page for page, _, module in entries if page != module} == set()
    names = {name for _, name, _ in entries}
    assert sorted(names) == sorted(public_objects())


def test_files_that_the_docs_name_exist():
    named = {
        (str(page.relative_to(ROOT)), name)
        for page in PAGES
        for name in FILE.findall(page.read_text())
    }
    assert named
    assert [n for n in sorted(named) if not (ROOT / n[1]).exists()] == []
