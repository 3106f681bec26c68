"""Runs the tutorials when the site is built, and shows them as pages.

A tutorial is a file of `docs/tutorials`, Python with cells as jupytext reads
them (`py:percent`). Its page has code, output and pictures; as it is Markdown
for MkDocs, links, formulas and search are those of all other pages. A cell that
fails ends the build. The notebook lies beside the page, to be downloaded.

`RUN_TUTORIALS=0` builds the pages without running the code.
"""

import base64
import concurrent.futures
import logging
import os
import pathlib
import tempfile
import time

import jupytext
import nbclient
import nbformat
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

FOLDER = "tutorials/"
# Of a cell, in seconds.
TIMEOUT = 600
DOWNLOAD = "[Download this page as a notebook]({}){{ .md-button }}"
RUN = (
    "This page is a notebook. It ran in {:.0f} seconds on the {} backend when "
    "the site was built."
)

FOLDED = """<details markdown="1">
<summary>The code of this picture</summary>"""

log = logging.getLogger("mkdocs.hooks.tutorials")


def is_run() -> bool:
    """Whether the code is to be run."""
    return os.environ.get("RUN_TUTORIALS", "1") != "0"


def run(notebook: nbformat.NotebookNode, name: str) -> float:
    """Runs all cells in place; returns the seconds that it took."""
    start = time.perf_counter()
    # What a tutorial writes is of no use after it.
    with (
        tempfile.TemporaryDirectory() as folder,
        # Backends chatter; it is shown when the kernel does not come up.
        tempfile.TemporaryFile("w+") as chatter,
    ):
        client = nbclient.NotebookClient(
            notebook,
            coalesce_streams=True,
            timeout=TIMEOUT,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute(stderr=chatter)
        except nbclient.exceptions.CellExecutionError as error:
            raise PluginError(f"{name}: a cell failed.\n{error}") from error
        except (nbclient.exceptions.DeadKernelError, RuntimeError) as error:
            chatter.seek(0)
            raise PluginError(
                f"{name}: the kernel died.\n{chatter.read()}"
            ) from error
    return time.perf_counter() - start


def run_all(notebooks: dict[str, nbformat.NotebookNode]) -> dict[str, float]:
    """Runs notebooks by name, one on each core; returns their seconds."""
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {
            name: pool.submit(run, notebook, name)
            for name, notebook in notebooks.items()
        }
        seconds = {}
        for name, future in runs.items():
            seconds[name] = future.result()
            # Not logged: `--quiet` hides that.
            print(f"docs/{name}: {seconds[name]:.1f} s", flush=True)
    print(
        f"docs/tutorials: {time.perf_counter() - start:.1f} s in all",
        flush=True,
    )
    return seconds


def read(path: str) -> nbformat.NotebookNode:
    """The tutorial as a notebook, not yet run."""
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    return notebook


def fenced(text: str, language: str, classes: str = "") -> str:
    """A block of code; longer fences hold what has fences itself."""
    fence = "```"
    while fence in text:
        fence += "`"
    head = f"{{ .{language} .{classes} }}" if classes else language
    return f"{fence}{head}\n{text.rstrip()}\n{fence}"


def output_as_markdown(output, page: str, heading: str, pictures: dict) -> str:
    """One output of a cell; its picture, if it is one, goes to `pictures`."""
    if output.output_type == "stream":
        # Warnings are for whoever builds the site.
        if output.name == "stderr":
            log.info("%s: %s", page, output.text.rstrip())
            return ""
        return fenced(output.text, "text", "output")
    data = output.get("data", {})
    if "image/png" in data:
        name = f"{page}-{len(pictures) + 1}.png"
        pictures[name] = base64.b64decode(data["image/png"])
        return f"![{heading}]({name})"
    if "text/plain" in data:
        return fenced(data["text/plain"], "text", "output")
    return ""


def as_markdown(
    notebook: nbformat.NotebookNode, page: str
) -> tuple[str, dict[str, bytes]]:
    """The page, and its pictures by name."""
    parts, pictures, heading = [], {}, page
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            headings = [
                line.lstrip("# ")
                for line in cell.source.splitlines()
                if line.startswith("#")
            ]
            heading = headings[-1] if headings else heading
            continue
        if cell.cell_type != "code":
            continue
        code = [fenced(cell.source, "python")]
        outputs = [
            output_as_markdown(output, page, heading, pictures)
            for output in cell.get("outputs", [])
        ]
        if "picture" in cell.metadata.get("tags", ()):
            # The picture matters, not how it is drawn.
            parts += [*outputs, FOLDED, *code, "</details>"]
        else:
            parts += code + outputs
    return "\n\n".join(part for part in parts if part), pictures


def on_startup(**kwargs: object) -> None:
    """Names the backend that kernels run on, and quiets TensorFlow's log."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def on_files(files, config, **kwargs: object):
    """Puts a page in the place of each tutorial's source."""
    sources = [
        file
        for file in files
        if file.src_uri.startswith(FOLDER) and file.src_uri.endswith(".py")
    ]
    sources.sort(key=lambda file: file.src_uri)
    notebooks = [read(source.abs_src_path) for source in sources]
    notes = ["This page is a notebook. It was not run."] * len(sources)
    if is_run():
        names = [source.src_uri for source in sources]
        seconds = run_all(dict(zip(names, notebooks, strict=True)))
        backend = os.environ["KERAS_BACKEND"]
        notes = [RUN.format(seconds[name], backend) for name in names]
    for source, notebook, note in zip(sources, notebooks, notes, strict=True):
        page = pathlib.PurePosixPath(source.src_uri).stem
        text, pictures = as_markdown(notebook, page)
        text += f"\n\n---\n\n{note}\n\n{DOWNLOAD.format(page + '.ipynb')}\n"
        files.remove(source)
        made = {
            f"{page}.md": text,
            f"{page}.ipynb": nbformat.writes(notebook),
            **pictures,
        }
        for name, content in made.items():
            files.append(File.generated(config, FOLDER + name, content=content))
    return files
