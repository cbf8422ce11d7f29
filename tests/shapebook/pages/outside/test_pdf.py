"""The PDF is printed whole or not at all, and what prints it is named where it is missing."""

import re
import stat
from pathlib import Path

import pytest

from shapebook.pages.outside import pdf
from shapelib.errors import ShapelibError

ROOT = Path(__file__).parents[4]


def program(folder: Path, script: str) -> str:
    """A program that is named like a browser and does what a script says."""
    file = folder / "chromium"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


def test_without_a_browser_nothing_is_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(pdf.BROWSER, raising=False)
    with pytest.raises(ShapelibError, match="Chromium or Chrome, and none is installed; on Debian"):
        pdf.write(tmp_path, ROOT / "book")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv(pdf.BROWSER, "no-such-browser")
    with pytest.raises(ShapelibError, match="SHAPEBOOK_CHROMIUM names 'no-such-browser'"):
        pdf.browser()


def test_a_browser_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    named = program(tmp_path, "exit 0")
    monkeypatch.setenv(pdf.BROWSER, named)
    assert pdf.browser() == named


@pytest.mark.parametrize("script", ["echo no display >&2; exit 1", "exit 0"])
def test_what_printed_nothing_leaves_the_old_file(tmp_path: Path, script: str):
    target = tmp_path / "book.pdf"
    target.write_bytes(b"%PDF-old")
    page = tmp_path / "page.html"
    page.write_text("x")
    with pytest.raises(ShapelibError, match=r"chromium printed no PDF: (no display|no word)"):
        pdf.print_page(program(tmp_path, script), page, target)
    assert target.read_bytes() == b"%PDF-old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["book.pdf", "chromium", "page.html"]


def test_a_chapter_begins_a_page(chromium: str, tmp_path: Path):
    style = (ROOT / "book" / "_static" / "print.css").read_text()
    page = tmp_path / "page.html"
    chapters = [f"<span id='document-{n}'></span><section><h1>{n}</h1></section>" for n in "ab"]
    page.write_text(f"<style>{style}</style><p>First</p>{''.join(chapters)}")
    target = tmp_path / "book.pdf"
    pdf.print_page(chromium, page, target)
    written = target.read_bytes()
    assert written.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", written)) == 3
    assert sorted(each.name for each in tmp_path.iterdir()) == ["book.pdf", "page.html"]


def test_a_pdf_is_fresh_while_the_source_is_what_was_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = tmp_path / "book"
    source.mkdir()
    (tmp_path / "_config.yml").touch()
    (source / "intro.md").write_text("# One")
    monkeypatch.setattr(pdf, "browser", lambda: "browser")
    rendered: list[Path] = []

    def render(root: Path, book: Path, output: Path, builder: str) -> None:
        rendered.append(output)
        (output / builder).mkdir()
        (output / builder / "intro.html").touch()

    monkeypatch.setattr(pdf, "run_jupyter_book", render)
    monkeypatch.setattr(pdf, "print_page", lambda _, page, target: target.write_bytes(b"%PDF-"))
    assert not pdf.is_fresh(tmp_path, source)
    for _ in range(2):
        assert pdf.write(tmp_path, source).read_bytes() == b"%PDF-"
    assert len(rendered) == 1
    assert not rendered[0].exists()
    assert pdf.is_fresh(tmp_path, source)
    (source / "intro.md").write_text("# Two")
    assert not pdf.is_fresh(tmp_path, source)
