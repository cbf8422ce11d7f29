"""Verdicts from made-up tables whose answer is known, and records that are plain JSON."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from shapelib import claims
from shapelib.claims import FAILS, HOLDS, IN_PART, UNTESTABLE, Shown, judge, sentence, words
from shapelib.errors import ShapelibError


def shape(
    values, model: str = "m", role: str = "decoder", stderr: float = 0.001, groups: int = 8,
    tokens: str = "all",
) -> pd.DataFrame:  # fmt: skip
    """A shape table of one metric: the first value is the embedding, the last is after a norm."""
    layers = np.arange(len(values))
    return pd.DataFrame(
        {
            "model": model, "role": role, "layer": layers, "depth": layers / (len(values) - 1),
            "after_norm": layers == len(values) - 1, "tokens": tokens, "metric": "anisotropy",
            "centered": pd.array([True] * len(values), dtype="boolean"), "value": values,
            "stderr": stderr, "groups": groups,
        }
    )  # fmt: skip


BELL = [0.9, 0.1, 0.2, 0.1, 0.7, 0.8, 0.7, 0.1, 0.2, 0.1, 0.9]
PLATEAU = [0.3, 0.1, 0.2, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1]
FLAT = [0.9, *[0.1, 0.15, 0.12] * 3, 0.9]


def verdict(claim: str, *tables: pd.DataFrame) -> str:
    return judge(claim, pd.concat(tables, ignore_index=True))["verdict"]


def test_two_bells_hold_and_one_holds_in_part():
    assert verdict("decoder-bell", shape(BELL, "a"), shape(BELL, "b")) == HOLDS
    assert verdict("decoder-bell", shape(BELL)) == IN_PART
    assert verdict("decoder-bell", shape(BELL, "a"), shape(PLATEAU, "b")) == IN_PART


def test_a_plateau_is_no_bell():
    assert verdict("decoder-bell", shape(PLATEAU)) == FAILS
    record = judge("decoder-bell", shape(PLATEAU))["models"][0]
    assert record["statistic"] == pytest.approx(0.0)
    assert record["details"]["first_third"] == pytest.approx(0.4 / 3, abs=1e-6)
    assert record["details"]["last_third"] == pytest.approx(0.9)


def test_neither_embedding_nor_final_norm_counts():
    only_ends = [0.0, *[0.5] * 9, 0.0]
    record = judge("decoder-bell", shape(only_ends))
    assert record["verdict"] == FAILS
    everywhere = next(s for s in record["sensitivity"] if s["what"].startswith("every layer"))
    assert everywhere["statistic"] > 0.1


def test_the_interval_must_clear_the_margin():
    assert verdict("decoder-bell", shape(BELL, stderr=0.2)) == FAILS
    record = judge("decoder-bell", shape(BELL, stderr=0.01))["models"][0]
    # Student's 97.5 % quantile with 7 degrees of freedom; two thirds' errors are added.
    half = 2.364624 * 0.02
    assert record["high"] - record["statistic"] == pytest.approx(half, abs=1e-5)


def test_encoders():
    assert verdict("encoder-uniform", shape(FLAT, role="encoder")) == IN_PART
    assert verdict("encoder-uniform", shape(BELL, role="encoder")) == FAILS
    assert verdict("encoder-uniform", shape(FLAT, role="encoder", stderr=0.02)) == FAILS


def test_nothing_to_test():
    assert verdict("encoder-uniform", shape(BELL, role="decoder")) == UNTESTABLE
    assert verdict("decoder-bell", shape(BELL, stderr=float("nan"), groups=2)) == UNTESTABLE
    assert verdict("decoder-bell", shape([0.1, 0.2, 0.3])) == UNTESTABLE
    record = judge("decoder-bell", shape([0.1, 0.2, 0.3]))
    assert sentence(record["models"][0]) == "– (no interval: too few windows)"


def test_content_tokens_are_shown_beside():
    table = pd.concat([shape(BELL), shape(PLATEAU, tokens="content")], ignore_index=True)
    record = judge("decoder-bell", table)
    assert record["verdict"] == IN_PART
    content = next(s for s in record["sensitivity"] if s["what"].startswith("content"))
    assert not content["met"]


def test_a_record_is_plain_json_and_shown_in_full(capsys: pytest.CaptureFixture[str]):
    records = [judge("decoder-bell", shape(PLATEAU)), judge("encoder-uniform", shape(FLAT))]
    bundle, metadata = Shown(records)._repr_mimebundle_()
    assert json.loads(json.dumps(metadata[claims.METADATA], allow_nan=False)) == records
    assert "does not hold here" in bundle["text/html"]
    assert "not testable here" in bundle["text/plain"]
    words(records)
    printed = capsys.readouterr().out
    assert printed == "decoder bell: does not hold here\nencoder uniform: not testable here\n"
    assert not re.search(r"\d", printed)


def test_every_claim_is_complete():
    assert set(claims.VERDICTS) == {HOLDS, IN_PART, FAILS, UNTESTABLE}
    for claim in claims.claims().values():
        assert claim.rule in claims.RULES
        assert claim.role in ("encoder", "decoder")
        assert claim.margin > 0
        assert 0.5 < claim.confidence < 1
        assert not re.search(r"\d", claim.title)
    numbers = [claim.number for claim in claims.claims().values()]
    assert len(set(numbers)) == len(numbers)


def test_the_rules_are_those_fixed_beforehand():
    bell, uniform = (claims.claims()[each] for each in ("decoder-bell", "encoder-uniform"))
    for claim in (bell, uniform):
        assert claim.select == {"metric": "anisotropy", "centered": True, "tokens": "all"}
        assert (claim.margin, claim.confidence) == (0.1, 0.95)


def test_an_unknown_claim():
    with pytest.raises(ShapelibError, match="did you mean 'decoder-bell'"):
        judge("decoder-bel", shape(BELL))
