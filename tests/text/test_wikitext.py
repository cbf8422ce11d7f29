"""The stripper on hand-written wikitext: what must go, what must stay, and in what time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapelib.text import wikitext

strip = wikitext.strip

CASES = {
    "bold and italic": ("'''Bold''', ''italic'', '''''both'''''.", "Bold, italic, both."),
    "apostrophes stay": ("L''''amour''' and the dogs' bowl", "L'amour and the dogs' bowl"),
    "template": ("One {{citation needed|date=May 2010}} two", "One two"),
    "nested template": ("A{{a|{{b|{{c}}|x}}|{{d}}}}B", "AB"),
    "template over lines": ("{{Infobox\n| a = {{b}}\n| c = [[d|e]]\n}}\nProse.", "Prose."),
    "template before comma": ("The end {{cn}}, he said {{cn}}.", "The end, he said."),
    "lang": ("the {{lang|fr|mot juste}} and {{lang-de|Wort}}", "the mot juste and Wort"),
    "nowrap of a link": ("{{nowrap|[[a|Mr. B]]}} came", "Mr. B came"),
    "convert": ("It is {{convert|5|km|mi|abbr=on}} away", "It is 5 km away"),
    "convert range": ("{{convert|5|to|10|km2}} of sand", "5 to 10 km² of sand"),
    "quote": ("He said: {{quote|text=No. ''Never''.|source=Book}}", "He said: No. Never."),
    "as of": ("{{As of|2012}}, it stands", "As of 2012, it stands"),
    "dash": ("north{{ndash}}south", "north–south"),
    "parameter": ("a {{{1|default}}} b", "a b"),
    "empty parentheses": ("Rome ({{IPA|x}}; {{audio|y.ogg}}) is old", "Rome is old"),
    "half-empty parentheses": ("Rome ({{IPA|x}}; born 753 BC) is", "Rome (born 753 BC) is"),
    "other half": ("Rome (born 753 BC; {{IPA|x}}) is", "Rome (born 753 BC) is"),
    "comma before a hole": ("of x, {{math|y}}, and z", "of x, and z"),
    "link": ("[[cat]] and [[dog|hound]]", "cat and hound"),
    "link trail": ("[[word]]s of [[lang|tongue]]s", "words of tongues"),
    "pipe trick": ("[[Mercury (planet)|]] and [[Paris, Texas|]]", "Mercury and Paris"),
    "pipe trick with a namespace": ("see [[Help:Editing (how)|]]", "see Editing"),
    "section link": ("see [[#History]] and [[A#B|C]]", "see History and C"),
    "colon link": ("see [[:Category:Cats]]", "see Category:Cats"),
    "title with colon": ("[[Ben-Hur: A Tale]] won", "Ben-Hur: A Tale won"),
    "category": ("End.\n[[Category:Cats|Sort]]\n[[Catégorie:Chats]]", "End."),
    "interlanguage": ("End.\n[[fr:Chat]]\n[[zh-min-nan:Niau]]\n[[be-x-old:К]]", "End."),
    "project link": ("a [[wikt:word]] or [[s:Text|source]]", "a word or source"),
    "doi link": ("in [[doi:10.1/x|a paper]]", "in a paper"),
    "file": ("A[[File:a.jpg|thumb|A [[cat|big cat]] by {{x|[[y]]}} and [[z]]]]B", "AB"),
    "image line": ("[[Image:a.png|thumb|200px|Text (''x'')]]\nProse", "Prose"),
    "localized file": ("[[Datei:a.png|mini|B]] [[Fichier:c.png|d [[e]]]]x", "x"),
    "media link": ("[[Media:a.ogg|listen]] now", "now"),
    "external label": ("see [http://a.org/x?y=1 the ''site''] now", "see the site now"),
    "external bare": ("see [http://a.org] now", "see now"),
    "external relative": ("see [//a.org the site] now", "see the site now"),
    "brackets of prose": ("he said [sic] so", "he said [sic] so"),
    "ref": ("A.<ref>{{cite web|url=x}} p. 5</ref> B", "A. B"),
    "ref with name": ('A<ref name="b c">x\n\ny</ref>, B', "A, B"),
    "ref with slash": ("A<ref name=a />, B<ref name=c/>. C<ref name=d / > D", "A, B. C D"),
    "self-closing then full": ("A<ref name=a />B<ref>x</ref>C", "ABC"),
    "references": ("A\n==References==\n<references/>\n{{reflist}}", "A"),
    "grouped references": ("A\n<references>\n<ref name=a>x</ref>\n</references>\nB", "A\nB"),
    "comment": ("A<!-- [[x]] {{y -->B", "AB"),
    "comment over a line": ("A\n<!-- x\n\ny -->\nB", "A\nB"),
    "math": ("where <math>\\frac{{a}}{b}</math> is", "where is"),
    "code": ("use <code>a[[0]]</code> or <code>== b ==</code> here", "use or here"),
    "pre": ("A\n<pre>\n== x ==\n{{\n</pre>\nB", "A\n\nB"),
    "syntaxhighlight": ("A\n<syntaxhighlight lang='py'>a</syntaxhighlight>\nB", "A\n\nB"),
    "nowiki": ("type <nowiki>'quoted' & #1 | *</nowiki> here", "type 'quoted' & #1 | * here"),
    "nowiki at the end of a line": ("a <nowiki>&</nowiki>\nb <nowiki>-</nowiki>", "a &\nb -"),
    "nowiki hides a template": ("<nowiki>{{x}}</nowiki> is a template", "x is a template"),
    "gallery": ("A\n<gallery>\nFile:a.jpg|[[b]]\nImage:c.png\n</gallery>\nB", "A\n\nB"),
    "timeline": ("A\n<timeline>\nImageSize = width:1\n</timeline>\nB", "A\n\nB"),
    "html": ("H<sub>2</sub>O <font color=red>is</font> <b>wet</b>", "H2O is wet"),
    "line break": ("one<br />two<br>three", "one\ntwo\nthree"),
    "less than": ("if 1 < 2 and 3 > 2", "if 1 < 2 and 3 > 2"),
    "table": ("A\n{| class=x\n! h\n|-\n| a || [[b|c]]\n|}\nB", "A\n\nB"),
    "table in table": ("A\n{|\n| x\n{|\n| y\n|}\n| z\n|}\nB", "A\n\nB"),
    "table with template": ("A\n{|\n| {{x|a=b|}}\n|}\nB", "A\n\nB"),
    "indented table": ("A\n:{|\n| x\n|}\nB", "A\n\nB"),
    "HTML table": ("A\n<table border=1><tr><td>x</td></tr></table>\nB", "A\n\nB"),
    "headings": ("A\n== B ==\nC\n===D===\nE", "A\n\nB\n\nC\n\nD\n\nE"),
    "heading with comment": ("A\n==B==<!-- x -->\nC", "A\n\nB\n\nC"),
    "heading with template": ("A\n== {{anchor|x}} B ==\nC", "A\n\nB\n\nC"),
    "empty section": ("A\n==B==\n===C===\nD\n==E==\n==F==\n", "A\n\nB\n\nC\n\nD"),
    "lists": (
        "* one\n** two\n# three\n: four\n; five\n*#: six",
        "one\ntwo\nthree\nfour\nfive\nsix",
    ),
    "empty list line": ("* {{x}}\n* a\n*\n* <ref>x</ref>.", "a"),
    "rule": ("A\n----\nB", "A\nB"),
    "magic word": ("__NOTOC__\nA __FORCETOC__", "A"),
    "entities": ("5&nbsp;km &mdash; &alpha;&#946;&#x3b3; AT&T", "5 km — αβγ AT&T"),
    "doubly escaped": ("5&amp;nbsp;km &amp;amp;mdash; R&amp;D", "5 km — R&D"),
    "escaped tag": ("a &lt;b&gt;c&lt;/b&gt; d &lt;ref&gt;", "a c d"),
    "escaped bracket": ("&#91;&#91;x&#93;&#93; &#123;&#123;y", "x y"),
    "whitespace": ("a  b \t\n\n\n\n c\u00a0d ", "a b\n\nc d"),
    "windows line ends": ("a\r\n\r\nb", "a\n\nb"),
}


@pytest.mark.parametrize(("source", "plain"), CASES.values(), ids=list(CASES))
def test_markup(source: str, plain: str) -> None:
    assert strip(source) == plain


BROKEN = {
    "unclosed template": "Before {{cite book|title=x\nSame paragraph.\n\nAfter.",
    "unclosed infobox": "{{Infobox\n| a = b\n| c = d\nSame paragraph.\n\nAfter.",
    "unclosed inner template": "{{Infobox\n| a = {{b\n| c = d\n}}\nSame paragraph.\n\nAfter.",
    "unclosed ref": "Before.<ref>Book\nSame paragraph.\n\nAfter.<ref>x</ref>",
    "unclosed ref before a heading": "Before.<ref>x\n== H ==\nSame paragraph.\n\nAfter.</ref>",
    "ref without bracket": "Before.<ref name=x\nSame paragraph.\n\nAfter.",
    "unclosed link": "Before [[link.\nSame paragraph.\n\nAfter.",
    "unclosed file": "[[File:a.jpg|thumb|caption\nSame paragraph.\n\nAfter.",
    "single bracket": "Before [[link] x.\nSame paragraph.\n\nAfter [[a]].",
    "unclosed comment": "Before <!-- hidden\nSame paragraph.\n\nAfter.",
    "unclosed math": "Before <math>x\nSame paragraph.\n\nAfter.",
    "unclosed gallery": "<gallery>\nFile:a.jpg|b\n\nSame paragraph.\n\nAfter.",
    "unclosed table": "{|\n| a\n|-\n| b\n\nSame paragraph.\n\nAfter.",
    "link open in a table": "{|\n| [[a|b\n|}\nSame paragraph.\n\nAfter.",
    "stray closers": "Before }} ]] |} </ref> -->.\nSame paragraph.\n|}\n}}\n\nAfter.",
    "table rows alone": "|-\n| a || b\n! c !! d\nSame paragraph.\n\nAfter.",
    "unclosed external": "See [http://a.org the site.\nSame paragraph.\n\nAfter.",
    "unclosed quotes": "'''Before.\nSame ''paragraph.\n\nAfter'''''.",
}


@pytest.mark.parametrize("source", BROKEN.values(), ids=list(BROKEN))
def test_broken_markup_goes_and_the_prose_after_it_stays(source: str) -> None:
    plain = strip(source)
    assert "Same paragraph." in plain
    assert "After" in plain
    assert not any(leftover in plain for leftover in (*wikitext.LEFTOVERS, "|", "<", "http", "="))


def test_damage_ends_at_the_next_heading() -> None:
    plain = strip("{{a|\n[[b|\n{|\n| c\n\n== H ==\nAfter {{d}} it.")
    assert plain.endswith("H\n\nAfter it.")
    assert strip("{{a|x\n\n== H ==\nAfter. {{b}}\n}} it").endswith("H\n\nAfter.\nit")


PATHOLOGICAL = [
    *("{{", "}}", "[[", "]]", "{|\n", "\n|}", "<ref>", "</ref>", "<ref name=a", "<!--", "-->"),
    *("{{a|", "[[a|", "{{lang|fr|", "[http://a", "[http://a ", "''", "\n== ", "== a ==\n", "<"),
    *("{{{", "<pre>", "<pre>\n\n", "<nowiki>", "<b>", "&amp;", "(", "({{a}}", "{{a}},", "{{a}} "),
    *("* {{a}}\n", "<table>", "<ref><ref/>", "{[", "[[File:a|[[b]]", "{{a|\n|b\n", " ", "\n \n"),
]


@pytest.mark.parametrize("piece", PATHOLOGICAL)
def test_time_is_linear_in_the_page(piece: str) -> None:
    start = time.perf_counter()
    plain = strip(piece * 100_000 + "x")
    # Half a second is usual; anything quadratic would take minutes here.
    assert time.perf_counter() - start < 10
    assert not any(leftover in plain for leftover in wikitext.LEFTOVERS)


@pytest.mark.parametrize(
    ("opening", "closing"), [("{{lang|fr|", "}}"), ("[[a|", "]]"), ("{|\n", "\n|}"), ("{[", "[{")]
)
def test_deep_nests_take_no_longer(opening: str, closing: str) -> None:
    start = time.perf_counter()
    plain = strip(opening * 50_000 + "x" * 50_000 + closing * 50_000)
    assert time.perf_counter() - start < 10
    assert not any(leftover in plain for leftover in wikitext.LEFTOVERS)


TOKENS = (
    "{{ }} [[ ]] {| |} | || ! '' ''' < > <ref> </ref> <ref/> <!-- --> <nowiki> </nowiki> <math> "
    "</math> <pre> <table> </table> == = * # : ; & &amp; &lt; &#91; &#123; http:// [ ] { } ( ) , "
    ". File: Category: lang convert __TOC__ a b 1 ---- &#39;"
)
BLANKS = (" ", "\n", "\n\n", "\n== x ==\n", "\x01", "\r\n", "\u2028")
MARKUP = st.lists(st.sampled_from([*TOKENS.split(), *BLANKS]), max_size=60).map("".join)


@settings(max_examples=600, deadline=None)
@given(MARKUP)
def test_no_markup_survives_whatever_comes(source: str) -> None:
    plain = strip(source)
    assert not any(leftover in plain for leftover in wikitext.LEFTOVERS), plain
    assert wikitext.normalise_whitespace(plain) == plain
    assert "\x01" not in plain


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_any_text_is_accepted(source: str) -> None:
    strip(source)


SENTENCES = st.lists(
    st.text('abcXYZé漢0123456789 ,.;:()-?!"', min_size=1).filter(
        lambda line: line.strip()[:1] not in ("", "!", ":", ";", "-", ",", ".")
    ),
    max_size=8,
).map("\n".join)


@settings(max_examples=200, deadline=None)
@given(SENTENCES)
def test_plain_prose_only_has_its_whitespace_changed(prose: str) -> None:
    plain = strip(prose)
    assert plain == wikitext.normalise_whitespace(prose)
    assert strip(plain) == plain
