"""How a model was trained, by its files and its class, and the end of a suite's warm-up."""

from pathlib import Path

import pytest

from shapebook.claims.judge import claims
from shapebook.claims.rulebook import TRAINING
from shapelib.models import catalogue
from shapelib.states.trained_as import CONTRASTIVE, LANGUAGE, UNKNOWN, from_files, warmup_tokens


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("BertForMaskedLM", LANGUAGE),
        ("BertForPreTraining", LANGUAGE),
        ("GPT2LMHeadModel", LANGUAGE),
        ("LlamaForCausalLM", LANGUAGE),
        ("RobertaForSequenceClassification", "classification"),
        ("BertModel", UNKNOWN),
    ],
)
def test_a_class_tells_what_its_head_was_trained_for(tmp_path: Path, architecture: str, kind: str):
    assert from_files(tmp_path, [architecture]) == kind
    assert from_files(tmp_path, []) == UNKNOWN
    (tmp_path / "modules.json").write_text("[]")
    assert from_files(tmp_path, [architecture]) == CONTRASTIVE


def test_what_the_catalogue_says_is_a_kind_that_regimes_know():
    kinds = {entry.training for entry in catalogue.models().values()} - {""}
    assert kinds == {CONTRASTIVE}
    assert {LANGUAGE, CONTRASTIVE} == set(TRAINING)
    assert claims()["encoder-uniform"].regime.training == (LANGUAGE,)


def test_warm_ups_are_those_that_the_paper_prints():
    ends = {
        name: warmup_tokens(entry) for name, entry in catalogue.models().items() if entry.table1
    }
    assert ends["pythia-2.8b"] == 3 * 10**9
    assert ends["bloom-560m"] == 375 * 10**6
    assert len(ends) == 6
    assert warmup_tokens(catalogue.models()["gpt2"]) is None
    assert warmup_tokens(None) is None
