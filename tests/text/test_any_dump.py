"""Any dump, nested, cut anywhere, slots in any order, however packed: its pages, or one error."""

import bz2
import functools
import gzip
import lzma
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stress import often

from shapelib.errors import ShapelibError
from shapelib.text.corpus import load_corpus
from shapelib.text.dump import CutOff, Page, Tally, decompressed, pages

# XML 1.0 knows no other characters; a lone carriage return is read as a line's end.
LETTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
WORDS = st.text(LETTERS | st.sampled_from("\n\t"), max_size=20)
TITLES = st.text(st.characters(categories=["L"]), min_size=1, max_size=8)


@st.composite
def written(draw: st.DrawFn, words: st.SearchStrategy[str] = WORDS) -> tuple[str, str]:
    """A text, and one of the ways to write it in XML."""
    text = draw(words)
    way = draw(st.sampled_from(["escaped", "numbered", "CDATA"]))
    if way == "numbered":
        return text, "".join(f"&#{ord(each)};" for each in text)
    if way == "CDATA" and "]]>" not in text:
        return text, f"<![CDATA[{text}]]>"
    return text, escape(text)


@st.composite
def slots(draw: st.DrawFn) -> str:
    """What stands in a revision or a page besides, with texts that are no article."""
    _, inside = draw(written())
    return draw(
        st.sampled_from(
            [
                f"<content><role>mediainfo</role><model>json</model><text>{inside}</text></content>",
                f"<contributor><username>{inside}</username><text>{inside}</text></contributor>",
                f"<upload><page><title>{inside}</title><revision><text>{inside}</text></revision>"
                "</page></upload>",
                f"<comment>{inside}</comment>",
                "<minor/>",
                f"<!-- {inside.replace('-', '')} -->",
                "<text2/>",
                f"<x><text/><ns>7</ns>{inside}</x>",
            ]
        )
    )


@st.composite
def one_page(draw: st.DrawFn) -> tuple[Page, str]:
    """A page and its XML: everything in any order, several revisions, of which the last counts."""
    title, titled = draw(written(TITLES))
    namespace = draw(st.sampled_from([None, "0", "1", "14"]))
    parts = [f"<title>{titled}</title>", *draw(st.lists(slots(), max_size=2))]
    if namespace is not None:
        parts.append(f"<ns>{namespace}</ns>")
    redirect = draw(st.booleans())
    if redirect:
        parts.append('<redirect title="x"/>')
    revisions, text, model = [], "", "wikitext"
    for _ in range(draw(st.integers(0, 3))):
        text, inside = draw(written())
        model = draw(st.sampled_from(["wikitext", "json"]))
        own = [f'<text xml:space="preserve" bytes="7">{inside}</text>']
        own += draw(st.lists(slots(), max_size=2))
        if model != "wikitext" or draw(st.booleans()):
            own.append(f"<model>{model}</model>")
        revisions.append(f"<revision>{''.join(draw(st.permutations(own)))}</revision>")
    # Revisions stay in their order; the rest may stand anywhere among them.
    rest = draw(st.permutations(parts))
    at = draw(st.integers(0, len(rest)))
    xml = "".join([*rest[:at], *revisions, *rest[at:]])
    return Page(title, namespace, redirect, text, model), f"<page>{xml}</page>"


@st.composite
def dumps(draw: st.DrawFn) -> tuple[list[Page], bytes]:
    drawn = draw(st.lists(one_page(), max_size=4))
    space = draw(st.sampled_from(["", ' xmlns="http://www.mediawiki.org/xml/export-0.11/"']))
    between = draw(
        st.sampled_from(["", "\n", "<!-- between -->", "<logitem><text>x</text></logitem>"])
    )
    head = draw(st.sampled_from(["", '<?xml version="1.0"?>', "\ufeff"]))
    xml = between.join(xml for _, xml in drawn)
    return [page for page, _ in drawn], f"{head}<mediawiki{space}>{xml}</mediawiki>".encode()


def in_chunks(content: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@settings(max_examples=often(100, 10_000))
@given(dumps(), st.integers(1, 60), st.floats(0, 1), st.booleans())
def test_the_pages_of_a_dump_cut_anywhere(
    drawn: tuple[list[Page], bytes], size: int, share: float, whole: bool
) -> None:
    expected, content = drawn
    kept = content if whole else content[: int(share * len(content))]
    tally = Tally()
    try:
        found = list(pages(Path("d.xml"), tally, tally.watch(in_chunks(kept, size))))
    except ShapelibError as error:
        raise AssertionError("a dump that is merely cut off was refused") from error
    assert found == expected[: len(found)]
    assert tally.size == len(kept)
    if whole:
        assert len(found) == len(expected)
        assert not tally.cut_off
    else:
        # As many as had ended, by the ends that are no part of another element.
        ends = [at + len(b"</page>") for at in _ends(content)]
        assert len(found) == sum(at <= len(kept) for at in ends)
        assert tally.cut_off or kept.rstrip().endswith(b"</mediawiki>")


def _ends(content: bytes) -> list[int]:
    """Where pages end that stand in the dump itself: found by the depth of elements of that name,
    outside of CDATA and comments."""
    import re

    depth, found = 0, []
    pattern = rb"<!\[CDATA\[.*?\]\]>|<!--.*?-->|<page>|</page>"
    for match in re.finditer(pattern, content, re.DOTALL):
        if match[0] == b"<page>":
            depth += 1
        elif match[0] == b"</page>":
            depth -= 1
            if depth == 0:
                found.append(match.start())
    return found


def zipped(content: bytes) -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("dump.xml", content)
    return target.getvalue()


def zstd(content: bytes) -> bytes:
    import pyarrow

    return bytes(pyarrow.Codec("zstd").compress(content).to_pybytes())


PACK = {
    "plain": bytes, "bz2": bz2.compress, "gz": gzip.compress, "zip": zipped,
    "xz": functools.partial(lzma.compress, preset=0),
    "zstd": zstd,
}  # fmt: skip


@settings(
    max_examples=often(100, 10_000), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(dumps(), st.sampled_from(sorted(PACK)), st.floats(0, 1), st.integers(0, 255), st.booleans())
def test_a_packed_dump_cut_or_spoiled_anywhere(
    tmp_path: Path, drawn: tuple[list[Page], bytes], kind: str, share: float, flip: int, cut: bool
) -> None:
    """Cut: its beginning, and never more. A byte changed: one error, or what reading gives. What is
    whole is read whole."""
    _, content = drawn
    packed = bytearray(PACK[kind](content))
    at = min(int(share * len(packed)), len(packed) - 1)
    if cut:
        del packed[at:]
    else:
        packed[at] ^= flip
    file = tmp_path / "dump.bin"
    file.write_bytes(packed)
    found = b""
    try:
        with decompressed(file) as chunks:
            for chunk in chunks:
                found += chunk
    except (ShapelibError, CutOff):
        pass
    else:
        # A format that has a sum of its content notices; zip and plain files may end anywhere.
        if kind in ("bz2", "xz") and not cut and found:
            assert found == content or not found.startswith(b"<")
    if cut and kind != "plain":
        assert content.startswith(found) or found == bytes(packed)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHAPELIB_CACHE", str(tmp_path / "cache"))
    return tmp_path


MIXED = st.one_of(
    st.binary(max_size=80),
    dumps().map(lambda each: each[1]),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b'{"text": "a b"}\n', b'{"text": 1}', b"[1]", b"<a>", b"<mediawiki>"]),
)


@settings(
    max_examples=often(60, 10_000), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(MIXED, st.sampled_from(sorted(PACK)), st.floats(0, 1), st.integers(0, 255))
def test_any_file_is_a_corpus_or_one_error(
    cache: Path, content: bytes, kind: str, share: float, flip: int
) -> None:
    packed = bytearray(PACK[kind](content))
    if flip and packed:
        packed[min(int(share * len(packed)), len(packed) - 1)] ^= flip
    file = cache / "any.file"
    file.write_bytes(packed)
    try:
        corpus = load_corpus(file)
    except ShapelibError as error:
        named = "any.file" in str(error)
    else:
        named = True
        assert corpus.articles
        assert all(each.text.strip() for each in corpus.articles)
        assert load_corpus(file) == corpus
    assert named
    left = [each.name for each in (cache / "cache").rglob(".*building*")]
    assert left == []
