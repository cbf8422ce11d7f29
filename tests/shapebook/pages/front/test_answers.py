"""The first page's three answers say what records and tables say, whatever that is."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from shapebook.experiments.published import published_training
from shapebook.pages.front import answers
from shapelib.errors import ShapelibError

EXECUTED = Path(__file__).parents[4] / "book" / "executed"


@pytest.fixture
def executed(tmp_path: Path) -> Path:
    """The records, and the figures' rows, to be changed."""
    (tmp_path / "figures").mkdir()
    for name in ("claims.json", *(f"figures/{each}.csv" for each in answers.FIGURES)):
        shutil.copy(EXECUTED / name, tmp_path / name)
    return tmp_path


def change(executed: Path, claim: str, **told: Any) -> None:
    file = executed / "claims.json"
    records = json.loads(file.read_text())
    for each in records:
        if each["id"] == claim:
            each.update(told)
    file.write_text(json.dumps(records))


def test_each_answer_has_its_word_and_the_page_that_reached_it(executed: Path):
    bell, rise, sizes = answers.answers(executed)
    records = {each["id"]: each for each in json.loads((executed / "claims.json").read_text())}
    assert [word for word, _, _ in bell.words] == [records["decoder-bell"]["verdict"]]
    assert bell.words[0][2] == "profiles"
    assert {page for _, _, page in rise.words} == {"dimension-during-training"}
    assert sizes.words[0][2] == "two-dimensions"
    for each in (bell, rise, sizes):
        assert each.picture.lstrip().startswith("<?xml") or "<svg" in each.picture
        assert len(each.alt) > 40


def test_the_sentences_follow_the_numbers(executed: Path):
    models = [
        {"model": "a", "statistic": 0.234, "word": "supported"},
        {"model": "b", "statistic": -0.06, "word": "contradicted"},
    ]
    filled = [
        {**each, "low": 0, "high": 1, "of": [each["model"]], "outside": ""} for each in models
    ]
    change(executed, "decoder-bell", models=filled, verdict="mixed", margin=0.125)
    change(executed, "dimension-falls", verdict="supported", models=filled[:1])
    figures = executed / "figures"
    curves = pd.read_csv(figures / "dimension-during-training-curves.csv")
    curves.assign(value=curves["value"] + 10).to_csv(
        figures / "dimension-during-training-curves.csv", index=False
    )
    bell, rise, _ = answers.answers(executed)
    assert bell.words[0][0] == "mixed"
    assert bell.sentence.startswith(
        "In 1 of 2 decoders do the middle layers stand out by the 0.125"
    )
    assert "0.23 in a, −0.06 in b" in bell.sentence
    # Two claims of one question with two words have both.
    assert [word for word, _, _ in rise.words] == ["not testable here", "supported"]
    published = published_training().query("part == 'mean'")["value"]
    fall = 1 - published.iloc[-1] / published.max()
    assert f"to {published.max():.0f} by step" in rise.sentence
    assert f"then {fall:.0%} down" in rise.sentence
    found = re.search(r"trained here: ([\d.]+) at first", rise.sentence)
    assert found is not None
    assert float(found[1]) > 15


def test_published_numbers_are_whole():
    table = published_training()
    assert table.groupby("part")["step"].apply(list).map(len).tolist() == [10, 10, 10]
    by_step = table.pivot(index="step", columns="part", values="value")
    assert (by_step["highest layer"] > by_step["mean"]).all()
    assert (by_step["mean"] > by_step["last layer"]).all()


def test_what_is_missing_is_named(executed: Path):
    (executed / "figures" / "two-dimensions-sizes.csv").unlink()
    with pytest.raises(ShapelibError, match=r"lack what the first page shows: .*two-dimensions"):
        answers.answers(executed)
    (executed / "claims.json").write_text("[]")
    with pytest.raises(ShapelibError, match="lack what the first page shows"):
        answers.answers(executed)
