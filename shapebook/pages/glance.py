"""The claims at a glance: what the book's first page says of each, from the records alone."""

from collections.abc import Iterable
from html import escape
from typing import Any

from shapebook.claims import judge
from shapelib.errors import ShapelibError

# Lengths in pixels: of the figure, of a model's row, of the axis, at the sides, between numbers.
_WIDTH, _ROW, _AXIS, _EDGE, _CLEAR = 168, 15, 17, 9, 16
# The words that end a rule, and on which side of the margin the claim then lies.
_SIDES = {
    "must not exceed the margin": "below",
    "must exceed the margin": "above",
    "must lie below the margin": "below",
    "must lie within plus and minus the margin": "within",
}


def check(records: Iterable[judge.Record], asked: Iterable[str] | None = None) -> None:
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
        if (verdict := found[claim]["verdict"]) not in judge.VERDICTS:
            raise ShapelibError(
                f"claim {claim!r} has the verdict {verdict!r}; accepted: "
                f"{', '.join(judge.VERDICTS)}"
            )


def papers(records: Iterable[judge.Record]) -> dict[str, list[judge.Record]]:
    """The records of each paper, by number; what this book asks stands after a paper's own."""
    found: dict[str, list[judge.Record]] = {}
    for each in sorted(records, key=lambda each: (each["number"], bool(each["asked"]))):
        found.setdefault(each["paper"], []).append(each)
    return found


def by_verdict(records: Iterable[judge.Record]) -> dict[str, list[judge.Record]]:
    """The records of each verdict, in the order of `judge.VERDICTS`, none left out."""
    records = list(records)
    return {word: [each for each in records if each["verdict"] == word] for word in judge.VERDICTS}


def reason(record: judge.Record) -> str:
    """Why the verdict is no plainer one, in a few words; empty where all of several models meet
    the rule.

    A model that does not meet it is *undecided* where its interval lies on both sides of the
    margin, *too small* where the whole interval lies between zero and a margin above it, and
    *contradicted* otherwise.
    """
    tested = [each for each in record["models"] if each["low"] is not None]
    if not tested:
        return "no interval" if record["models"] else "no such model"
    unmet = [each for each in tested if not each["met"]]
    words = " or ".join(dict.fromkeys(_why(record, each) for each in unmet))
    if len(unmet) == len(tested):
        return words
    if len(tested) == 1:
        return "the only model meets it"
    others = "the other" if len(unmet) == 1 else "the others"
    met = f"{len(tested) - len(unmet)} of {len(tested)} models meet it"
    return f"{met}; {others} {words}" if unmet else ""


def _why(record: judge.Record, model: judge.Record) -> str:
    margin, where = record["margin"], side(record)
    if any(model["low"] <= edge <= model["high"] for edge in _edges(margin, where)):
        return "undecided"
    return "too small" if where == "above" and model["low"] > 0 else "contradicted"


def side(record: judge.Record) -> str | None:
    """Where the claim wants its number: ``above`` the margin, ``below`` it, ``within`` plus and
    minus it; None where the rule is of another kind."""
    states = " ".join(record["states"].split())
    return next((where for words, where in _SIDES.items() if states.endswith(words)), None)


def strip(record: judge.Record) -> str:
    """A small figure of a record as inline SVG: each model's number with its interval, on a line
    where the claim's side of the margin is shaded. Empty where nothing was measured.

    Its colours are those of the page's style sheet, so that it follows light and dark.
    """
    measured = [each for each in record["models"] if each["statistic"] is not None]
    if not measured:
        return ""
    margin, where = record["margin"], side(record)
    ends = [0.0, *_edges(margin, where)]
    for each in measured:
        ends += [each[key] for key in ("statistic", "low", "high") if each[key] is not None]
    least, most = min(ends), max(ends)
    room = 0.12 * (most - least or 1.0)
    least, most = least - room, most + room

    def at(value: float) -> float:
        return round(_EDGE + (_WIDTH - 2 * _EDGE) * (value - least) / (most - least), 1)

    floor = _ROW * len(measured) + 4
    parts = [f'<g aria-hidden="true">{_zone(at, margin, where, least, most, floor)}']
    parts.append(f'<path class="axis" d="M{_EDGE} {floor}H{_WIDTH - _EDGE}"/>')
    edges = _edges(margin, where)
    for tick in dict.fromkeys([*edges, 0.0]):
        parts.append(f'<path class="tick" d="M{at(tick)} 2V{floor + 3}"/>')
        # The zero gives way where its number would cover the margin's.
        if tick in edges or min(abs(at(tick) - at(edge)) for edge in edges) > _CLEAR:
            parts.append(f'<text x="{at(tick)}" y="{floor + 13}">{_plain(tick)}</text>')
    for row, each in enumerate(measured):
        y = 2 + _ROW * row + _ROW / 2
        kind = "met" if each["met"] else "unmet"
        if each["low"] is not None:
            parts.append(f'<path class="{kind}" d="M{at(each["low"])} {y}H{at(each["high"])}"/>')
        parts.append(f'<circle class="{kind}" cx="{at(each["statistic"])}" cy="{y}" r="4"/>')
    parts.append("</g>")
    return (
        f'<svg class="strip" role="img" aria-label="{escape(describe(record))}" '
        f'viewBox="0 0 {_WIDTH} {floor + _AXIS}" width="{_WIDTH}" height="{floor + _AXIS}">'
        f"{''.join(parts)}</svg>"
    )


def describe(record: judge.Record) -> str:
    """What `strip` shows, in words: its alternative text."""
    shown = [
        f"{each['model']} {judge.sentence(each)}, {'met' if each['met'] else 'not met'}"
        for each in record["models"]
    ]
    return f"{'; '.join(shown)}. The claim asks: {record['states']} {record['margin']}."


def _edges(margin: float, where: str | None) -> list[float]:
    return [-margin, margin] if where == "within" else [margin]


def _zone(
    at: Any, margin: float, where: str | None, least: float, most: float, floor: float
) -> str:
    """The shaded side of the margin."""
    ends = {"above": (margin, most), "below": (least, margin), "within": (-margin, margin)}
    if where is None:
        return ""
    left, right = (at(end) for end in ends[where])
    return f'<rect class="zone" x="{left}" y="2" width="{right - left:.1f}" height="{floor - 2}"/>'


def _plain(number: float) -> str:
    return f"{number:g}".replace("-", "−")
