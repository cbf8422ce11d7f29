"""A file as bytes, a MediaWiki XML dump as pages: streamed, in bounded memory.

Neither needs a whole file: one that is cut off is read up to where it ends.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

import numpy as np

from shapelib.errors import ShapelibError

__all__ = ["LOOKS_LIKE_XML", "CutOff", "Page", "Tally", "decompressed", "pages"]

LOOKS_LIKE_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|!--|!DOCTYPE|[A-Za-z][\w.:-]*[\s/>])")

_CHUNK = 1 << 18
_REDIRECT = re.compile(
    r"\s*#\s*(?:redirect|redirection|weiterleitung)\b\s*:?\s*\[\[", re.IGNORECASE
)
# For dumps that name no namespaces; a dump's own list is added to these.
_NAMESPACES = frozenset(
    f"{space}{talk}".strip()
    for space in (
        "", "book", "category", "draft", "file", "help", "image", "mediawiki", "module", "portal",
        "template", "timedtext", "user", "wikipedia",
    )
    for talk in ("", " talk")
) - {""} | {"media", "special"}  # fmt: skip


class CutOff(Exception):
    """A compressed stream ended before its end."""


@contextmanager
def decompressed(source: Path) -> Iterator[Iterator[bytes]]:
    """The content of a file in chunks; how it is compressed is read from its first bytes."""
    with source.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        stream: io.BufferedIOBase
        if magic.startswith(b"BZh"):
            stream = bz2.BZ2File(file)
        elif magic.startswith(b"\x1f\x8b"):
            stream = gzip.GzipFile(fileobj=file)
        elif magic == b"PK\x03\x04":
            stream = _zip_member(source, file)
        else:
            stream = file
        with stream:
            yield _chunks(source, stream)


def _chunks(source: Path, stream: io.BufferedIOBase) -> Iterator[bytes]:
    # read1 hands over what was decompressed before the stream broke off; read would lose it.
    while True:
        try:
            chunk = stream.read1(_CHUNK)
        except EOFError:
            raise CutOff from None
        except (OSError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
            raise ShapelibError(f"{source} cannot be decompressed: {error}") from error
        if not chunk:
            return
        yield chunk


def _zip_member(source: Path, file: IO[bytes]) -> io.BufferedIOBase:
    """The one member of an archive that is a dump or a text."""
    try:
        archive = zipfile.ZipFile(file)
        members = [
            member
            for member in archive.infolist()
            if not (member.is_dir() or re.search(r"(?:^|/)(?:\.|__MACOSX/)", member.filename))
        ]
        if len(members) > 1:
            members = [
                member
                for member in members
                if re.search(r"(?i)\.(?:xml|txt|md)$|enwik", member.filename)
            ] or members
        if len(members) != 1:
            found = ", ".join(member.filename for member in members[:8]) or "nothing"
            raise ShapelibError(
                f"{source} holds {found}: an archive with one dump or text is accepted; "
                "unpack the file you mean and give its path"
            )
        return cast("io.BufferedIOBase", archive.open(members[0]))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise ShapelibError(f"{source} cannot be opened as a zip archive: {error}") from error


class Tally:
    """Size, hash and byte values of a source, gathered as its chunks pass by.

    `cut_off`: it ended before its end, that of its compression or that of its dump.
    """

    def __init__(self) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self.values = np.zeros(256, dtype=np.int64)
        self.cut_off = False

    def watch(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for chunk in chunks:
                self.size += len(chunk)
                self.digest.update(chunk)
                self.values += np.bincount(np.frombuffer(chunk, dtype=np.uint8), minlength=256)
                yield chunk
        except CutOff:
            self.cut_off = True


@dataclass(frozen=True)
class Page:
    """A page's newest wikitext; `namespace` is None where neither tag nor title gives one."""

    title: str
    namespace: str | None
    redirect: bool
    text: str


def pages(source: Path, tally: Tally, chunks: Iterable[bytes]) -> Iterator[Page]:
    """The pages of the dump `source`, one at a time; one that ends early sets `tally.cut_off`.

    `chunks` is its content as `tally` watched it pass. Raises `ShapelibError` for XML that is
    broken or no MediaWiki dump.
    """
    parser: XMLPullParser[Element] = XMLPullParser(("start", "end"))
    spaces: set[str] = set(_NAMESPACES)
    stack: list[Element] = []

    def finished() -> Iterator[Page]:
        events: Iterator[Any] = parser.read_events()
        for event, element in events:
            tag = _local(element)
            if event == "start":
                if not stack and tag != "mediawiki":
                    raise ShapelibError(
                        f"{source} is XML, but no MediaWiki dump: its outermost element is "
                        f"<{tag}>, not <mediawiki>; a text file must not begin with a tag"
                    )
                stack.append(element)
                continue
            stack.pop()
            if tag == "namespace" and element.text:
                spaces.add(element.text.strip().lower())
            if tag == "page":
                yield _page(element, spaces)
            if tag in ("page", "siteinfo"):
                # The tree grows by every finished page; without this, memory does.
                stack[-1].clear()

    try:
        for chunk in chunks:
            parser.feed(chunk)
            yield from finished()
    except ParseError as error:
        raise ShapelibError(f"{source} is XML, but broken: {error}") from error
    try:
        parser.close()
    except ParseError:
        tally.cut_off = True
    yield from finished()


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _page(element: Element, spaces: set[str]) -> Page:
    title = text = ""
    namespace: str | None = None
    redirect = False
    for child in element.iter():
        tag = _local(child)
        if tag == "title":
            title = (child.text or "").strip()
        elif tag == "ns":
            namespace = (child.text or "").strip()
        elif tag == "redirect":
            redirect = True
        elif tag == "text":
            # The last revision of a page is its newest.
            text = child.text or ""
    prefix, colon, _ = title.partition(":")
    if namespace is None and colon and prefix.strip().replace("_", " ").lower() in spaces:
        namespace = prefix
    return Page(title, namespace, redirect or bool(_REDIRECT.match(text)), text)
