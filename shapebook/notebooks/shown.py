"""What a notebook shows of its run: parameters, provenance, and a table to take away."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import pandas as pd

from shapebook.notebooks.runs import Run, lines, runs_of

MEASURED = "shapelib_measured"
"""Where an output keeps which measurements it shows."""
BORROWED = "shapelib_kept"
"""Where an output keeps which tables kept as data it shows."""
TABLE = "shapelib_table"
# So many models and runs stand in the open.
_MANY = 6


class Numbers:
    """A table that a page offers whole: the output's metadata hold it as CSV, and the book writes
    it to ``data/PAGE.csv``."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, str]]:
        csv = self.table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        shown = Facts({"rows": len(self.table), "columns": ", ".join(self.table.columns)})
        return shown._repr_mimebundle_()[0], {TABLE: csv}


class Facts:
    """A two-column table for a notebook: parameters, or provenance; the page's own runs and those
    kept as data go to its metadata.

    `folded`: how many of the first facts are one click away, where they are many.
    """

    def __init__(
        self,
        facts: Mapping[str, object],
        runs: Iterable[Run] = (),
        folded: int = 0,
    ) -> None:
        self.facts, self.folded = dict(facts), folded
        own = ("model", "seconds", "created")
        # Tables kept as data were no work of the page's.
        self.runs = [{name: run.told[name] for name in own} for run in runs if not run.kept]
        self.kept = [
            {"command": run.told["command"], "seconds": run.told["seconds"] if run.whole else None}
            for run in runs
            if run.kept
        ]

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, Any]]:
        facts = list(self.facts.items())
        shown = _rows(facts[self.folded :])
        if self.folded:
            first = _rows(facts[: self.folded])
            shown += f"<details><summary>{self.folded} models and runs</summary>{first}</details>"
        plain = "\n".join(f"{name}: {value}" for name, value in facts)
        told = {MEASURED: self.runs, BORROWED: self.kept}
        bundle = {"text/html": shown, "text/plain": plain}
        return bundle, {key: runs for key, runs in told.items() if runs}


def _rows(facts: Iterable[tuple[str, object]]) -> str:
    rows = (
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in facts
    )
    return f"<table class='dataframe'><tbody>{''.join(rows)}</tbody></table>"


def show_parameters(scope: Mapping[str, Any], names: Iterable[str]) -> Facts:
    """The parameters a notebook ran with: ``show_parameters(globals(), ["models", …])``."""
    return Facts({name: scope[name] for name in names})


def show_provenance(table: pd.DataFrame) -> Facts:
    """What each run behind a table says about itself, one line a run, then what they share.

    A run kept as data names the command that made it, and counts where the table has rows of it.
    What ``table.attrs["failures"]`` says could not be measured stands there with its reason.
    """
    runs = runs_of(table)
    facts: dict[str, object] = dict(lines(runs))
    folded = len(facts) if len(facts) > _MANY else 0
    facts |= {f"missing {what}": why for what, why in table.attrs.get("failures", [])}
    told = [run.told for run in runs]
    for run in {each["corpus"]: each for each in told if "corpus" in each}.values():
        facts[f"text {run['corpus']}"] = f"cleaned text sha256 {run['corpus_sha256'][:12]}"
    for run in {each["task"]: each for each in told if "task" in each}.values():
        facts[f"task {run['task']}"] = (
            f"{run['task_source']} {run['task_version']}, {run['duplicates']} copies removed, "
            f"sha256 {run['task_sha256'][:12]}"
        )
    facts["versions"] = ", ".join(f"{name} {v}" for name, v in told[0]["versions"].items())
    commits = {str(run["commit"] or "not kept") for run in told}
    facts["commit"] = ", ".join(sorted(each.replace("-dirty", " with changes") for each in commits))
    facts["machine"] = ", ".join(sorted({run["machine"] for run in told}))
    created = sorted({run["created"] for run in told})
    facts["measured"] = created[0] if len(created) == 1 else f"{created[0]} to {created[-1]}"
    return Facts(facts, runs, folded)
