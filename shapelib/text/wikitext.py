"""Wikitext in, plain prose out.

Wikitext has no grammar: real pages hold unclosed braces, references that never end and tables
with half a link in a cell. A parser that must understand a page gives up on such a part and hands
it back as it stands. This stripper never gives up: it walks once over the page with a stack,
throws away what never closes up to the end of its line, its paragraph or its section, and keeps
the prose that follows. The time it takes grows linearly with the page, whatever is in it.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_left

from shapelib.text.brackets import HOLE, without_brackets

__all__ = ["LEFTOVERS", "normalise_whitespace", "strip"]

LEFTOVERS = ("{{", "}}", "[[", "]]", "''", "<ref", "&lt;", "{|")
"""Strings whose presence in cleaned text would show that markup survived."""

# What <nowiki> protects is written, until all markup is gone, in characters of private use, which
# no page keeps: control characters would be stripped as blanks.
_SHIELDED = "{}[]'<>|=*#:;!-_&"
_SHIELD = str.maketrans(_SHIELDED, "".join(map(chr, range(0xF0000, 0xF0000 + len(_SHIELDED)))))
_UNSHIELD = {shield: letter for letter, shield in _SHIELD.items()}
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\u200b\ufeff\u00ad\U000f0000-\U000f001f]")

_INLINE = frozenset({"ref", "math", "ce", "chem", "code"})
_DISPLAYED = frozenset(
    {"gallery", "graph", "imagemap", "pre", "source", "syntaxhighlight", "timeline"}
)
_DROPPED = (
    "categorytree|ce|chem|code|gallery|graph|hiero|imagemap|includeonly|indicator|inputbox|"
    "mapframe|maplink|math|pre|ref|references|score|script|source|style|syntaxhighlight|"
    "templatedata|templatestyles|timeline"
)
_BLOCK = (
    "blockquote|br|caption|center|col|colgroup|dd|div|dl|dt|h1|h2|h3|h4|h5|h6|hr|li|ol|p|poem|"
    "section|table|tbody|td|tfoot|th|thead|tr|ul"
)
_SPAN = (
    "a|abbr|b|bdi|bdo|big|cite|data|del|dfn|em|font|i|img|ins|kbd|label|mark|noinclude|nobr|"
    "nowiki|onlyinclude|q|rb|rp|rt|ruby|s|samp|small|span|strike|strong|sub|sup|time|translate|"
    "tt|u|var|wbr"
)
_RAW = re.compile(rf"<!--|<(/?)(nowiki|{_DROPPED})(?=[\s/>])([^<>]*)>", re.IGNORECASE)
_CLOSED_RAW = re.compile(rf"-->|</(nowiki|{_DROPPED})\s*>", re.IGNORECASE)
_BLOCK_TAG = re.compile(rf"</?(?:{_BLOCK})(?=[\s/>])[^<>]*>", re.IGNORECASE)
_SPAN_TAG = re.compile(rf"</?(?:{_SPAN}|{_DROPPED})(?=[\s/>])[^<>]*>", re.IGNORECASE)
_HEADING = re.compile(rf"^(={{2,6}})[^\n]*?(={{2,6}})[ \t{HOLE}]*$", re.MULTILINE)
_EXTERNAL = re.compile(
    r"\[[ \t]*(?:(?:https?|ftp|irc|gopher|news)?:?//|mailto:)[^\s\[\]<>]*+[ \t]*+([^\[\]\n]*+)\]",
    re.IGNORECASE,
)
_EXTERNAL_OPEN = re.compile(r"\[[ \t]*(?:https?|ftp)://[^\s\[\]<>]*", re.IGNORECASE)
_MAGIC_WORD = re.compile(r"__[A-Z]{3,20}__")
_LIST_MARKER = re.compile(r"[*#:;]+[ \t]*")
_QUOTES = re.compile(r"''+")
_TABLE_LINE = re.compile(rf"{HOLE}*\s*(?:\||\{{\||!.*(?:\||!!))")
_MEDIA_LINE = re.compile(r"(?:file|image|datei|bild|fichier)\s*:[^|\n]*\|", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_RESIDUE = re.compile(r"\{\{+|\}\}+|\[\[+|\]\]+|''+|\{\||\|\}|</?ref(?:erences)?\b[^<>\n]*>?|&lt;")


def strip(wikitext: str) -> str:
    """The prose of one page of wikitext, without any markup.

    Gone: comments, templates (but for those that only wrap or format a text), tables, references,
    code, formulas, media with their captions, galleries, timelines, HTML tags, category and
    interlanguage links, magic words, headings of sections that hold nothing. Kept: the labels of
    links, headings as plain lines, list items without their markers, what `<nowiki>` protects.
    Entities are decoded. Never raises; takes time linear in the length of the page.
    """
    text = _CONTROL.sub("", wikitext.replace("\r\n", "\n"))
    text = _without_raw_elements(text)
    text = without_brackets(text)
    text = _EXTERNAL.sub(lambda match: match[1] or HOLE, text)
    text = _EXTERNAL_OPEN.sub(HOLE, text)
    text = _plain_lines(_without_tags(text))
    # Decoding shows the tags that were written as entities.
    text = _without_tags(_decoded(text.translate(_UNSHIELD)))
    return normalise_whitespace(_without_residue(_mended(text)))


def normalise_whitespace(text: str) -> str:
    """`text` with single spaces, no blanks at either end of a line, at most one blank line.

    Every kind of blank (tabs, no-break and thin spaces) becomes an ordinary space.
    """
    text = re.sub(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", "\n", text)
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _without_raw_elements(text: str) -> str:
    """Comments and elements whose content is no prose, taken out; `<nowiki>` content shielded."""
    closers: dict[str, list[tuple[int, int]]] = {}
    for closing in _CLOSED_RAW.finditer(text):
        closers.setdefault((closing[1] or "-->").lower(), []).append(closing.span())
    headings = [match.start() for match in _HEADING.finditer(text)]

    kept: list[str] = []
    position = 0
    while match := _RAW.search(text, position):
        kept.append(text[position : match.start()])
        position = match.end()
        name = (match[2] or "-->").lower()
        if match[1] or (match[3] or "").rstrip().endswith("/"):
            kept.append(HOLE)
            continue
        spans = closers.get(name, [])
        index = bisect_left(spans, (position, 0))
        closer = spans[index] if index < len(spans) else None
        if closer is not None and _closes(text, name, position, closer[0], headings):
            content, position = text[position : closer[0]], closer[1]
            if name == "nowiki":
                kept.append(content.translate(_SHIELD))
            else:
                kept.append("\n\n" if name in _DISPLAYED else HOLE)
        elif name != "nowiki":
            kept.append(HOLE)
            position = _end_of_damage(text, name, position)
    kept.append(text[position:])
    return "".join(kept)


def _closes(text: str, name: str, start: int, end: int, headings: list[int]) -> bool:
    """Whether the closer at `end` belongs to the element opened before `start`.

    A reference does not reach over a heading or over the next reference's opening: there, the
    first one was never closed, and what lies between is prose.
    """
    if name not in _INLINE:
        return True
    index = bisect_left(headings, start)
    if index < len(headings) and headings[index] < end:
        return False
    while (start := text.find("<" + name, start, end)) >= 0:
        tag_end = text.find(">", start, end)
        if tag_end < 0 or not text[start:tag_end].rstrip().endswith("/"):
            return False
        start = tag_end
    return True


def _end_of_damage(text: str, name: str, start: int) -> int:
    """Where the content of an element that is never closed ends, as far as one can tell."""
    reopened = text.find("<!--" if name == "-->" else "<" + name, start)
    limit = len(text) if reopened < 0 else reopened
    end = text.find("\n" if name in _INLINE or name == "-->" else "\n\n", start, limit)
    return limit if end < 0 else end


def _without_tags(text: str) -> str:
    return _SPAN_TAG.sub("", _BLOCK_TAG.sub("\n", text))


def _plain_lines(text: str) -> str:
    """Headings, lists and quotes made plain; residue of tables and galleries dropped.

    A heading waits until its section shows a line of its own: one that never does ("References"
    with its list taken out) is not written.
    """
    kept: list[str] = []
    waiting: list[tuple[int, str]] = []
    for raw_line in _MAGIC_WORD.sub(HOLE, text).split("\n"):
        line = _QUOTES.sub(_apostrophe, raw_line).strip()
        heading = _HEADING.match(line)
        if heading:
            level = min(len(heading[1]), len(heading[2]))
            title = line.strip(HOLE + "= \t")
            while waiting and waiting[-1][0] >= level:
                waiting.pop()
            if title.strip(HOLE):
                waiting.append((level, title))
            continue
        if _TABLE_LINE.match(line):
            continue
        if _MEDIA_LINE.match(line) or re.match(r"-{4,}$", line):
            continue
        marker = _LIST_MARKER.match(line)
        if marker:
            line = line[marker.end() :]
        if line.strip(HOLE + " .,;:"):
            for _, title in waiting:
                kept += ["", title, ""]
            waiting.clear()
            kept.append(line)
        elif not line:
            kept.append("")
    return "\n".join(kept)


def _apostrophe(quotes: re.Match[str]) -> str:
    # Four or more than five quotes are a bold or italic mark beside a real apostrophe.
    return "'" if len(quotes[0]) == 4 or len(quotes[0]) > 5 else ""


def _decoded(text: str) -> str:
    """Entities as characters, however often their ampersand was escaped."""
    text = re.sub(r"&(?:amp;)+", "&", text)
    # Twice, for an ampersand that was a numbered entity itself: &#38;lt;
    text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text)


def _mended(text: str) -> str:
    """Prose closed up where something was taken out: no empty brackets, no blank before a comma.

    Only holes are looked at, so that prose which never held markup stays as it was written.
    """
    if HOLE not in text:
        return text
    text = re.sub(r"[^\S\n]+", " ", text)
    text = re.sub(rf"{HOLE}(?:[ ,;:]*{HOLE})+", HOLE, text)
    text = re.sub(rf"^ ?{HOLE}(?:[ ,;:–—]+|[ .]*$)", "", text, flags=re.M)
    hole = rf"(?:[ ,;:/]*{HOLE})+"
    text = re.sub(rf"\({hole}[ ,;:/]*\)", HOLE, text)
    text = re.sub(rf"\({hole}[ ,;:]*", "(", text)
    text = re.sub(rf"[ ,;]{{0,3}}{HOLE}[ ,;:{HOLE}]*\)", ")", text)
    text = re.sub(
        rf"[ ,;]{{0,2}}{HOLE} ?(?=[,.;:!?)](?:[\s\"'”’)\]{HOLE}]|$))", "", text, flags=re.M
    )
    return re.sub(rf"(?<=[\s(]){HOLE} |{HOLE}", "", text)


def _without_residue(text: str) -> str:
    """`text` without the markup that was too broken to be read as such."""
    for _ in range(4):
        text, found = _RESIDUE.subn("", text)
        if not found:
            return text
    # Removing a pair can push two halves together; past a few rounds, every half goes.
    return _RESIDUE.sub("", re.sub(r"[{}\[\]<&]|'+", "", text))
