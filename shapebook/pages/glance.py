"""The claims at a glance: what the book's first page says of each, from the records alone."""

import math
from collections.abc import Iterable
from html import escape
from typing import Any

from shapebook.claims import judge
from shapebook.claims.records import Record, sentence
from shapebook.claims.verdicts import SUPPORTED, edges
from shapelib.errors import ShapelibError
from shapelib.models import catalogue

EVIDENCE = ("real models", "models trained here alone", "no model at hand")
"""What can stand behind a claim's numbers."""
# Lengths in pixels: of the figure, of a model's row, of the axis, at the sides, between numbers.
_WIDTH, _ROW, _AXIS, _EDGE, _CLEAR = 168, 15, 17, 9, 16


def check(records: Iterable[Record], asked: Iterable[str] | None = None) -> None:
    """That every claim of ``claims.yml`` (or of `asked`) has a record, with a known verdict.

    Raises `ShapelibError` where one has none: the first page must not pass over a claim.
    """
    found = {each["id"]: each for each in records}
    for claim in judge.claims() if asked is None else asked:
        if claim not in found:
            raise ShapelibError(
                f"claim {claim!r} has no record in the executed pages; judge it in a notebook "
                "that params/ names, and run: make record"
            )
        if (verdict := found[claim]["verdict"]) not in judge.WORDS:
            raise ShapelibError(
                f"claim {claim!r} has the verdict {verdict!r}; accepted: {', '.join(judge.WORDS)}"
            )


def papers(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records of each paper, by number; what this book asks stands after a paper's own."""
    found: dict[str, list[Record]] = {}
    for each in sorted(records, key=lambda each: (each["number"], bool(each["asked"]))):
        found.setdefault(each["paper"], []).append(each)
    return found


def by_verdict(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records of each verdict, in the order of `judge.WORDS`, none left out."""
    records = list(records)
    return {word: [each for each in records if each["verdict"] == word] for word in judge.WORDS}


def evidence(record: Record) -> str:
    """What kind of model stands behind a record's numbers: one of `EVIDENCE`.

    Models that the catalogue knows are real ones; others were trained for this book.
    """
    known = catalogue.models()
    names = {name for each in record["models"] for name in each["of"]}
    if not names:
        return EVIDENCE[2]
    return EVIDENCE[0] if any(name in known for name in names) else EVIDENCE[1]


def strip(record: Record) -> str:
    """A small figure of a record as inline SVG: each model's number with its interval, on a line
    where the claim's side of the margin is shaded. Empty where nothing was measured.

    Its colours are those of the page's style sheet, so that it follows light and dark.
    """
    measured = [each for each in record["models"] if each["statistic"] is not None]
    if not measured:
        return ""
    wanted = _edges(record)
    edges_seen = [each for each in wanted if math.isfinite(each)]
    ends = [0.0, *edges_seen]
    for each in measured:
        ends += [each[key] for key in ("statistic", "low", "high") if each[key] is not None]
    least, most = min(ends), max(ends)
    room = 0.12 * (most - least or 1.0)
    least, most = least - room, most + room

    def at(value: float) -> float:
        return round(_EDGE + (_WIDTH - 2 * _EDGE) * (value - least) / (most - least), 1)

    floor = _ROW * len(measured) + 4
    parts = [f'<g aria-hidden="true">{_zone(at, wanted, least, most, floor)}']
    parts.append(f'<path class="axis" d="M{_EDGE} {floor}H{_WIDTH - _EDGE}"/>')
    for tick in dict.fromkeys([*edges_seen, 0.0]):
        parts.append(f'<path class="tick" d="M{at(tick)} 2V{floor + 3}"/>')
        # The zero gives way where its number would cover the margin's.
        if tick in edges_seen or min(abs(at(tick) - at(edge)) for edge in edges_seen) > _CLEAR:
            parts.append(f'<text x="{at(tick)}" y="{floor + 13}">{_plain(tick)}</text>')
    for row, each in enumerate(measured):
        y = 2 + _ROW * row + _ROW / 2
        kind = "met" if each["word"] == SUPPORTED else "unmet"
        if each["low"] is not None:
            parts.append(f'<path class="{kind}" d="M{at(each["low"])} {y}H{at(each["high"])}"/>')
        parts.append(f'<circle class="{kind}" cx="{at(each["statistic"])}" cy="{y}" r="4"/>')
    parts.append("</g>")
    return (
        f'<svg class="strip" role="img" aria-label="{escape(describe(record))}" '
        f'viewBox="0 0 {_WIDTH} {floor + _AXIS}" width="{_WIDTH}" height="{floor + _AXIS}">'
        f"{''.join(parts)}</svg>"
    )


def describe(record: Record) -> str:
    """What `strip` shows, in words: its alternative text."""
    shown = [f"{each['model']} {sentence(each)}, {each['word']}" for each in record["models"]]
    return f"{'; '.join(shown)}. The claim asks: {record['states']}."


def _edges(record: Record) -> tuple[float, float]:
    return edges(record["direction"], record["margin"], record["asks"])


def _zone(at: Any, ends: tuple[float, float], least: float, most: float, floor: float) -> str:
    """The shaded side of the margin."""
    left, right = at(max(ends[0], least)), at(min(ends[1], most))
    return f'<rect class="zone" x="{left}" y="2" width="{right - left:.1f}" height="{floor - 2}"/>'


def _plain(number: float) -> str:
    return f"{number:g}".replace("-", "−")
