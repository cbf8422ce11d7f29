"""What a notebook shows of its run: parameters, provenance, and a table to take away."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import pandas as pd

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
        runs: Iterable[Mapping[str, Any]] = (),
        kept: Iterable[Mapping[str, Any]] = (),
        folded: int = 0,
    ) -> None:
        self.facts, self.folded = dict(facts), folded
        self.runs = [{name: run[name] for name in ("model", "seconds", "created")} for run in runs]
        self.kept = [{"command": run["command"], "seconds": _whole(run)} for run in kept]

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


def _whole(run: Mapping[str, Any]) -> float | None:
    """The seconds of a run kept as data; None where it kept those of one measurement of many."""
    return run["seconds"] if "runs" in run else None


def show_provenance(table: pd.DataFrame) -> Facts:
    """What each run behind a table says about itself, one line a run, then what they share.

    A run kept as data names the command that made it, and counts where the table has rows of it.
    """
    runs = [run for run in table.attrs["provenance"] if _is_in(table, run)]
    facts: dict[str, object] = {}
    for run in runs:
        if "pooled" not in run:
            continue
        counts = run["pooled"]
        caveat = f"; {run['caveat']}" if run["caveat"] else ""
        # Tables that earlier versions kept do not say it.
        if run.get("quantised"):
            caveat += f"; weights in its file: {run['quantised']}"
        facts[f"model {run['model']}"] = (
            f"files {(run['revision'] or run['fingerprint'])[:12]}, {run['dtype']}, "
            f"{run['device']}, {counts['all']} vectors pooled from {counts['windows']} windows "
            f"({counts['dropped_all']} left over), {_taken(run)}{caveat}"
        )
    tuned = [run for run in runs if "task" in run]
    parts = [run for run in tuned if "part" in run]
    for run in parts:
        facts[f"part {run['part']}"] = (
            f"{run['runs']} runs, {run['seconds']:.0f} s in all: {run['command']}"
        )
    live = [run for run in tuned if "part" not in run]
    tunings: dict[str, list[dict[str, Any]]] = {}
    for run in live:
        tunings.setdefault(f"model {run['model']} tuned on {run['task']}", []).append(run)
    for name, of in tunings.items():
        run = of[0]
        facts[name] = (
            f"files {(run['revision'] or run['fingerprint'])[:12]}, {run['device']}, "
            f"{len(of)} runs, {sum(each['seconds'] for each in of):.0f} s in all"
        )
    folded = len(facts) if len(facts) > _MANY else 0
    for run in {each["corpus"]: each for each in runs if "corpus" in each}.values():
        facts[f"text {run['corpus']}"] = f"cleaned text sha256 {run['corpus_sha256'][:12]}"
    for run in {each["task"]: each for each in tuned}.values():
        facts[f"task {run['task']}"] = (
            f"{run['task_source']} {run['task_version']}, {run['duplicates']} copies removed, "
            f"sha256 {run['task_sha256'][:12]}"
        )
    first = runs[0]
    facts["versions"] = ", ".join(f"{name} {v}" for name, v in first["versions"].items())
    commits = {str(run["commit"] or "not kept") for run in runs}
    facts["commit"] = ", ".join(sorted(each.replace("-dirty", " with changes") for each in commits))
    facts["machine"] = ", ".join(sorted({run["machine"] for run in runs}))
    created = sorted({run["created"] for run in runs})
    facts["measured"] = created[0] if len(created) == 1 else f"{created[0]} to {created[-1]}"
    # Tables kept as data were no work of this page's.
    own = [run for run in runs if "command" not in run]
    return Facts(facts, own, [run for run in runs if "command" in run], folded)


def _is_in(table: pd.DataFrame, run: Mapping[str, Any]) -> bool:
    """Whether a run is the page's own, or kept as data and in the table: by its part or its model,
    where it is of one.

    A slice of a table keeps the provenance of all that was in it.
    """
    name = "part" if "part" in run else "model"
    told = "command" in run and name in run and name in table
    return not told or run[name] in set(table[name])


def _taken(run: Mapping[str, Any]) -> str:
    if "command" not in run:
        return f"{run['seconds']} s"
    if "runs" in run:
        return f"{run['seconds']} s for all {run['runs']} measurements"
    return f"{run['seconds']} s for the first of its checkpoints"
