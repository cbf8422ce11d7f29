"""What every rule is held to, over the tables that this book keeps: a new claim inherits it all."""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from shapebook.claims.course import course
from shapebook.claims.judge import RULES, WORDS, claims, judge
from shapelib.errors import ShapelibError
from shapelib.finetuning import by_seed
from shapelib.store import read_table

ROOT = Path(__file__).parents[3]


class Rules:
    """Of all claims that are judged from one kind of table: what may not change their records, and
    bad input. A subclass gives the table; the claims are those of ``claims.yml``."""

    kind: ClassVar[str]
    table: ClassVar[Any]

    @classmethod
    def records(cls, table: pd.DataFrame) -> dict[str, Any]:
        return {
            name: judge(name, table) for name, each in claims().items() if each.table == cls.kind
        }

    @classmethod
    @cache
    def kept(cls) -> dict[str, Any]:
        """The records of the table as it is, made once for all tests."""
        return cls.records(cls.table())

    def test_every_rule_of_the_kind_is_asked_for(self):
        """By a claim's word or by a reading beside it; a rule that nothing asks for is dead."""
        asked = {
            one.rule
            for each in claims().values() if each.table == self.kind
            for one in (each, *(reading.claim for reading in each.otherwise))
        }  # fmt: skip
        assert asked == set(RULES[self.kind])

    def test_the_order_of_rows_does_not_count(self):
        table = self.table()
        mixed = table.sample(frac=1, random_state=0).reset_index(drop=True)
        mixed.attrs = table.attrs
        one, other = self.kept(), self.records(mixed)
        assert one
        for name in one:
            assert self.by_model(one[name]) == self.by_model(other[name]), name

    def test_an_interval_holds_its_number_and_is_plain(self):
        seen = 0
        for name, record in self.kept().items():
            assert record["verdict"] in WORDS
            assert json.loads(json.dumps(record)) == record
            for each in (*record["models"], *record["readings"]):
                if each["low"] is None:
                    continue
                seen += 1
                assert each["low"] <= each["statistic"] <= each["high"], (name, each)
        assert seen >= 3

    def test_a_word_hangs_on_no_name(self):
        """What a claim speaks of is decided by what was loaded."""
        table = self.table()
        renamed = table.assign(model="x-" + table["model"].astype(str))
        renamed.attrs = {
            **table.attrs,
            "provenance": [
                {**run, "model": f"x-{run['model']}"} if "model" in run else run
                for run in table.attrs.get("provenance", [])
            ],
        }
        one, other = self.kept(), self.records(renamed)
        for name in one:
            if not any("model" in each for each in claims()[name].series):
                assert one[name]["verdict"] == other[name]["verdict"], name

    def test_no_rows_give_no_word_and_say_why(self):
        for name, record in self.records(self.table().iloc[:0]).items():
            assert record["verdict"] == "not testable here", name
            assert record["models"] == []

    def test_a_column_that_is_missing_is_named(self):
        for name, each in claims().items():
            if each.table != self.kind:
                continue
            for column in each.select:
                with pytest.raises(ShapelibError, match=f"no column '{column}'"):
                    judge(name, self.table().drop(columns=column))

    @staticmethod
    def by_model(record: dict[str, Any]) -> Any:
        """A record's numbers by what they are of, rounded: sums may change in the last bit."""
        return record["verdict"], {
            (each.get("what", ""), each["model"]): [
                each[key] if each[key] is None else round(each[key], 5)
                for key in ("statistic", "low", "high")
            ]
            for each in (*record["models"], *record["readings"])
        }  # fmt: skip


class TestShape(Rules):
    kind = "shape"

    @staticmethod
    @cache
    def table() -> pd.DataFrame:
        """The profiles of the first page with a verdict, as the book recorded them."""
        found = pd.read_csv(ROOT / "book/executed/data/profiles.csv", keep_default_na=True)
        found["centered"] = found["centered"].astype("boolean")
        found["by_group"] = found["by_group"].fillna("")
        facts = {"smollm2-135m": (134_515_008, "language modelling"),
                 "minilm-l6": (22_713_216, "contrastive")}  # fmt: skip
        found.attrs["provenance"] = [
            {"model": name, "parameters": numbers, "training": kind}
            for name, (numbers, kind) in facts.items()
        ]
        return found


class TestCourse(Rules):
    kind = "course"

    @staticmethod
    @cache
    def table() -> pd.DataFrame:
        kept = ROOT / "results/training"
        training, shape = (read_table(kept / f"{name}.parquet") for name in ("training", "shape"))
        return course(shape, training)


class TestCrossings(Rules):
    kind = "crossings"

    @staticmethod
    @cache
    def table() -> pd.DataFrame:
        kept = read_table(ROOT / "results/tuning/tuning.parquet")
        searches = [f"minilm-questions-{way}" for way in ("full", "DID", "SAID")]
        return by_seed(kept[kept["part"].isin(["DID", "SAID", *searches])])


def test_every_kind_of_table_has_the_suite():
    assert {each.kind for each in Rules.__subclasses__()} == set(RULES)
    assert all(math.isfinite(each.margin) for each in claims().values())
