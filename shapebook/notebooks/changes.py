"""Whose run a page is of: the book's, for which its text was written, or a reader's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shapebook.notebooks import notebook as notebooks

# What changes where a page is run, and not what it shows.
_PLACES = ("device", "workers")

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
        for _, of, book in notebooks.runs_of_book(file.parent.parent)
        if of.name == file.name
        for there in [notebooks.check(notebook, book)]
    ]
    counted = [{k: v for k, v in each.items() if k not in _PLACES} for each in found]
    return min(counted, key=len, default={})


def judged(record: Mapping[str, Any]) -> str:
    """A verdict in a line: of which models it is, and what bounds it."""
    names = [each["model"] for each in record["models"]]
    of = f" (judged: {', '.join(names)})" if names else ""
    bound = f"; {limit(record)}" if limit(record) else ""
    return f"{record['title']}: {record['verdict']}{of}{bound}"


def limit(record: Mapping[str, Any]) -> str:
    """Why a claim that every judged model meets holds in part only: there was one model."""
    from shapebook.claims.judge import IN_PART

    tested = [each for each in record["models"] if each["statistic"] is not None]
    if record["verdict"] == IN_PART and len(tested) == 1 and tested[0]["met"]:
        return "one model is no class, so by the rules no single model can get more"
    return ""


def commands(notebook: notebooks.Notebook) -> list[str]:
    """The commands that made the tables kept as data which an executed page shows."""
    return list(dict.fromkeys(str(each["command"]) for each in notebooks.borrowed(notebook)))
