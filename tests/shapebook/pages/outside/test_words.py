"""Words that change are told, and nothing else is."""

import json
from pathlib import Path
from typing import Any

import pytest

from shapebook.pages.outside import words
from shapelib.errors import ShapelibError


def kept(folder: Path, *records: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "claims.json").write_text(json.dumps(records))
    return folder


def record(title: str, word: str, *beside: str, statistic: float = 0.0) -> dict[str, Any]:
    models = [{"model": "m", "statistic": statistic}]
    told = {"number": 1, "title": title, "verdict": word, "beside": [*beside]}
    return {**told, "models": models}


def test_a_word_that_changed_is_told_with_both(tmp_path: Path):
    one = kept(
        tmp_path / "one", record("a", "supported"), record("b", "mixed"), record("c", "mixed")
    )
    other = kept(
        tmp_path / "other", record("a", "supported", statistic=0.5), record("b", "undecided"),
        record("d", "mixed"),
    )  # fmt: skip
    assert words.changed(one, one) == []
    assert words.changed(one, other) == [
        "1. b: mixed, now undecided",
        "1. c: mixed, now not there",
        "1. d: not there, now mixed",
    ]
    alone = kept(tmp_path / "alone", record("a", "supported", "one model alone"))
    assert words.changed(alone, kept(tmp_path / "all", record("a", "supported"))) == [
        "1. a: supported (one model alone), now supported"
    ]


def test_a_folder_without_records_is_named(tmp_path: Path):
    with pytest.raises(ShapelibError, match=r"claims.json' holds no records.*shapebook build"):
        words.changed(tmp_path, tmp_path)
