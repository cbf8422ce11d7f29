"""A book's source rendered to pages with Jupyter Book, unless these are there already; and what of
the source is taken out of executed pages: their figures and tables as files."""

import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import shapelib
from shapebook.figures import shown as drawing
from shapebook.notebooks import notebook as notebooks
from shapebook.notebooks import shown
from shapelib.errors import ShapelibError
from shapelib.store import cache, keys

CONFIG = Path("_config.yml")
"""The settings of a checkout's book."""
HTML = Path("_build", "html")
"""Where the pages of a checkout are rendered to."""
PDF = Path("_build", "pdf", "shape-of-learning.pdf")
"""Where they are printed to (`shapebook.pages.outside.pdf`): pages rendered after it hold a copy,
which the first of them links to."""


def render(root: Path, book: Path, config: Path = CONFIG, html: Path | None = None) -> None:
    """Render a source into ``_build/html``, unless just this is there already; warnings are errors.

    :param config: the settings, from `root` on.
    :param html: another folder to render into.
    :raises ShapelibError: where Jupyter Book is not installed or finds something wrong.
    """
    html = html or root / HTML
    ours = html == root / HTML
    # Beside the pages, since what is in their folder is published.
    stamp, key = html.with_name(f"{html.name}.key"), key_of_source(root, book, config)
    printed = root / PDF
    key += f", {cache.sha256(printed)}" if ours and printed.is_file() else ""
    first = html / "intro.html"
    if first.is_file() and stamp.is_file() and stamp.read_text() == key:
        print(f"up to date: {_shown(first, root)}")
        return
    stamp.unlink(missing_ok=True)
    # Pages of an earlier book that this one no longer has must not stay.
    shutil.rmtree(html, ignore_errors=True)
    html.parent.mkdir(parents=True, exist_ok=True)
    # Jupyter Book puts pages into _build/html of the folder that it is given.
    with tempfile.TemporaryDirectory(dir=html.parent) as folder:
        output = root if ours else Path(folder)
        run_jupyter_book(root, book, output, config=config)
        if not ours:
            (output / HTML).replace(html)
    stamp.write_text(key)
    print(f"rendered: {_shown(first, root)}")


def _shown(page: Path, root: Path) -> Path:
    return page.relative_to(root) if page.is_relative_to(root) else page


def run_jupyter_book(
    root: Path, book: Path, output: Path, builder: str = "html", config: Path = CONFIG
) -> None:
    """Have Jupyter Book render a source, warnings as errors.

    Raises `ShapelibError` where it is not installed or finds something wrong.
    """
    program = Path(sys.executable).with_name("jupyter-book")
    if not program.exists():
        raise ShapelibError('rendering needs Jupyter Book; run: pip install "shapelib[book]"')
    # A builder that Jupyter Book has no name for is named after "custom".
    how = [] if builder == "html" else ["--builder", "custom", "--custom-builder", builder]
    command = [
        str(program), "build", str(book), "--config", str(config), "--path-output",
        str(output), "--all", "-W", "--keep-going", "-n", *how,
    ]  # fmt: skip
    if subprocess.run(command, cwd=root, check=False).returncode != 0:
        raise ShapelibError("the book was not rendered: see Jupyter Book's messages above")


def key_of_source(root: Path, book: Path, config: Path = CONFIG) -> str:
    """Changes when anything does that the rendered book depends on: its files, the configuration,
    kept tables and benchmarks, the two packages (their docstrings are a page), and the program that
    renders.
    """
    packages = [*map(Path, shapelib.__path__), Path(__file__).parents[1]]
    folders = (book, root / "results", root / "benchmarks", *packages)
    files = [root / config, *(file for each in folders for file in sorted(each.rglob("*")))]
    hashes = [
        (file.name, cache.sha256(file))
        for file in files
        if file.is_file() and "__pycache__" not in file.parts
    ]
    return keys.key_of(hashes, metadata.version("jupyter-book"))


def draw(file: Path, executed: Path) -> notebooks.Notebook:
    """Write the figures of an executed page, their rows, and its table; gives its notebook.

    ``fig-PAGE-NAME`` goes to ``figures/PAGE-NAME.svg`` and ``.csv`` of `executed`, the table to
    ``data/PAGE.csv``.
    """
    notebook = notebooks.read(file)
    for cell in notebook.cells:
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        for output in cell.get("outputs", []):
            if table := output.get("metadata", {}).get(shown.TABLE):
                (executed / "data" / f"{file.stem}.csv").write_text(table, encoding="utf-8")
            if name and (svg := output.get("data", {}).get("image/svg+xml")):
                rows = output.metadata.get("image/svg+xml", {}).get(drawing.ROWS)
                write(executed / "figures" / name.removeprefix("fig-"), svg, rows)
    return notebook


def write(base: Path, svg: str, rows: str | None) -> None:
    """A figure and, where it has them, the rows that it shows."""
    base.with_suffix(".svg").write_text(svg, encoding="utf-8")
    if rows:
        base.with_suffix(".csv").write_text(rows, encoding="utf-8")
