"""What each figure of the papers takes, as a table of the book: reckoned, and not measured."""

from pathlib import Path

from shapebook.pages.models import SPEEDS, head, in_bytes, in_time, power, row
from shapebook.papers.listed import figures, in_order
from shapebook.papers.plan import Plan, plan
from shapelib.cli.tables import Here


class Nowhere(Here):
    """A machine that holds nothing yet."""

    def __init__(self) -> None:
        self._assets: list[str] = []
        self._hub: dict[str, dict[str, bool]] = {}


def table(root: Path) -> str:
    """A figure a row, as Markdown, from an empty cache. It stands in ``book/models.md``."""
    found = figures(root)
    plans = [plan(found[name], Nowhere()) for name in in_order(found)]
    cores, gpu = (power(each) for each in SPEEDS.values())
    lines = head(
        "figure", "measures", "download", "largest on a GPU", "operations",
        f"two CPU cores at {cores} a second", f"one GPU at {gpu}",
    )  # fmt: skip
    return "\n".join([*lines, *map(_row, plans)])


def _row(plan: Plan) -> str:
    network, states = plan.work
    points = [each for each in plan.needed if each.point]
    of = f"{len(plan.figure.names)} models"
    measured = f"{len(points)} checkpoints of {of}" if points else of
    largest = f"{plan.largest[0].name}, {in_bytes(plan.largest[1])}" if plan.largest else ""
    work = power(network + states) if network else ""
    by_cores = in_time((network + states) / SPEEDS["two CPU cores"]) if work else ""
    by_gpu = network / SPEEDS["one GPU"] + states / SPEEDS["two CPU cores"]
    return row(
        f"`{plan.figure.name}`", measured.replace("1 models", "1 model"), in_bytes(plan.download),
        largest, work, by_cores, in_time(by_gpu) if work else "",
    )  # fmt: skip
