"""What a template leaves in the prose: a text it only wraps, a glyph, a quantity, or a hole."""

import re

__all__ = ["HOLE", "names", "template"]

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
