"""What a verdict's record says: in a line, in a few words, and as a table of a page."""

import math
from collections import Counter
from collections.abc import Iterable
from html import escape
from typing import Any

from shapebook.claims.statistic import three_digits
from shapebook.claims.verdicts import UNTESTABLE

RECORDS = "shapelib_claims"
Record = dict[str, Any]
"""What `shapebook.claims.judge.judge` gives: plain values, as JSON has them."""


def words(records: Iterable[Record]) -> None:
    """Print the verdicts alone, in words: what nbval compares, on any machine."""
    for record in records:
        print(f"{record['title']}: {verdict(record)}")


def verdict(record: Record) -> str:
    """The word, and beside it that one model or one run alone stands behind it."""
    beside = ", ".join(record["beside"])
    return f"{record['verdict']} ({beside})" if beside else str(record["verdict"])


def reason(record: Record) -> str:
    """What stands behind a word, in a few: which words how many models have where they differ, how
    many are not judged and why, and that one model or one run stands alone."""
    models = record["models"]
    if not models:
        return "no such model"
    words = Counter(each["word"] for each in models)
    left_out = words.pop(UNTESTABLE, 0)
    if not words:
        return "; ".join(dict.fromkeys(_briefly(each) for each in models))
    counts = [f"{words[each]} of {words.total()} models {each}" for each in words]
    said = [", ".join(counts)] if len(words) > 1 else []
    said += record["beside"]
    if left_out:
        said.append(f"{left_out} more not testable: {_briefly(_first(models, UNTESTABLE))}")
    return "; ".join(said)


def _first(models: Iterable[Record], word: str) -> Record:
    return next(each for each in models if each["word"] == word)


def _briefly(model: Record) -> str:
    """Why a model has no word, without its numbers."""
    return str(model["outside"].split(":")[0] if model["low"] is not None else model["outside"])


class Shown:
    """Records as a notebook shows them: a table, and for the pages built on it, metadata."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = list(records)

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, Any]]:
        shown = {"text/html": self._html(), "text/plain": self._text()}
        return shown, {RECORDS: self.records}

    def _html(self) -> str:
        head = "<tr><th>claim</th><th>verdict</th><th>measured</th></tr>"
        rows = [
            f"<tr><td>{escape(label(r))} {escape(r['claim'])}</td>"
            f"<td><b>{r['verdict']}</b>{_line(', '.join(r['beside']))}</td>"
            f"<td>{escape(r['effect'])}<br>{_models_html(r)}<br>"
            f"<i>{escape(r['states'])}</i>{_details_html(r)}</td></tr>"
            for r in self.records
        ]
        return (
            f"<table class='dataframe verdicts'><thead>{head}</thead>"
            f"<tbody>{''.join(rows)}</tbody></table>"
        )

    def _text(self) -> str:
        return "\n".join(
            f"{label(r)} {r['claim']} {verdict(r)}: "
            + "; ".join(f"{m['model']} {sentence(m)}" for m in r["models"])
            for r in self.records
        )


def label(record: Record) -> str:
    """What stands before a claim: its number, and whose question it is where no paper's."""
    asked = record["asked"]
    return f"{record['number']}, asked by {asked}:" if asked else f"{record['number']}."


def sentence(model: Record) -> str:
    """One model's statistic and interval, as ``0.02 [−0.01, 0.05]``; ``at least`` that where what
    it is made of was not reached; and what the claim wants printed beside it."""
    value = f"{model.get('censored', '')} {_number(model['statistic'])}".strip()
    beside = "".join(f" ({name} {_whole(each)})" for name, each in model.get("beside", {}).items())
    if model["low"] is None or model["high"] is None:
        return f"{value}{beside} (no interval: {model.get('why') or 'too little was measured'})"
    return f"{value} [{_number(model['low'])}, {_number(model['high'])}]{beside}"


def multiplicity(records: Iterable[Record]) -> str:
    """How many intervals give the words of some records, and what chance alone would give."""
    count = sum(each["word"] != UNTESTABLE for record in records for each in record["models"])
    if not count:
        return "No interval gives a word here."
    return (
        f"{count} intervals of 95 % give the words here, and none is corrected for the others. If "
        f"each true value lay just where its claim begins to be met, chance alone would put "
        f"{0.025 * count:.1f} of them wholly beyond it."
    )


def _number(value: float | None) -> str:
    """Three decimals, or two digits of what three decimals would hide."""
    if value is None:
        return "–"
    decimals = 1 - math.floor(math.log10(abs(value))) if 0 < abs(value) < 0.001 else 3
    return f"{value:.{decimals}f}".replace("-", "−")


def _whole(value: float | None) -> str:
    """As tables of d90 have it."""
    return "–" if value is None else three_digits(value)


def _line(text: str) -> str:
    return f"<br>{escape(text)}" if text else ""


def _models_html(record: Record) -> str:
    lines = []
    for each in record["models"]:
        why = f" ({each['outside']})" if each["outside"] and each["low"] is not None else ""
        told = f": {each['word']}" if len(record["models"]) > 1 or each["outside"] else ""
        lines.append(f"{escape(each['model'])}: {sentence(each)}{told}{escape(why)}")
    if all(each["word"] == UNTESTABLE for each in record["models"]):
        lines.append(f"would test it: {escape(record['would_test'])}")
    return "<br>".join(lines if record["models"] else ["no such model", *lines])


def _details_html(record: Record) -> str:
    """What the statistic is made of, how it reads otherwise, and when the rule was fixed."""
    made_of = [
        f"{m['model']}, {name.replace('_', ' ')}: {'–' if value is None else f'{value:.3g}'}"
        for m in record["models"]
        for name, value in m["details"].items()
    ]
    over = [f"{m['model']}: 95 % over {m['over']}" for m in record["models"] if m["over"]]
    readings = [
        f"{s['model']}, {s['what']}{' (added after results were seen)' if s['added'] else ''}: "
        f"{sentence(s)}"
        for s in record["readings"]
    ]
    of = [f"speaks of {record['speaks_of']}", f"rule fixed {record['fixed']}"]
    lines = "".join(f"<li>{escape(line)}</li>" for line in (*made_of, *over, *readings, *of))
    return f"<details><summary>details</summary><ul>{lines}</ul></details>"
