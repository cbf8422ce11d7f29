"""From a source file to cleaned articles and a report of what cleaning met."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from shapelib.errors import ShapelibError
from shapelib.text import dump, wikitext

__all__ = ["Article", "CleaningReport", "clean_into", "stem"]


@dataclass(frozen=True)
class Article:
    """One article: its title and its cleaned text."""

    title: str
    """As in the source; of a plain text the file's name."""
    text: str
    """Without markup."""


@dataclass(frozen=True)
class CleaningReport:
    """What the source of a corpus held and what cleaning left of it."""

    source_bytes: int
    """Of the decompressed source; so are the next two."""
    source_sha256: str
    """As hexadecimal."""
    distinct_bytes: int
    """How many of the 256 byte values occur."""
    pages: int
    """Whole pages of a dump; 1 for a plain text."""
    redirects: int
    """Pages that only name another one, left out."""
    outside_article_namespace: int
    """Pages of another namespace than that of articles, left out."""
    not_wikitext: int
    """Pages whose text is data (such as ``json`` or ``wikibase-item``), left out."""
    empty: int
    """Pages without prose, left out."""
    truncated: bool
    """Whether the source ends in the middle of a page (as enwik8 does), which was left out."""
    articles: int
    """How many are left."""
    characters: int
    """Of all articles' texts together."""
    distinct_characters: int
    """How many different ones."""
    leftovers: dict[str, int]
    """How often strings occur in the cleaned text which would show that markup survived."""

    def as_dict(self) -> dict[str, Any]:
        """The report as a plain, JSON-able dictionary."""
        return asdict(self)


def clean_into(target: Path, source: Path) -> None:
    """Write `articles.jsonl` and `report.json` for `source` into the folder `target`."""
    counts: Counter[str] = Counter()
    leftovers = dict.fromkeys(wikitext.LEFTOVERS, 0)
    letters: set[str] = set()
    tally = dump.Tally()
    with (
        dump.decompressed(source) as chunks,
        (target / "articles.jsonl").open("w", encoding="utf-8", newline="\n") as out,
    ):
        for article in _articles(source, tally, tally.watch(chunks), counts):
            out.write(json.dumps([article.title, article.text], ensure_ascii=False) + "\n")
            counts["articles"] += 1
            counts["characters"] += len(article.text)
            letters.update(article.text)
            for string in leftovers:
                leftovers[string] += article.text.count(string)
    if not counts["articles"]:
        cut = ", and it is cut off" if tally.cut_off else ""
        raise ShapelibError(
            f"{source} holds no article: {counts['pages']} whole pages, of which "
            f"{counts['redirects']} redirects, {counts['outside']} outside the article namespace, "
            f"{counts['data']} of data and {counts['empty']} without prose{cut}"
        )
    report = CleaningReport(
        source_bytes=tally.size,
        source_sha256=tally.digest.hexdigest(),
        distinct_bytes=int((tally.values > 0).sum()),
        pages=counts["pages"],
        redirects=counts["redirects"],
        outside_article_namespace=counts["outside"],
        not_wikitext=counts["data"],
        empty=counts["empty"],
        truncated=tally.cut_off,
        articles=counts["articles"],
        characters=counts["characters"],
        distinct_characters=len(letters),
        leftovers=leftovers,
    )
    (target / "report.json").write_text(json.dumps(report.as_dict(), indent=1), "utf-8")


def _articles(
    source: Path, tally: dump.Tally, chunks: Iterator[bytes], counts: Counter[str]
) -> Iterator[Article]:
    first = next(chunks, b"")
    if not dump.LOOKS_LIKE_XML.match(first):
        yield from _plain_article(source, tally, first + b"".join(chunks), counts)
        return
    for page in dump.pages(source, tally, chain([first], chunks)):
        counts["pages"] += 1
        if page.redirect:
            counts["redirects"] += 1
        elif page.namespace not in (None, "0"):
            counts["outside"] += 1
        elif page.model != "wikitext":
            counts["data"] += 1
        elif text := wikitext.strip(page.text):
            yield Article(page.title, text)
        else:
            counts["empty"] += 1


def _plain_article(
    source: Path, tally: dump.Tally, content: bytes, counts: Counter[str]
) -> Iterator[Article]:
    if tally.cut_off:
        raise ShapelibError(
            f"{source} is cut off: its compressed text ends after {len(content)} bytes; "
            "a whole file is accepted"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ShapelibError(
            f"{source} is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}; "
            "a UTF-8 text file or a MediaWiki dump (XML) is accepted"
        ) from error
    for title, each in _lines(source, text) if _is_json(source, text) else [(stem(source), text)]:
        counts["pages"] += 1
        if cleaned := wikitext.normalise_whitespace(each):
            yield Article(title, cleaned)
        else:
            counts["empty"] += 1


def _is_json(source: Path, text: str) -> bool:
    """Whether a text is JSON lines. Raises `ShapelibError` where it is one JSON document."""
    text = text.strip()
    if not text.startswith(("{", "[")):
        return False
    with suppress(ValueError, RecursionError):
        if isinstance(json.loads(text.partition("\n")[0]), dict):
            return True
    with suppress(ValueError, RecursionError):
        json.loads(text)
        raise ShapelibError(
            f"{source} is one JSON document, not a text; JSON lines with a field called text are "
            "accepted: an object a line, an article each"
        )
    return False


def _lines(source: Path, text: str) -> Iterator[tuple[str, str]]:
    """Title and text of each object of JSON lines."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ShapelibError(
                f"{source} begins as JSON lines, but line {number} is no JSON: {error}"
            ) from error
        if not isinstance(found, dict) or not isinstance(found.get("text"), str):
            fields = ", ".join(map(str, found)) if isinstance(found, dict) else "no fields"
            raise ShapelibError(
                f"{source} is JSON lines, and line {number} has no text in a field called text "
                f"(it has {fields}); an object a line with that field is accepted"
            )
        title = found.get("title")
        yield title if isinstance(title, str) else f"{stem(source)}, line {number}", found["text"]


def stem(source: Path) -> str:
    """The title of a plain text: its file's name without suffixes of packing and kind."""
    name = re.sub(r"\.(?:bz2|gz|xz|zst|zip)$", "", source.name, flags=re.IGNORECASE)
    return Path(name).stem or name
