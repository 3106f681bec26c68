"""Tutorials are what the site can run and what a newcomer expects."""

import importlib.util
import pathlib
import re

import jupytext
import nbformat
import pytest

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = sorted(ROOT.glob("docs/tutorials/*.py"))
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def read(path):
    return jupytext.read(path, fmt="py:percent").cells


def hook():
    pytest.importorskip("nbclient")
    pytest.importorskip("mkdocs")
    path = ROOT / "docs/hooks/tutorials.py"
    spec = importlib.util.spec_from_file_location("tutorials_hook", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_one_of_each_system_and_one_of_the_views():
    assert {path.stem for path in SOURCES} == {
        "looking-inside-with-tensorboard",
        "professor-forcing",
        "sparse-attentive-backtracking",
        "variational-walkback",
        "z-forcing",
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_tutorial_has_the_parts_that_all_have(path):
    cells = read(path)
    code = [cell for cell in cells if cell.cell_type == "code"]
    for cell in code:
        compile(cell.source, str(path), "exec")
    prose = [c.source if c.cell_type == "markdown" else "" for c in cells]
    headings = re.findall("^#+ .*", "\n".join(prose), re.MULTILINE)
    assert headings[0].startswith("# ")
    assert headings[-1] == "## Use it on your data"
    # A picture first, then formulas; and pictures of the result.
    pictures = [
        i
        for i, cell in enumerate(cells)
        if cell.cell_type == "code" and "plt.show()" in cell.source
    ]
    formulas = [i for i, text in enumerate(prose) if "$" in text]
    assert len(pictures) >= 2
    assert formulas == [] or pictures[0] < formulas[0]
    assert any(".fit(" in cell.source for cell in code)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_tutorial_is_found_from_the_menu_the_home_page_and_the_readme(path):
    page = f"tutorials/{path.stem}.md"
    assert f": {page}\n" in (ROOT / "mkdocs.yml").read_text()
    assert f"]({page})" in (ROOT / "docs/index.md").read_text()
    readme = (ROOT / "README.md").read_text()
    assert f"](docs/tutorials/{path.name})" in readme


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_links_of_a_tutorial_exist(path):
    links = [
        link
        for cell in read(path)
        if cell.cell_type == "markdown"
        for link in LINK.findall(cell.source)
        if not link.startswith("http")
    ]
    assert links
    for link in links:
        target = path.parent / link
        assert target.exists() or target.with_suffix(".py").exists(), link


def test_a_cell_becomes_code_output_and_a_picture():
    make = nbformat.v4
    picture = {"image/png": "AAAA", "text/plain": "<Figure>"}
    outputs = [
        make.new_output("stream", name="stdout", text="```\n"),
        make.new_output("stream", name="stderr", text="hush"),
        make.new_output("display_data", data=picture),
        make.new_output("display_data", data={"text/plain": "42"}),
    ]
    cells = [
        make.new_markdown_cell("# One\n## Two"),
        make.new_code_cell("f()", outputs=outputs),
    ]
    notebook = make.new_notebook(cells=cells)
    text, pictures = hook().as_markdown(notebook, "page")
    assert text.startswith("# One\n## Two\n\n```python\nf()\n```\n\n````")
    assert "![Two](page-1.png)" in text
    assert text.endswith("\n42\n```")
    assert "hush" not in text and "<Figure>" not in text
    assert pictures == {"page-1.png": b"\0\0\0"}


def test_a_cell_that_fails_ends_the_build():
    module = hook()
    mkdocs = pytest.importorskip("mkdocs.exceptions")
    notebook = jupytext.reads("# %%\n1 / 0\n", fmt="py:percent")
    with pytest.raises(mkdocs.PluginError, match="ZeroDivisionError"):
        module.run(notebook, "wrong.py")
