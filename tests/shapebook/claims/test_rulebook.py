"""``claims.yml`` is checked when it is read, and says what was frozen."""

import re
from pathlib import Path

import pytest
import yaml

from shapebook.claims import rulebook
from shapebook.claims.judge import RULES, claims
from shapebook.claims.verdicts import ASKS
from shapelib.errors import ShapelibError

CLAIMS = claims()


def changed(tmp_path: Path, claim: str = "decoder-bell", **fields) -> Path:
    """The file with fields of one claim replaced; without those that are None."""
    given = yaml.safe_load(rulebook.PATH.read_text())
    given["claims"][claim] |= fields
    given["claims"][claim] = {k: v for k, v in given["claims"][claim].items() if v is not None}
    file = tmp_path / "claims.yml"
    file.write_text(yaml.safe_dump(given))
    return file


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rule": "bel"}, "rule is 'bel'; did you mean 'bell'"),
        ({"rule": "rise"}, "rule is 'rise'"),
        ({"role": "decodr"}, "role is 'decodr'; did you mean 'decoder'"),
        ({"direction": "up"}, "direction is 'up'; .*above, below"),
        ({"direction": "within"}, "direction is 'within'; .*above, below"),
        ({"asks": "much"}, "asks is 'much'"),
        ({"regime": "large"}, "regime is 'large'"),
        ({"regime": None}, "regime is None"),
        ({"table": "shapes"}, "table is 'shapes'; did you mean 'shape'"),
        ({"along": "recipe"}, "field is 'along'"),
        ({"margin": "0.1"}, "margin is '0.1', expected a number"),
        ({"margin": True}, "margin is True, expected a number"),
        ({"margin": -0.1}, "margin is -0.1; of a size it is 0 or more"),
        ({"margin": None}, "'margin' is missing"),
        ({"states": None}, "'states' is missing"),
        ({"confidence": 0.82}, "field is 'confidence'"),
        ({"otherwise": [{"rule": "ratio"}]}, "reading '': 'what' is missing"),
        ({"otherwise": [{"what": "x", "margin": 0.2}]}, "reading 'x': field is 'margin'"),
        ({"otherwise": [{"what": "x", "rule": "rations"}]}, "reading 'x': rule is 'rations'"),
        ({"otherwise": [{"what": "x", "layers": "some"}]}, "layers is 'some'"),
    ],
)
def test_what_is_wrong_in_a_claim_is_named(tmp_path: Path, fields: dict, message: str):
    with pytest.raises(ShapelibError, match=message) as raised:
        rulebook.read(changed(tmp_path, **fields), RULES)
    assert "claims.yml, claim 'decoder-bell'" in str(raised.value)


@pytest.mark.parametrize(
    ("claim", "fields", "message"),
    [
        ("anisotropy-grows", {"along": "task"}, "along is 'task'; known: recipe, all"),
        ("anisotropy-grows", {"along": None}, "'along' is missing"),
        ("anisotropy-grows", {"layers": "all"}, "field is 'layers'"),
        ("anisotropy-grows", {"otherwise": [{"what": "x", "layers": "all"}]}, "field is 'layers'"),
        ("d90-tiny", {"along": "recipe"}, "along is 'recipe'"),
        ("d90-tiny", {"measured": {"window": "8 tokens"}}, "field is 'measured'"),
        ("d90-tiny", {"rule": "bell"}, "rule is 'bell'"),
    ],
)
def test_a_field_of_another_table_is_named(tmp_path: Path, claim: str, fields: dict, message: str):
    with pytest.raises(ShapelibError, match=message):
        rulebook.read(changed(tmp_path, claim, **fields), RULES)


def test_what_is_wrong_in_a_regime_is_named(tmp_path: Path):
    given = yaml.safe_load(rulebook.PATH.read_text())
    given["regimes"]["plain-encoders"]["training"] = ["contrast"]
    file = tmp_path / "claims.yml"
    file.write_text(yaml.safe_dump(given))
    with pytest.raises(ShapelibError, match=r"regime 'plain-encoders': kind of training is 'contr"):
        rulebook.read(file, RULES)
    given["regimes"]["plain-encoders"] = {"speaks_of": "a", "would_test": "b", "size": 3}
    file.write_text(yaml.safe_dump(given))
    with pytest.raises(ShapelibError, match=r"regime 'plain-encoders': field is 'size'"):
        rulebook.read(file, RULES)
    file.write_text(yaml.safe_dump({"claims": {}}))
    with pytest.raises(ShapelibError, match=r"claims.yml: 'regimes' is missing"):
        rulebook.read(file, RULES)


def test_the_file_as_it_is_can_be_read(tmp_path: Path):
    assert rulebook.read(changed(tmp_path), RULES) == CLAIMS


def test_every_claim_is_complete():
    several = ("agree", "carried", "agree_in_training", "lies_above", "needs_more", "span")
    several += ("gaps_agree", "phases_at_every_scale")
    for claim in CLAIMS.values():
        assert claim.rule in RULES[claim.table]
        assert claim.direction in ASKS[claim.asks]
        assert (claim.rule in several) == (len(claim.series) > 1)
        assert bool(claim.regime.parameters), "every claim speaks of models of some size"
        assert not re.search(r"\d", claim.title)
        assert claim.effect[0].islower() or claim.effect.startswith("d90")
        assert all((claim.fixed, claim.regime.speaks_of, claim.regime.would_test))
    # A claim of a paper's in two parts has one number; what no paper claims is this book's.
    papers = {claim.number for claim in CLAIMS.values() if not claim.asked}
    assert papers == {*range(1, 8), *range(9, 13)}
    assert {CLAIMS[each].asked for each in ("measures-agree", "bound-says-something")} == {
        "this book"
    }


def test_the_rules_are_those_fixed_beforehand():
    for name, asks, direction in (
        ("decoder-bell", "size", "above"), ("encoder-uniform", "bound", "below"),
    ):  # fmt: skip
        claim = CLAIMS[name]
        assert claim.select == {"metric": "anisotropy", "centered": True, "tokens": "all"}
        assert (claim.asks, claim.direction, claim.margin) == (asks, direction, 0.1)
        assert claim.layers == "inner"
    margins = {"estimators-agree": 0.5, "d90-tiny": 0.01, "said-below-did": -0.5}
    assert {name: CLAIMS[name].margin for name in margins} == margins


def test_a_reading_is_the_claim_but_for_what_it_names():
    bell = CLAIMS["decoder-bell"]
    rest = next(each for each in bell.otherwise if each.what == "without massive vectors")
    assert rest.claim.select == {**bell.select, "tokens": "rest"}
    assert (rest.claim.rule, rest.claim.role, rest.added) == ("bell", "decoder", False)
    added = {each.what for each in bell.otherwise if each.added}
    assert {"both ends low, middle high", "depth of the top, every layer"} <= added


def test_a_rule_is_told_with_its_side_and_margin():
    assert CLAIMS["decoder-bell"].rule_in_words.endswith("; must exceed 0.1")
    assert CLAIMS["d90-tiny"].rule_in_words.endswith("; must lie below 0.01")
    assert CLAIMS["said-below-did"].rule_in_words.endswith("; must exceed −0.5")
    assert rulebook.asked_for("within", 1.0) == "must lie within plus and minus 1"
