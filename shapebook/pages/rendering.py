"""Render a book's source to pages with Jupyter Book, unless these are there already."""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import shapelib
from shapelib.errors import ShapelibError
from shapelib.store import cache, keys

HTML = Path("_build", "html")
"""Where the pages of a checkout are rendered to."""


def render(root: Path, book: Path) -> None:
    """Render a source into ``_build/html``, unless just this is there already; warnings are errors.

    Raises `ShapelibError` where Jupyter Book is not installed or finds something wrong.
    """
    program = Path(sys.executable).with_name("jupyter-book")
    if not program.exists():
        raise ShapelibError('rendering needs Jupyter Book; run: pip install "shapelib[book]"')
    html = root / HTML
    # Beside the pages, since what is in their folder is published.
    stamp, key = html.with_name("html.key"), _key_of_source(root, book)
    if (html / "intro.html").is_file() and stamp.is_file() and stamp.read_text() == key:
        print("up to date: _build/html/intro.html")
        return
    stamp.unlink(missing_ok=True)
    # Pages of an earlier book that this one no longer has must not stay.
    shutil.rmtree(html, ignore_errors=True)
    command = [
        str(program), "build", str(book), "--config", "_config.yml", "--path-output", ".",
        "--all", "-W", "--keep-going", "-n",
    ]  # fmt: skip
    if subprocess.run(command, cwd=root, check=False).returncode != 0:
        raise ShapelibError("the book was not rendered: see Jupyter Book's messages above")
    stamp.write_text(key)
    print("rendered: _build/html/intro.html")


def _key_of_source(root: Path, book: Path) -> str:
    """Changes when anything does that the rendered book depends on: its files, the configuration,
    kept tables and benchmarks, the two packages (their docstrings are a page), and the program that
    renders.
    """
    packages = [*map(Path, shapelib.__path__), Path(__file__).parents[1]]
    folders = (book, root / "results", root / "benchmarks", *packages)
    files = [root / "_config.yml", *(file for each in folders for file in sorted(each.rglob("*")))]
    hashes = [
        (file.name, cache.sha256(file))
        for file in files
        if file.is_file() and "__pycache__" not in file.parts
    ]
    return keys.key_of(hashes, metadata.version("jupyter-book"))
