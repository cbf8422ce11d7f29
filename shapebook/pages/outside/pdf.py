"""The whole book as one PDF: every page in one document, printed by a browser."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from shapebook.pages.rendering import PDF, key_of_source, run_jupyter_book
from shapelib.errors import ShapelibError

BROWSER = "SHAPEBOOK_CHROMIUM"
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Seconds. Formulas are drawn by a script before anything is printed.
_PATIENCE = 600


def browser() -> str:
    """The program that prints. Raises `ShapelibError` where there is none."""
    named = os.environ.get(BROWSER)
    if named and shutil.which(named) is None:
        raise ShapelibError(f"{BROWSER} names {named!r}, and there is no such program")
    found = named or next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if found is None:
        raise ShapelibError(
            "a PDF is printed by Chromium or Chrome, and none is installed; on Debian: apt-get "
            f"install chromium; or name one by the environment variable {BROWSER}"
        )
    return found


def write(root: Path, book: Path) -> Path:
    """Print a book's source to `PDF`, unless just this is there already.

    :raises ShapelibError: without a browser, before anything is rendered; where Jupyter Book finds
        something wrong; and where the browser prints nothing.
    """
    program = browser()
    if is_fresh(root, book):
        print(f"up to date: {PDF}")
        return root / PDF
    # Of what is printed, whatever is changed meanwhile.
    target, stamp, key = root / PDF, _stamp(root), key_of_source(root, book)
    target.parent.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    # A folder of its own: what is rendered for reading stays as it is.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".run-") as folder:
        run_jupyter_book(root, book, Path(folder), "singlehtml")
        (page,) = [each for each in Path(folder).rglob("singlehtml/*.html") if each.stem == "intro"]
        print_page(program, page, target)
    stamp.write_text(key)
    print(f"printed: {PDF}")
    return target


def is_fresh(root: Path, book: Path) -> bool:
    """Whether the PDF is there and shows what the source now holds."""
    stamp = _stamp(root)
    if not ((root / PDF).is_file() and stamp.is_file()):
        return False
    return stamp.read_text() == key_of_source(root, book)


def _stamp(root: Path) -> Path:
    return (root / PDF).with_name("key")


def print_page(program: str, page: Path, target: Path) -> None:
    """Print one page as it stands, to a file that is there whole or not at all."""
    made = target.with_name(f".{target.name}")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={profile}", "--no-pdf-header-footer",
            "--virtual-time-budget=600000", f"--print-to-pdf={made}", page.resolve().as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=_PATIENCE
            )
            said = done.stderr.strip().splitlines()[-1:]
        except subprocess.TimeoutExpired:
            said = [f"it took more than {_PATIENCE} s"]
    try:
        if not made.is_file() or not made.read_bytes().startswith(b"%PDF-"):
            raise ShapelibError(
                f"{Path(program).name} printed no PDF: {''.join(said) or 'no word'}"
            )
        made.replace(target)
    finally:
        made.unlink(missing_ok=True)
