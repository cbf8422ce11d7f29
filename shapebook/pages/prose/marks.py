"""Numbers in a page's sentences, held against the data that the page shows.

A number that a sentence reads out of a figure, a table, a verdict or a benchmark is followed by a
comment that no reader of the page sees, and which says where the number stands::

    falls to 0.17<!-- = figure("profiles-anisotropy", "value", model="a", layer=3) --> there
    two fifths<!-- 0.35 to 0.45 = claim("decoder-bell", "a", "highest_depth") --> of the depth
    the margin is 0.1<!-- set -->

The first must agree to the digits that are printed; in the second the words stand for a range; the
third is a number that a rule or a setting fixes, and nothing measured. `told.Told` says what an
expression may name. Whole numbers of four digits and more are held to three.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shapebook.notebooks import notebook as notebooks
from shapebook.pages.prose.told import Told
from shapelib.errors import ShapelibError

MARK = re.compile(
    r"<!--\s*(?:(?P<low>[-\d.e]+) to (?P<high>[-\d.e]+) )?= ?(?P<told>.+?)\s*-->", re.S
)
SET = "<!-- set -->"
_THIN = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE} "
_NUMBER = re.compile(
    rf"(?P<sign>[-\N{{MINUS SIGN}}])?(?P<whole>\d{{1,3}}(?:[{_THIN}]\d{{3}})+|\d+)(?P<part>\.\d+)?"
    r"[*`]*(?P<unit>\s?%|fold)?[*`]*$"
)
_DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\w)")
# Code in Markdown: what it shows is no text.
_CODE = re.compile(r"^(`{3,})(?!\{).*?^\1$", re.M | re.S)
# Where a sentence ends, roughly: enough to show it.
_END = re.compile(r"(?<=[.!?:])\s|\n\n|\n[-*|]")


class Text(NamedTuple):
    """A piece of a book's text: the page, and the source of its sentences."""

    page: str
    source: str
    reads: bool = False
    """Whether it reads a figure or a table: then no decimal in it may stand unmarked."""


def texts(root: Path, source: Path) -> Iterator[Text]:
    """The text of a checkout's README and of every page of a book's source."""
    for file in (root / "README.md", *sorted(source.glob("*.md"))):
        if file.is_file():
            yield Text(file.stem, _CODE.sub("", file.read_text(encoding="utf-8")))
    for file in sorted((source / "executed").glob("*.ipynb")):
        for cell in notebooks.read(file).cells:
            if cell.cell_type == "markdown":
                reads = bool(re.search(r"^\*\*Reading\b", cell.source, re.M))
                yield Text(file.stem, cell.source, reads)


class Amiss(NamedTuple):
    """What is wrong with one mark."""

    said: str
    """In words, with the number in the text and that of the data."""
    here: str = ""
    """What the data say, to the digits that the text has; empty where they say nothing."""


def amiss(root: Path, source: Path) -> list[str]:
    """What is wrong with the marked numbers of a book, a line for each; none where all is right.

    A line names the page, the sentence, and both numbers.
    """
    told = Told(root, source)
    return [line for text in texts(root, source) for line in wrong(text, told)]


def wrong(text: Text, told: Told) -> list[str]:
    """As `amiss`, of one piece of text; a mark that names what is not there is told of as well."""
    found = [
        (mark.start(), each.said)
        for mark in MARK.finditer(text.source)
        if (each := held(text.source[: mark.start()], mark, text.page, told))
    ]
    if text.reads:
        found += [
            (each.start(), f"{each[0]} is not marked")
            for each in _DECIMAL.finditer(text.source)
            if not _is_marked(text.source, each)
        ]
    return [f"{text.page}: {sentence(text.source, at)!r}: {said}" for at, said in found]


def held(before: str, mark: re.Match[str], page: str, told: Told) -> Amiss | None:
    """A mark held against the data; None where they agree.

    :param before: the text that ends where the mark begins.
    """
    try:
        value = told.value(mark["told"], page)
    except ShapelibError as error:
        return Amiss(str(error))
    if mark["low"] is not None:
        low, high = float(mark["low"]), float(mark["high"])
        if low <= value <= high:
            return None
        words = f"the words stand for {low:g} to {high:g}, the data say {value:.6g}"
        return Amiss(f"{words} ({mark['told']})", f"{value:.3g}")
    printed = _NUMBER.search(bare(before))
    if printed is None:
        return Amiss(f"no number stands before the mark {mark['told']}")
    unit = (printed["unit"] or "").strip()
    value *= 100 if unit == "%" else 1
    if _agrees(printed, value):
        return None
    digits = len(printed["part"] or ".") - 1
    said = f"the text says {printed[0]}, the data say {value:.6g} ({mark['told']})"
    return Amiss(said, f"{value:.{digits}f}{unit}".replace("-", "\N{MINUS SIGN}"))


def bare(source: str) -> str:
    """Text without its marks."""
    return MARK.sub("", source).replace(SET, "")


def _agrees(printed: re.Match[str], value: float) -> bool:
    """Whether a printed number is a value, rounded to the digits that are printed."""
    whole, part = re.sub(rf"[{_THIN}]", "", printed["whole"]), printed["part"] or ""
    number = float(whole + part) * (-1 if printed["sign"] else 1)
    if part:
        last = 10.0 ** (1 - len(part))
    else:
        zeros = len(whole) - len(whole.rstrip("0"))
        last = 10.0 ** max(0, min(zeros, len(whole) - 3))
    return math.isfinite(value) and abs(value - number) <= last / 2 * (1 + 1e-6)


def _is_marked(source: str, number: re.Match[str]) -> bool:
    """Whether a mark follows at once, or the number stands in a mark, a formula or code."""
    after = source[number.end() :]
    if re.match(r"[*`]*(\s?%|fold)?[*`]*<!--", after):
        return True
    before = source[: number.start()]
    line = before.rpartition("\n\n")[2]
    inside_mark = before.rfind("<!--") > before.rfind("-->")
    return inside_mark or bare(line).count("$") % 2 == 1 or bare(line).count("`") % 2 == 1


def sentence(source: str, place: int) -> str:
    """The sentence of a text around a place, without marks."""
    begin = max((each.end() for each in _END.finditer(source, 0, place)), default=0)
    end = _END.search(source, place)
    return " ".join(bare(source[begin : end.start() if end else None]).split())
