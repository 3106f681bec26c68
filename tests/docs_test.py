"""The docs name all that is public, and only what exists."""

import pathlib
import re

from tests.public_names import public_objects

ROOT = pathlib.Path(__file__).parents[1]
API = ROOT / "docs/api"
ENTRY = re.compile(r"^::: (keras_seqcredit\.(\w+)\S*)$", re.MULTILINE)
FILE = re.compile(r"`((?:docs|examples|keras_seqcredit|tests)/[\w/.]*)`")
LINK = re.compile(r"\]\(([\w/]+\.md)\)")
RELATIVE = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_reference_has_a_page_for_every_public_name():
    pages = [p for p in API.glob("**/*.md") if p.name != "index.md"]
    entries = {
        str(page.relative_to(API)): ENTRY.findall(page.read_text())
        for page in pages
    }
    misplaced = [
        page
        for page, found in entries.items()
        if [(name.rsplit(".", 1)[1], module) for name, module in found]
        != [(pathlib.Path(page).stem, page.split("/")[0])]
    ]
    assert misplaced == []
    names = [name for found in entries.values() for name, _ in found]
    assert sorted(names) == sorted(public_objects())


def test_pages_of_layers_are_grouped_as_the_package_is():
    for page in API.glob("layers/*/*.md"):
        module = public_objects()[f"keras_seqcredit.layers.{page.stem}"]
        assert page.parent.name == module.__module__.split(".")[2]


def test_the_page_of_a_module_links_to_all_its_pages():
    for index in API.glob("*/index.md"):
        links = LINK.findall(index.read_text())
        pages = {p for p in index.parent.glob("**/*.md") if p != index}
        assert {index.parent / link for link in links} >= pages


def test_files_that_the_docs_name_exist():
    named = {
        (str(page.relative_to(ROOT)), name)
        for page in PAGES
        for name in FILE.findall(page.read_text())
    }
    assert named
    assert [n for n in sorted(named) if not (ROOT / n[1]).exists()] == []


def test_relative_links_of_the_pages_beside_the_readme_exist():
    links = {
        (page.name, link)
        for page in ROOT.glob("*.md")
        for link in RELATIVE.findall(page.read_text())
    }
    assert links
    assert [n for n in sorted(links) if not (ROOT / n[1]).exists()] == []
