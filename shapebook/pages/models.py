"""The catalogue as Markdown for the book: Table 1 beside the public configurations, every model,
every suite, and what measuring a suite takes."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from shapelib.models import catalogue
from shapelib.models.catalogue import Entry

_TABLE1 = {
    "layers": "layers", "hidden_size": "width", "heads": "heads", "activation": "activation",
    "position": "position", "tied": "embedding and head", "vocabulary": "vocabulary",
    "context": "context", "batch": "batch", "learning_rate": "learning rate", "tokens": "tokens",
    "warm_up": "warm-up", "minimum_learning_rate": "least learning rate",
}  # fmt: skip
TOKENS = 16384
"""Vectors a layer for which the cost of a suite is computed."""
DOWNLOAD = 100e6
"""Bytes a second that a download is reckoned with."""
SPEEDS = {"two CPU cores": 1e11, "one GPU": 5e13}
"""Operations a second that forward passes are reckoned with: cautious, and not measured."""
_NARROW = "\N{NARROW NO-BREAK SPACE}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def write(folder: Path) -> None:
    """Write every table into a folder: ``table1.md, models.md, suites.md, costs.md``."""
    for name, text in {
        "table1": table1(),
        "models": models(),
        "suites": suites(),
        "costs": costs(["bloom-3b", "pythia-2.8b"]),
    }.items():
        (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")


def table1() -> str:
    """The first paper's Table 1, and below it what the public configurations say otherwise."""
    columns = [each for each in catalogue.models().values() if each.table1]
    lines = head("", *(f"`{each.name}`" for each in columns))
    for field, label in _TABLE1.items():
        lines.append(row(label, *(_printed(each, field) for each in columns)))
    notes = [
        (f"{_TABLE1[field]}: {why}", each.name)
        for each in columns
        if each.table1
        for field, why in each.table1.why.items()
    ]
    return "\n".join([*lines, "", *_notes(notes)])


def models() -> str:
    """Every model of the catalogue, a row each; below, caveats and what was not verified."""
    heads = (
        "name",
        "family",
        "role",
        "parameters",
        "layers",
        "width",
        "licence",
        "weights",
        "tuned",
    )
    lines = head(*heads)
    entries = catalogue.models().values()
    for each in entries:
        name = f"`{each.name}`"
        if each.hub:
            name = f"[{name}](https://huggingface.co/{each.hub})"
        weights = f"{each.weights}, gated" if each.gated else each.weights
        lines.append(
            row(
                name, each.family, each.role, _large(each.parameters),
                str(each.layers), str(each.hidden_size), each.licence, weights,
                each.tuned,
            )
        )  # fmt: skip
    told = [(f"quantised: {each.quantised}", each.name) for each in entries if each.quantised]
    caveats = [(each.caveat, each.name) for each in entries if each.caveat]
    open_ = [(f"not verified: {each.unchecked}", each.name) for each in entries if each.unchecked]
    return "\n".join([*lines, "", *_notes([*caveats, *told, *open_])])


def suites() -> str:
    """Every suite: its checkpoints, where they are, and what is known against them."""
    lines = head("suite", "checkpoints", "first step", "last step", "one takes", "most are in")
    every = [catalogue.suite(name) for name in catalogue.suites()]
    notes = []
    for suite in every:
        points = suite.checkpoints
        home = Counter(each.hub for each in points).most_common(1)[0][0]
        lines.append(
            row(
                f"`{suite.name}`", str(len(points)), str(points[0].step), str(points[-1].step),
                in_bytes(suite.bytes), f"[{home}](https://huggingface.co/{home})",
            )
        )  # fmt: skip
        notes += [
            (f"step {each.step} is {each.caveat}", suite.name) for each in points if each.caveat
        ]
    told = [(f"tokens seen: {suite.tokens}", suite.name) for suite in every]
    open_ = [(f"not verified: {suite.unchecked}", suite.name) for suite in every if suite.unchecked]
    return "\n".join([*lines, "", *_notes([*told, *notes, *open_])])


def costs(names: list[str]) -> str:
    """Download, disk and operations of measuring whole suites, computed from the catalogue."""
    lines = head("", *(f"`{name}`" for name in names))
    entries = [catalogue.models()[name] for name in names]
    points = [len(catalogue.suite(name).checkpoints) for name in names]
    sizes = [catalogue.suite(name).bytes for name in names]
    every = [count * size for count, size in zip(points, sizes, strict=True)]
    flops = [2 * each.parameters * TOKENS for each in entries]
    states = [(each.layers + 1) * each.hidden_size * TOKENS * 4 for each in entries]
    rows = {
        "checkpoints": [str(count) for count in points],
        "one checkpoint": [in_bytes(size) for size in sizes],
        "download, and disk to keep it all": [in_bytes(size) for size in every],
        f"time to download at {DOWNLOAD / 1e6:.0f} MB a second": [
            in_time(size / DOWNLOAD) for size in every
        ],
        "hidden states of one checkpoint, in memory or on disk": [
            in_bytes(size) for size in states
        ],
        "operations of its forward passes": [power(each) for each in flops],
    }
    for where, speed in SPEEDS.items():
        label = f"their time for all checkpoints, {where} at {power(speed)} a second"
        rows[label] = [
            in_time(each * count / speed) for each, count in zip(flops, points, strict=True)
        ]
    return "\n".join([*lines, *(row(label, *cells) for label, cells in rows.items())])


def head(*cells: str) -> list[str]:
    """The first two lines of a table."""
    return [row(*cells), "|---" * len(cells) + "|"]


def row(*cells: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(" ".join(each.split()) for each in cells) + " |"


def _notes(notes: list[tuple[str, str]]) -> list[str]:
    """A list of remarks with the names each holds for; what several share is said once."""
    names: dict[str, list[str]] = {}
    for note, name in notes:
        names.setdefault(_linked(note).rstrip("."), []).append(f"`{name}`")
    return [f"- {', '.join(each)}. {note[0].upper()}{note[1:]}." for note, each in names.items()]


def _printed(entry: Entry, field: str) -> str:
    assert entry.table1 is not None
    shown = _value(field, entry.table1.printed[field])
    if field in entry.table1.public:
        shown += f"<br>**public: {_value(field, entry.table1.public[field])}**"
    return shown


def _value(field: str, value: Any) -> str:
    if field == "tied":
        return "tied" if value else "untied"
    if field.endswith("learning_rate"):
        return power(value)
    if field in ("tokens", "warm_up"):
        return _large(value)
    return f"{value:,}".replace(",", _NARROW) if isinstance(value, int) else str(value)


def _linked(text: str) -> str:
    """Addresses as links, and long numbers in one piece."""
    text = re.sub(r"https://[^\s;)]+[^\s;),.]", r"<\g<0>>", " ".join(text.split()))
    return re.sub(r"(?<=\d) (?=\d{3}\b)", _NARROW, text)


def _large(number: float) -> str:
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{number / size:.4g} {unit}"
    return str(number)


def in_bytes(number: float) -> str:
    """Three digits and the largest unit that fits."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} bytes"


def in_time(seconds: float) -> str:
    """Two digits and the largest unit that fits."""
    for unit, size in (("years", 31_557_600), ("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            number = seconds / size
            return f"{number:.0f} {unit}" if number >= 10 else f"{number:.2g} {unit}"
    return f"{seconds:.2g} seconds"


def power(number: float) -> str:
    """Two digits and a power of ten."""
    factor, exponent = f"{number:.1e}".split("e")
    return f"{factor} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
