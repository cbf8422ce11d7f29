"""The first page's claims: none is passed over, and each small figure shows what was recorded."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from shapebook.claims import judge as claims
from shapebook.claims import records, verdicts
from shapebook.pages import glance
from shapelib.errors import ShapelibError

RECORDED = Path(__file__).parents[3] / "book" / "executed" / "claims.json"


def record(direction: str = "above", asks: str = "size", **given: Any) -> claims.Record:
    kept = {"id": "a", "number": 1, "asked": "", "paper": "P", "states": "a number; must exceed"}
    kept |= {"direction": direction, "asks": asks, "margin": 0.125, "beside": []}
    models = [model("supported", 0.25, 0.75, 0.5)]
    return {**kept, "verdict": "supported", "claim": "So.", "models": models, **given}


def model(
    word: str, low: float | None, high: float | None, value: float = 0.5, outside: str = ""
) -> dict[str, Any]:
    return {
        "model": "m", "statistic": value, "low": low, "high": high, "word": word,
        "outside": outside, "why": "",
    }  # fmt: skip


def test_a_claim_without_a_record_is_refused():
    glance.check([record()], ["a"])
    with pytest.raises(ShapelibError, match="claim 'b' has no record"):
        glance.check([record()], ["a", "b"])
    with pytest.raises(ShapelibError, match="'perhaps'; accepted: supported, too small"):
        glance.check([record(verdict="perhaps")], ["a"])
    with pytest.raises(ShapelibError, match=f"claim '{next(iter(claims.claims()))}' has no record"):
        glance.check([])


def test_every_verdict_has_its_records_in_the_order_of_the_words():
    some = [record(verdict=each) for each in ("not testable here", "supported", "supported")]
    found = glance.by_verdict(some)
    assert list(found) == list(claims.WORDS)
    assert [len(each) for each in found.values()] == [2, 0, 0, 0, 0, 1]


def test_a_verdict_has_its_reason():
    met, against = model("supported", 0.25, 0.75), model("contradicted", -0.3, -0.1)
    open_ = model("undecided", 0.1, 0.2)
    regime = "outside the claim's regime"
    small = model("not testable here", 0.2, 0.3, outside=f"{regime}: 9 parameters")
    bare = model("not testable here", None, None, outside="1 layer")
    left_out = f"1 more not testable: {regime}"
    reasons = [
        ([], [], "no such model"),
        ([bare], [], "1 layer"),
        ([small, small], [], regime),
        ([met], ["one model alone"], "one model alone"),
        ([met, met], [], ""),
        ([met, open_], [], "1 of 2 models supported, 1 of 2 models undecided"),
        ([met, against, against], [], "1 of 3 models supported, 2 of 3 models contradicted"),
        ([met, small], ["one model alone", "one run"], f"one model alone; one run; {left_out}"),
    ]
    for models, beside, said in reasons:
        assert records.reason(record(models=models, beside=beside)) == said


def test_records_stand_by_paper_and_number_a_papers_own_claim_first():
    some = [record(number=2), record(asked="this book"), record(), record(paper="Q", number=9)]
    found = glance.papers(some)
    assert list(found) == ["P", "Q"]
    assert [(each["number"], each["asked"]) for each in found["P"]] == [
        (1, ""), (1, "this book"), (2, "")
    ]  # fmt: skip


def drawn(of: claims.Record) -> dict[str, Any]:
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
    assert "m 0.500 [0.250, 0.750], supported" in shown["label"]
    assert shown["label"].endswith("must exceed.")


def test_each_kind_of_rule_has_its_side():
    below = drawn(record("below", "bound"))
    assert below["zone"][1] == pytest.approx(below["numbers"]["0.125"], abs=0.1)
    less = drawn(record("below", models=[model("supported", -0.75, -0.25, -0.5)]))
    assert less["zone"][1] == pytest.approx(less["numbers"]["−0.125"], abs=0.1)
    within = drawn(record("within", "equality"))
    assert within["zone"] == pytest.approx(
        (within["numbers"]["−0.125"], within["numbers"]["0.125"]), abs=0.1
    )


def test_a_number_without_an_interval_and_no_number():
    bare = model("not testable here", None, None)
    shown = drawn(record(models=[bare]))
    assert (len(shown["dots"]), shown["ends"]) == (1, [])
    assert shown["dots"][0][0] == "unmet"
    assert glance.strip(record(models=[{**bare, "statistic": None}])) == ""
    assert glance.strip(record(models=[])) == ""


@pytest.mark.parametrize("each", json.loads(RECORDED.read_text()), ids=lambda each: each["id"])
def test_recorded_claims_lie_on_the_side_that_they_meet(each: claims.Record):
    if not (shown := glance.strip(each)):
        return
    assert shown.startswith("<svg")
    found = drawn(each)
    for kind, ends in zip((kind for kind, _ in found["dots"]), found["ends"], strict=False):
        inside = found["zone"][0] <= ends[0] <= ends[1] <= found["zone"][1]
        assert inside or kind == "unmet", "a model supports a claim with its whole interval"


@pytest.mark.parametrize("each", json.loads(RECORDED.read_text()), ids=lambda each: each["id"])
def test_recorded_words_are_those_of_their_intervals(each: claims.Record):
    """Nobody typed them: each follows from the interval, but where there is a reason for none."""
    for found in each["models"]:
        ends = [float("nan") if found[end] is None else found[end] for end in ("low", "high")]
        given = {name: each[name] for name in ("asks", "direction", "margin")}
        wanted = "not testable here" if found["outside"] else verdicts.word(*ends, **given)
        assert found["word"] == wanted
    assert each["verdict"] == verdicts.together(found["word"] for found in each["models"])
