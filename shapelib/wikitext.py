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
from dataclasses import dataclass, field

__all__ = ["LEFTOVERS", "normalise_whitespace", "strip"]

LEFTOVERS = ("{{", "}}", "[[", "]]", "''", "<ref", "&lt;", "{|")
"""Strings whose presence in cleaned text would show that markup survived."""

# XML forbids these control characters, so no page holds them and they can stand for other things.
_HOLE = "\x01"
_SHIELDED = "{}[]'<>|=*#:;!-_&"
_SHIELD = str.maketrans(_SHIELDED, "".join(map(chr, range(0x0E, 0x0E + len(_SHIELDED)))))
_UNSHIELD = {shield: letter for letter, shield in _SHIELD.items()}
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\u200b\ufeff\u00ad]")

# A deeper nest than this is an attack or an accident, and costs a copy of its inside per level.
_DEEPEST = 40

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
_HEADING = re.compile(r"^(={2,6})([^\n]*?)(={2,6})[ \t\x01]*$", re.MULTILINE)
_BRACKET = re.compile(
    r"\{\{|\}\}|\[\[|\]\]"
    r"|(?P<table>^[ \t:*#]*\{\||<table(?=[\s>])[^<>]*>)"
    r"|(?P<end>^[ \t]*\|\}(?!\})|</table\s*>)"
    r"|(?P<heading>^(?===[^\n]*==[ \t\x01]*$))"
    r"|(?P<blank>\n[ \t]*\n)",
    re.MULTILINE | re.IGNORECASE,
)
_EXTERNAL = re.compile(
    r"\[[ \t]*(?:(?:https?|ftp|irc|gopher|news)?:?//|mailto:)[^\s\[\]<>]*+[ \t]*+([^\[\]\n]*+)\]",
    re.IGNORECASE,
)
_EXTERNAL_OPEN = re.compile(r"\[[ \t]*(?:https?|ftp)://[^\s\[\]<>]*", re.IGNORECASE)
_MAGIC_WORD = re.compile(r"__[A-Z]{3,20}__")
_LIST_MARKER = re.compile(r"[*#:;]+[ \t]*")
_QUOTES = re.compile(r"''+")
_MEDIA_LINE = re.compile(r"(?:file|image|datei|bild|fichier)\s*:[^|\n]*\|", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_RESIDUE = re.compile(r"\{\{+|\}\}+|\[\[+|\]\]+|''+|\{\||\|\}|</?ref(?:erences)?\b[^<>\n]*>?|&lt;")


def _names(text: str) -> frozenset[str]:
    return frozenset(name.replace("_", " ") for name in text.split())


_MEDIA = _names(
    "file image media datei bild fichier archivo imagen immagine ficheiro imagem bestand "
    "afbeelding plik grafika файл изображение fil"
)
_CATEGORY = _names(
    "category kategorie catégorie categoría categoria categorie kategoria категория kategori"
)
_INTERLANGUAGE = re.compile(
    r"(?!doi:|hdl:|wp:|mw:)(?:[a-z]{2,3}(?:-[a-z]{1,12}){0,3}|simple|tokipona|minnan):\S"
)
_PROJECTS = _names(
    "b c commons d m meta n q s species v voy w wikt wikibooks wikinews wikipedia wikiquote "
    "wikisource wikispecies wikiversity wikivoyage wiktionary"
)
# Templates that only wrap a text: which of their positional values is that text.
_FIRST = _names(
    "abbr abbrlink angbr angle_bracket as_written big blockquote bold cquote em flag flagcountry "
    "flagu italic keypress larger linktext mono mvar nihongo nobold nobr nobreak noitalic nowrap "
    "nq nts quotation quote resize sc script/arabic script/hebrew small smallcaps smaller strong "
    "sub sup tooltip val var vanchor visible_anchor"
)
_LAST = _names("lang native_name native_phrase script transl transliteration")
_JOINED = {"frac": "/", "sfrac": "/", "fraction": "/", "uss": " ", "hms": " ", "ss": " "}
_GLYPHS = {
    "'": "'", "'s": "'s", "·": " · ", "•": " • ", "ndash": "–", "mdash": "—", "snd": " – ",
    "spaced ndash": " – ", "spd": " – ", "nbsp": " ", "thinsp": " ", "spaces": " ", "space": " ",
    "!": "|", "=": "=", "pipe": "|", "mdashb": "—", "dash": " – ", "sp": " ", "zwj": "",
}  # fmt: skip
_RANGES = {"-": "–", "–": "–", "to": " to ", "and": " and ", "or": " or ", "x": " × ", "by": " by "}
_UNITS = {
    "sqmi": "square miles", "sqkm": "km2", "ft": "feet", "mi": "miles", "in": "inches",
    "lb": "pounds", "C": "°C", "F": "°F", "acre": "acres", "yd": "yards", "sqft": "square feet",
}  # fmt: skip
_MULTIPLES = {"e3": "thousand", "e6": "million", "e9": "billion", "e12": "trillion"}
_SUPERSCRIPTS = str.maketrans("23", "²³")


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
    text = _without_brackets(text)
    text = _EXTERNAL.sub(lambda match: match[1] or _HOLE, text)
    text = _EXTERNAL_OPEN.sub(_HOLE, text)
    text = _SPAN_TAG.sub("", _BLOCK_TAG.sub("\n", text))
    text = _plain_lines(text)
    text = _decoded(text.translate(_UNSHIELD))
    text = _SPAN_TAG.sub("", _BLOCK_TAG.sub("\n", text))
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
            kept.append(_HOLE)
            continue
        spans = closers.get(name, [])
        index = bisect_left(spans, (position, 0))
        closer = spans[index] if index < len(spans) else None
        if closer is not None and _closes(text, name, position, closer[0], headings):
            content, position = text[position : closer[0]], closer[1]
            if name == "nowiki":
                kept.append(content.translate(_SHIELD))
            else:
                kept.append("\n\n" if name in _DISPLAYED else _HOLE)
        elif name != "nowiki":
            kept.append(_HOLE)
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


@dataclass
class _Frame:
    """An opened bracket and what has been read since."""

    kind: str
    parts: list[str] = field(default_factory=list)

    def text(self) -> str:
        return "".join(self.parts)


def _without_brackets(text: str) -> str:
    """Templates, links and tables replaced by what they leave in the prose."""
    text = re.sub(r"\{\{\{[^{}]*\}\}\}", _HOLE, text)
    stack = [_Frame("page")]
    depths = {"{{": 0, "[[": 0, "{|": 0}

    def close_frame(render: bool) -> None:
        frame = stack.pop()
        depths[frame.kind] -= 1
        content = frame.text()
        stack[-1].parts.append(_rendered(frame.kind, content) if render else _salvaged(frame))

    def open_frame(kind: str) -> None:
        if len(stack) <= _DEEPEST:
            stack.append(_Frame(kind))
            depths[kind] += 1

    def close_kind(kind: str) -> None:
        if not depths[kind]:
            return
        while stack[-1].kind != kind:
            close_frame(render=False)
        close_frame(render=True)

    position = 0
    for match in _BRACKET.finditer(text):
        stack[-1].parts.append(text[position : match.start()])
        position = match.end()
        token = match[0]
        if token in ("{{", "[["):
            open_frame(token)
        elif token == "}}":
            close_kind("{{")
        elif token == "]]":
            close_kind("[[")
        elif match["table"]:
            open_frame("{|")
        elif match["end"]:
            close_kind("{|")
        else:
            # No link reaches over a blank line, and nothing at all over a heading.
            while len(stack) > 1 and (match["heading"] is not None or stack[-1].kind == "[["):
                close_frame(render=False)
            stack[-1].parts.append(token)
    stack[-1].parts.append(text[position:])
    while len(stack) > 1:
        close_frame(render=False)
    return stack[0].text()


def _rendered(kind: str, content: str) -> str:
    if kind == "[[":
        return _link(content)
    if kind == "{{":
        return _template(content)
    return "\n" + _HOLE + "\n"


def _salvaged(frame: _Frame) -> str:
    """What to keep of a bracket that was never closed: the prose which merely came after it."""
    content = frame.text()
    if frame.kind == "[[":
        first, newline, rest = content.partition("\n")
        return _link(first) + newline + rest
    lines = content.split("\n")
    index = 1
    if frame.kind == "{{":
        while index < len(lines) and lines[index].lstrip()[:1] in ("|", "}"):
            index += 1
    else:
        while index < len(lines) and not (
            lines[index - 1].strip() in ("", _HOLE)
            and lines[index].strip()
            and lines[index].lstrip()[:1] not in "|!{"
        ):
            index += 1
    return _HOLE + "\n" + "\n".join(lines[index:])


def _link(content: str) -> str:
    """What a link `[[content]]` shows on the page."""
    target, piped, label = content.partition("|")
    target = target.strip()
    forced = target.startswith(":")
    target = target.lstrip(": ")
    prefix, colon, rest = target.partition(":")
    space = prefix.strip().lower() if colon else ""
    if space in _MEDIA and not (forced and "|" not in label):
        return _HOLE
    if not forced and (space in _CATEGORY or _INTERLANGUAGE.match(target)):
        return _HOLE
    if piped and label.strip():
        return label.rpartition("|")[2] if "|" in label else label
    if piped:
        shown = rest if colon else target
        return re.sub(r"\s*\([^()]*\)$|,\s.*$", "", shown.strip())
    if space in _PROJECTS:
        return rest.strip()
    return target.lstrip("#")


def _template(content: str) -> str:
    """What a template leaves in the prose: a text it merely wraps, or a hole."""
    name, *given = content.split("|")
    name = name.strip().lower().replace("_", " ")
    if name in _GLYPHS:
        return _GLYPHS[name]
    given = [re.sub(r"^\s*(?:1|text|quote)\s*=", "", value) for value in given]
    values = [value.strip() for value in given if not re.match(r"\s*[\w -]+=", value)]
    if not values:
        return _HOLE
    if name == "as of":
        return f"{'as' if 'lc=' in content else 'As'} of {values[0]}"
    if name in _FIRST or name.startswith("lang-"):
        return values[0]
    if name in _LAST:
        return values[-1]
    if name in _JOINED:
        return _JOINED[name].join(values[:2])
    if name in ("chem", "chem2"):
        return "".join(values)
    if name in ("convert", "cvt") and re.match(r"[-−+]?[\d.,/]+$", values[0]):
        return _quantity(values)
    return _HOLE


def _quantity(values: list[str]) -> str:
    """`{{convert|5|to|10|km|mi}}` as "5 to 10 km": the number as the author gave it."""
    if len(values) > 3 and values[1] in _RANGES:
        return f"{values[0]}{_RANGES[values[1]]}{values[2]} {_unit(values[3])}"
    return f"{values[0]} {_unit(values[1])}" if len(values) > 1 else values[0]


def _unit(symbol: str) -> str:
    multiple = re.match(r"e\d+", symbol)
    symbol = symbol[multiple.end() :] if multiple else symbol
    symbol = _UNITS.get(symbol, symbol)
    if re.search(r"[a-z][23]$", symbol):
        symbol = symbol.translate(_SUPERSCRIPTS)
    return f"{_MULTIPLES.get(multiple[0], '')} {symbol}".strip() if multiple else symbol


def _plain_lines(text: str) -> str:
    """Headings, lists and quotes made plain; residue of tables and galleries dropped.

    A heading waits until its section shows a line of its own: one that never does ("References"
    with its list taken out) is not written.
    """
    kept: list[str] = []
    waiting: list[tuple[int, str]] = []
    for raw_line in _MAGIC_WORD.sub(_HOLE, text).split("\n"):
        line = _QUOTES.sub(_apostrophe, raw_line).strip()
        heading = _HEADING.match(line)
        if heading:
            level = min(len(heading[1]), len(heading[3]))
            title = line.strip(_HOLE + "= \t")
            while waiting and waiting[-1][0] >= level:
                waiting.pop()
            if title.strip(_HOLE):
                waiting.append((level, title))
            continue
        if re.match(r"\x01*\s*(?:\||\{\||!.*(?:\||!!))", line):
            continue
        if _MEDIA_LINE.match(line) or re.match(r"-{4,}$", line):
            continue
        marker = _LIST_MARKER.match(line)
        if marker:
            line = line[marker.end() :]
        if line.strip(_HOLE + " .,;:"):
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
    """Entities as characters, however often they were escaped."""
    text = re.sub(r"&(?:amp;)+", "&", text)
    text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text)


def _mended(text: str) -> str:
    """Prose closed up where something was taken out: no empty brackets, no blank before a comma.

    Only holes are looked at, so that prose which never held markup stays as it was written.
    """
    if _HOLE not in text:
        return text
    text = re.sub(r"[^\S\n]+", " ", text)
    text = re.sub(rf"{_HOLE}(?:[ ,;:]*{_HOLE})+", _HOLE, text)
    text = re.sub(rf"^ ?{_HOLE}(?:[ ,;:–—]+|[ .]*$)", "", text, flags=re.M)
    hole = rf"(?:[ ,;:/]*{_HOLE})+"
    text = re.sub(rf"\({hole}[ ,;:/]*\)", _HOLE, text)
    text = re.sub(rf"\({hole}[ ,;:]*", "(", text)
    text = re.sub(rf"[ ,;]{{0,3}}{_HOLE}[ ,;:{_HOLE}]*\)", ")", text)
    text = re.sub(
        rf"[ ,;]{{0,2}}{_HOLE} ?(?=[,.;:!?)](?:[\s\"'”’)\]{_HOLE}]|$))", "", text, flags=re.M
    )
    return re.sub(rf"(?<=[\s(]){_HOLE} |{_HOLE}", "", text)


def _without_residue(text: str) -> str:
    """`text` without the markup that was too broken to be read as such."""
    for _ in range(4):
        text, found = _RESIDUE.subn("", text)
        if not found:
            return text
    # Removing a pair can push two halves together; past a few rounds, every half goes.
    return _RESIDUE.sub("", re.sub(r"[{}\[\]<&]|'+", "", text))
