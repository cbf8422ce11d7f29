"""Whose run a page is of: the book's, for which its text was written, or a reader's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shapebook.claims.verdicts import UNTESTABLE
from shapebook.notebooks import notebook as notebooks

# What changes where a page is run, and not what it shows.
_PLACES = ("allow_pickle", "device", "memory", "store", "workers")

Changes = dict[str, tuple[Any, Any]]
"""The value here and the book's, by the name of the parameter."""


def changes(notebook: str | Path, given: Mapping[str, Any]) -> Changes:
    """The parameters of a run that are not those of the book's run of the same notebook.

    The book's are in ``params/*.yml`` of the checkout that the notebook is of; of several pages
    of one notebook the nearest counts. Nothing for a notebook that no page of a book is made from.
    """
    here = notebooks.check(notebook, given)
    file = Path(notebook).resolve()
    found = [
        {name: (value, there[name]) for name, value in here.items() if there[name] != value}
        for run in notebooks.runs_of_book(file.parent.parent)
        if run.notebook.name == file.name
        for there in [notebooks.check(notebook, run.parameters)]
    ]
    counted = [{k: v for k, v in each.items() if k not in _PLACES} for each in found]
    return min(counted, key=len, default={})


def judged(record: dict[str, Any]) -> str:
    """A verdict in a line: of which models it is, what stands alone behind it, or why there is no
    other word and what would give one."""
    from shapebook.claims.records import reason, verdict

    tested = [each["model"] for each in record["models"] if each["word"] != UNTESTABLE]
    if tested:
        return f"{record['title']}: {verdict(record)}; judged: {', '.join(tested)}"
    return (
        f"{record['title']}: {record['verdict']} ({reason(record)}); "
        f"would test it: {record['would_test']}"
    )


def commands(notebook: notebooks.Notebook) -> list[str]:
    """The commands that made the tables kept as data which an executed page shows."""
    return list(dict.fromkeys(str(each["command"]) for each in notebooks.borrowed(notebook)))
