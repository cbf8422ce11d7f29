"""What archives read says what CITATION.cff says."""

import json
from pathlib import Path

import yaml

from shapebook.pages.outside import citation

ROOT = Path(__file__).parents[4]


def test_the_files_are_made_of_the_citation():
    for name, text in citation.texts(ROOT).items():
        there = (ROOT / name).read_text()
        assert there == text, f"{name}: run: python -m shapebook.pages.outside.citation"


def test_they_say_who_made_it_under_which_licence_and_after_which_papers():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    codemeta, zenodo = (json.loads((ROOT / name).read_text()) for name in citation.FILES)
    assert codemeta["name"] == zenodo["title"] == cited["title"]
    assert codemeta["version"] == zenodo["version"] == cited["version"]
    assert codemeta["license"].endswith(zenodo["license"])
    papers = ["https://arxiv.org/abs/2311.05928", "https://doi.org/10.18653/v1/2021.acl-long.568"]
    assert [each["identifier"] for each in codemeta["referencePublication"]] == papers
    assert [each["identifier"] for each in zenodo["related_identifiers"]] == papers
