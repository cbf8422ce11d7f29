"""What the readings of a claim say of networks that it does not speak of: a reading that they pass
as well says nothing."""

import re
from dataclasses import replace

import pandas as pd

from shapebook.claims import judge
from shapebook.claims.rulebook import Claim
from shapebook.claims.statistic import Statistic, two_decimals

_DRAW = re.compile(r", random weights \d+$")
RANDOM = ", random weights"


class Controls:
    """The readings of a claim about layers, over every model of a table, as a notebook shows them.

    :param claim: its id; it asks for a value above its margin.
    :param table: a shape table. Models called ``NAME, random weights 0``, ``… 1`` are draws of one
        network that has learned nothing: they pass a reading where any of them does.
    """

    def __init__(self, claim: str, table: pd.DataFrame) -> None:
        self.claim = judge.claims()[claim]
        rows = [
            {"reading": what, **each}
            for what, one in _readings(self.claim)
            for each in _of_models(one, self.claim, table)
        ]
        self.table = pd.DataFrame(rows, columns=["reading", "model", "control", "said", "passes"])

    @property
    def empty(self) -> dict[str, list[str]]:
        """The readings that some model passes of which the claim does not speak, with which."""
        passed = self.table[self.table["control"] & self.table["passes"]]
        return {str(name): list(own["model"]) for name, own in passed.groupby("reading")}

    def shown(self) -> pd.DataFrame:
        """Readings down, models across, and last what a reading that passes is worth."""
        told = self.table.assign(
            said=self.table["said"] + self.table["passes"].map({True: ", passes", False: ""})
        )
        names = list(dict.fromkeys(told["reading"]))
        wide = told.pivot(index="reading", columns="model", values="said")
        wide = wide.loc[names, list(dict.fromkeys(told["model"]))].fillna("\N{EN DASH}")
        return wide.assign(
            worth=["nothing: controls pass" if name in self.empty else "" for name in names]
        )

    def _repr_html_(self) -> str:
        return str(self.shown().to_html())

    def __repr__(self) -> str:
        return str(self.shown().to_string())


def _readings(claim: Claim) -> list[tuple[str, Claim]]:
    """The rule, and what reads the same role otherwise by a height; a depth passes nothing."""
    others = [
        (each.what, each.claim)
        for each in claim.otherwise
        if each.claim.role == claim.role and each.claim.rule != "top_depth"
    ]
    return [("by the rule", claim), *others]


def _of_models(one: Claim, claim: Claim, table: pd.DataFrame) -> list[dict[str, object]]:
    found: dict[str, list[tuple[Statistic, str]]] = {}
    for name, rows in replace(one, role="any").groups(table):
        place = found.setdefault(_DRAW.sub(RANDOM, name), [])
        place.append((judge.statistic(one, rows), str(rows["role"].iloc[0])))
    return [
        {
            "model": name,
            "control": name.endswith(RANDOM) or draws[0][1] != claim.role,
            "said": _said([each for each, _ in draws]),
            "passes": any(each.low > claim.margin for each, _ in draws),
        }
        for name, draws in found.items()
    ]


def _said(draws: list[Statistic]) -> str:
    """A number with its interval; of several draws the lowest and the highest number."""
    if not any(each.testable for each in draws):
        return "\N{EN DASH}"
    if len(draws) == 1:
        (one,) = draws
        return f"{two_decimals(one.value)} [{two_decimals(one.low)}, {two_decimals(one.high)}]"
    values = sorted(each.value for each in draws)
    return f"{two_decimals(values[0])} to {two_decimals(values[-1])}, {len(draws)} draws"
