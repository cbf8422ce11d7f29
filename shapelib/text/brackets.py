"""Templates, links and tables read with a stack, whether or not they are ever closed."""

import re
from dataclasses import dataclass, field

__all__ = ["HOLE", "names", "template", "without_brackets"]

HOLE = "\x01"
"""Stands where something was taken out. XML forbids this character, so no page holds it."""


def names(text: str) -> frozenset[str]:
    """The names in `text`, which are separated by blanks and hold underscores for theirs."""
    return frozenset(name.replace("_", " ") for name in text.split())


# Templates that only wrap a text: which of their positional values is that text.
_FIRST = names(
    "abbr abbrlink angbr angle_bracket as_written big blockquote bold cquote em flag flagcountry "
    "flagu italic keypress larger linktext mono mvar nihongo nobold nobr nobreak noitalic nowrap "
    "nq nts quotation quote resize sc script/arabic script/hebrew small smallcaps smaller strong "
    "sub sup tooltip val var vanchor visible_anchor"
)
_LAST = names("lang native_name native_phrase script transl transliteration")
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


def template(content: str) -> str:
    """What `{{content}}` leaves in the prose; templates inside it are resolved already."""
    name, *given = content.split("|")
    name = name.strip().lower().replace("_", " ")
    if name in _GLYPHS:
        return _GLYPHS[name]
    given = [re.sub(r"^\s*(?:1|text|quote)\s*=", "", value) for value in given]
    values = [value.strip() for value in given if not re.match(r"\s*[\w -]+=", value)]
    if not values:
        return HOLE
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
    return HOLE


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


# A deeper nest than this is an attack or an accident, and costs a copy of its inside per level.
_DEEPEST = 40

_BRACKET = re.compile(
    r"\{\{|\}\}|\[\[|\]\]"
    r"|(?P<table>^[ \t:*#]*\{\||<table(?=[\s>])[^<>]*>)"
    r"|(?P<end>^[ \t]*\|\}(?!\})|</table\s*>)"
    rf"|(?P<heading>^(?===[^\n]*==[ \t{HOLE}]*$))"
    r"|(?P<blank>\n[ \t]*\n)",
    re.MULTILINE | re.IGNORECASE,
)
_MEDIA = names(
    "file image media datei bild fichier archivo imagen immagine ficheiro imagem bestand "
    "afbeelding plik grafika файл изображение fil"
)
_CATEGORY = names(
    "category kategorie catégorie categoría categoria categorie kategoria категория kategori"
)
_INTERLANGUAGE = re.compile(
    r"(?!doi:|hdl:|wp:|mw:)(?:[a-z]{2,3}(?:-[a-z]{1,12}){0,3}|simple|tokipona|minnan):\S"
)
_PROJECTS = names(
    "b c commons d m meta n q s species v voy w wikt wikibooks wikinews wikipedia wikiquote "
    "wikisource wikispecies wikiversity wikivoyage wiktionary"
)


@dataclass
class _Frame:
    """An opened bracket and what has been read since."""

    kind: str
    parts: list[str] = field(default_factory=list)

    def text(self) -> str:
        return "".join(self.parts)


def without_brackets(text: str) -> str:
    """Templates, links and tables replaced by what they leave in the prose."""
    text = re.sub(r"\{\{\{[^{}]*\}\}\}", HOLE, text)
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
        return template(content)
    return "\n" + HOLE + "\n"


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
            lines[index - 1].strip() in ("", HOLE)
            and lines[index].strip()
            and lines[index].lstrip()[:1] not in "|!{"
        ):
            index += 1
    return HOLE + "\n" + "\n".join(lines[index:])


def _link(content: str) -> str:
    """What a link `[[content]]` shows on the page."""
    target, piped, label = content.partition("|")
    target = target.strip()
    forced = target.startswith(":")
    target = target.lstrip(": ")
    prefix, colon, rest = target.partition(":")
    space = prefix.strip().lower() if colon else ""
    if space in _MEDIA and not (forced and "|" not in label):
        return HOLE
    if not forced and (space in _CATEGORY or _INTERLANGUAGE.match(target)):
        return HOLE
    if piped and label.strip():
        return label.rpartition("|")[2] if "|" in label else label
    if piped:
        shown = rest if colon else target
        return re.sub(r"\s*\([^()]*\)$|,\s.*$", "", shown.strip())
    if space in _PROJECTS:
        return rest.strip()
    return target.lstrip("#")
