"""A file as bytes, a MediaWiki XML dump as pages: streamed, in bounded memory.

Neither needs a whole file: one that is cut off is read up to where it ends.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast
from xml.parsers import expat

import numpy as np

from shapelib.errors import ShapelibError

__all__ = ["LOOKS_LIKE_XML", "CutOff", "Page", "Tally", "decompressed", "pages"]

LOOKS_LIKE_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|!--|!DOCTYPE|[A-Za-z][\w.:-]*[\s/>])")

PACKED = ".bz2, .gz, .xz, .zst, .zip"
"""How a text or a dump may be packed."""
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
        elif magic == b"\xfd7zX":
            stream = lzma.LZMAFile(file)  # noqa: SIM115
        elif magic == b"\x28\xb5\x2f\xfd":
            stream = _zstandard(source)
        else:
            _refuse_known(source, file)
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
        except (OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError,
                NotImplementedError) as error:  # fmt: skip
            raise ShapelibError(f"{source} cannot be decompressed: {error}") from error
        if not chunk:
            return
        yield chunk


# Files that are no text and no dump, by how they begin.
_KNOWN = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!\x1a\x07": "a RAR archive", b"%PDF-": "a PDF",
    b"PAR1": "a Parquet table", b"SQLite format 3": "an SQLite database",
    b"\x04\x22\x4d\x18": "compressed with lz4", b"\x1f\x9d": "compressed with compress",
}  # fmt: skip
_TAR = 257


def _refuse_known(source: Path, file: IO[bytes]) -> None:
    """Name the format of a file that nothing here reads."""
    start = file.read(_TAR + 5)
    file.seek(0)
    kinds = [kind for magic, kind in _KNOWN.items() if start.startswith(magic)]
    if start[_TAR:] == b"ustar":
        kinds.append("a tar archive")
    if kinds:
        raise ShapelibError(
            f"{source} is {kinds[0]}; unpack it first: a MediaWiki dump (XML) or a UTF-8 text "
            f"file is accepted, plain or {PACKED}"
        )


def _zstandard(source: Path) -> io.BufferedIOBase:
    """A stream of a Zstandard file, whatever its number of frames."""
    import pyarrow

    raw = pyarrow.CompressedInputStream(pyarrow.OSFile(str(source)), "zstd")
    return cast("io.BufferedIOBase", io.BufferedReader(_Raw(raw)))


class _Raw(io.RawIOBase):
    """Arrow's stream as one of Python's."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        try:
            chunk = self.stream.read(len(room))
        except OSError as error:
            if "Truncated" in str(error):
                raise EOFError from error
            raise
        room[: len(chunk)] = chunk
        return len(chunk)


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
    """A page's newest revision; `namespace` is None where neither tag nor title gives one."""

    title: str
    namespace: str | None
    redirect: bool
    text: str
    model: str = "wikitext"
    """What the text is, as the dump says: ``wikitext``, or data such as ``json``."""


def pages(source: Path, tally: Tally, chunks: Iterable[bytes]) -> Iterator[Page]:
    """The pages of the dump `source`, one at a time; one that ends early sets `tally.cut_off`.

    An element counts where the format has its place (a page's title, its revision's text), and
    nowhere else: a revision may have further slots, with texts that are no article. `chunks` is the
    content as `tally` watched it pass. Raises `ShapelibError` for XML that is broken, no MediaWiki
    dump, or has a document type: no dump has one, and entities may be declared in it.
    """
    reader = _Reader(source)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.data
    parser.StartDoctypeDeclHandler = reader.doctype
    try:
        for chunk in chunks:
            parser.Parse(chunk, False)
            yield from reader.taken()
    except expat.ExpatError as error:
        raise ShapelibError(f"{source} is XML, but broken: {error}") from error
    try:
        parser.Parse(b"", True)
    except expat.ExpatError:
        tally.cut_off = True
    yield from reader.taken()


_SPACE = ("mediawiki", "siteinfo", "namespaces", "namespace")
_PAGE = ("mediawiki", "page")
_REVISION = (*_PAGE, "revision")
# What is kept of a page, by its place.
_FIELDS = {
    (*_PAGE, "title"): "title", (*_PAGE, "ns"): "namespace", (*_REVISION, "model"): "model",
    (*_REVISION, "text"): "text",
}  # fmt: skip


class _Reader:
    """Gathers pages from the events of a parser."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.spaces: set[str] = set(_NAMESPACES)
        self.path: tuple[str, ...] = ()
        self.found: dict[str, str] = {}
        self.redirect = False
        self.words: list[str] | None = None
        self.done: list[Page] = []

    def start(self, name: str, _: object) -> None:
        tag = name.rpartition(" ")[2]
        if not self.path and tag != "mediawiki":
            raise ShapelibError(
                f"{self.source} is XML, but no MediaWiki dump: its outermost element is <{tag}>, "
                "not <mediawiki>; a text file must not begin with a tag"
            )
        self.path = (*self.path, tag)
        if self.path == _PAGE:
            self.found, self.redirect = {}, False
        elif self.path == _REVISION:
            # The last revision of a page is its newest.
            self.found.pop("text", None)
            self.found.pop("model", None)
        elif self.path == (*_PAGE, "redirect"):
            self.redirect = True
        elif self.path in _FIELDS or self.path == _SPACE:
            self.words = []

    def data(self, text: str) -> None:
        if self.words is not None and (self.path in _FIELDS or self.path == _SPACE):
            self.words.append(text)

    def end(self, _: str) -> None:
        if self.path in _FIELDS:
            self.found[_FIELDS[self.path]] = "".join(self.words or ())
            self.words = None
        elif self.path == _SPACE:
            if name := "".join(self.words or ()).strip():
                self.spaces.add(name.lower())
            self.words = None
        elif self.path == _PAGE:
            self.done.append(self._page())
        self.path = self.path[:-1]

    def doctype(self, name: str, _system: object, _public: object, declares: bool) -> None:
        # Of another kind of document the outermost element tells better what it is.
        if declares or name == "mediawiki":
            raise ShapelibError(
                f"{self.source} is XML with a document type ({name}), in which entities may be "
                "declared; MediaWiki dumps have none, and no other XML is accepted"
            )

    def taken(self) -> list[Page]:
        """The pages that ended since the last call."""
        done, self.done = self.done, []
        return done

    def _page(self) -> Page:
        title = self.found.get("title", "").strip()
        namespace = self.found["namespace"].strip() if "namespace" in self.found else None
        text = self.found.get("text", "")
        prefix, colon, _ = title.partition(":")
        if namespace is None and colon and prefix.strip().replace("_", " ").lower() in self.spaces:
            namespace = prefix
        redirect = self.redirect or bool(_REDIRECT.match(text))
        model = self.found.get("model", "").strip() or "wikitext"
        return Page(title, namespace, redirect, text, model)
