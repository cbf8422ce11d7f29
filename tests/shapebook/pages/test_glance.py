"""The first page's claims: none is passed over, and each small figure shows what was recorded."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from shapebook.claims import judge
from shapebook.pages import glance
from shapelib.errors import ShapelibError

RECORDED = Path(__file__).parents[3] / "book" / "executed" / "claims.json"


def record(states: str = "a number; must exceed the margin", **given: Any) -> judge.Record:
    model = {"model": "m", "statistic": 0.5, "low": 0.25, "high": 0.75, "met": True}
    kept = {"id": "a", "number": 1, "asked": "", "paper": "P", "states": states, "margin": 0.125}
    return {**kept, "verdict": "holds", "claim": "So.", "because": "", "models": [model], **given}


def test_a_claim_without_a_record_is_refused():
    glance.check([record()], ["a"])
    with pytest.raises(ShapelibError, match="claim 'b' has no record"):
        glance.check([record()], ["a", "b"])
    with pytest.raises(ShapelibError, match="'perhaps'; accepted: holds, holds in part"):
        glance.check([record(verdict="perhaps")], ["a"])
    with pytest.raises(ShapelibError, match=f"claim '{next(iter(judge.claims()))}' has no record"):
        glance.check([])


def test_every_verdict_has_its_records_in_the_order_of_the_words():
    some = [record(verdict=each) for each in ("not testable here", "holds", "holds")]
    found = glance.by_verdict(some)
    assert list(found) == list(judge.VERDICTS)
    assert [len(each) for each in found.values()] == [2, 0, 0, 1]


def model(low: float | None, high: float, met: bool) -> dict[str, Any]:
    return {"model": "m", "statistic": high, "low": low, "high": high, "met": met}


def test_a_verdict_has_its_reason():
    """Of a rule that asks for more than 0.125."""
    met, small = model(0.25, 0.75, True), model(0.05, 0.1, False)
    open_, against = model(0.1, 0.2, False), model(-0.3, -0.1, False)
    reasons = [
        ((), "no such model"),
        ((model(None, 0.5, False),), "no interval"),
        ((met,), "the only model meets it"),
        ((met, met), ""),
        ((small,), "too small"),
        ((open_,), "undecided"),
        ((against,), "contradicted"),
        ((against, open_), "contradicted or undecided"),
        ((met, open_), "1 of 2 models meet it; the other undecided"),
        ((met, against, against), "1 of 3 models meet it; the others contradicted"),
    ]
    for models, reason in reasons:
        assert glance.reason(record(models=list(models))) == reason
    # Zero on the wrong side of nothing: a rule that asks for less has no value too small.
    below = record("a number; must lie below the margin", models=[model(0.2, 0.3, False)])
    assert glance.reason(below) == "contradicted"


def test_records_stand_by_paper_and_number_a_papers_own_claim_first():
    some = [record(number=2), record(asked="this book"), record(), record(paper="Q", number=9)]
    found = glance.papers(some)
    assert list(found) == ["P", "Q"]
    assert [(each["number"], each["asked"]) for each in found["P"]] == [
        (1, ""), (1, "this book"), (2, "")
    ]  # fmt: skip


def drawn(of: judge.Record) -> dict[str, Any]:
    """Where things stand in a strip: dots, intervals, the shaded side and the axis's numbers."""
    tree = ElementTree.fromstring(glance.strip(of))
    zone = next(iter(tree.iter("rect")), None)
    left = float(zone.get("x", 0)) if zone is not None else None
    ends = [re.findall(r"[\d.]+", path.get("d", "")) for path in tree.iter("path")
            if path.get("class") in ("met", "unmet")]  # fmt: skip
    return {
        "dots": [(each.get("class"), float(each.get("cx", 0))) for each in tree.iter("circle")],
        "ends": [(float(each[0]), float(each[2])) for each in ends],
        "zone": zone is not None and (left, left + float(zone.get("width", 0))),
        "numbers": {each.text: float(each.get("x", 0)) for each in tree.iter("text")},
        "label": tree.get("aria-label"),
    }


def test_a_strip_shows_number_interval_and_side():
    shown = drawn(record())
    at = shown["numbers"]
    # The axis is linear: the dot and the interval's ends lie at 4, 2 and 6 times the margin.
    scale = (at["0.125"] - at["0"]) / 0.125
    assert shown["dots"] == [("met", pytest.approx(at["0"] + 0.5 * scale, abs=0.5))]
    assert shown["ends"][0] == pytest.approx(
        (at["0"] + 0.25 * scale, at["0"] + 0.75 * scale), abs=0.5
    )
    assert shown["zone"][0] == at["0.125"]
    assert shown["zone"][1] > shown["ends"][0][1]
    assert "m 0.500 [0.250, 0.750], met" in shown["label"]
    assert shown["label"].endswith("must exceed the margin 0.125.")


def test_each_kind_of_rule_has_its_side():
    below = drawn(record("a number; must not exceed the margin"))
    assert below["zone"][1] == pytest.approx(below["numbers"]["0.125"], abs=0.1)
    assert glance.side(record("a share; must lie below the margin")) == "below"
    assert all(glance.side({"states": each.states}) for each in judge.claims().values())
    within = drawn(record("it must lie within plus and minus the margin"))
    assert within["zone"] == pytest.approx(
        (within["numbers"]["−0.125"], within["numbers"]["0.125"]), abs=0.1
    )
    assert drawn(record("a number to look at"))["zone"] is False


def test_a_number_without_an_interval_and_no_number():
    bare = {"model": "m", "statistic": 0.5, "low": None, "high": None, "met": False}
    shown = drawn(record(models=[bare]))
    assert (len(shown["dots"]), shown["ends"]) == (1, [])
    assert shown["dots"][0][0] == "unmet"
    assert glance.strip(record(models=[{**bare, "statistic": None}])) == ""
    assert glance.strip(record(models=[])) == ""


@pytest.mark.parametrize("each", json.loads(RECORDED.read_text()), ids=lambda each: each["id"])
def test_recorded_claims_lie_on_the_side_that_they_meet(each: judge.Record):
    assert glance.side(each) is not None, "glance knows no such rule"
    if not (shown := glance.strip(each)):
        return
    assert shown.startswith("<svg")
    found = drawn(each)
    for met, ends in zip((kind for kind, _ in found["dots"]), found["ends"], strict=False):
        inside = found["zone"][0] <= ends[0] <= ends[1] <= found["zone"][1]
        assert inside or met == "unmet", "a rule is met with the whole interval"
