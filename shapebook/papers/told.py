"""A plan in words, for a terminal."""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from shapebook.pages.models import DOWNLOAD, SPEEDS, in_bytes, in_time, power
from shapebook.papers.plan import COPIES, Plan, Weights
from shapelib.models.suites import is_suite
from shapelib.store import cache

ALLOW = "SHAPEBOOK_ALLOW_PICKLE"
"""The environment variable that allows pickles, as ``--allow-pickle`` does."""


def lines(plan: Plan) -> Iterator[str]:
    """What a figure measures and what that takes, a fact a line."""
    figure = plan.figure
    yield f"{figure.name}: {figure.title} ({figure.prints})"
    yield f"measures   {_measured(plan)}"
    yield f"with       {_settings(plan)}"
    if plan.unknown:
        yield f"unknown    {', '.join(plan.unknown)}: not in the catalogue, and not reckoned below"
    yield f"download   {_download(plan)}"
    yield f"disk       {_disk(plan)}"
    if plan.largest:
        yield f"memory     {_memory(plan)}"
    if sum(plan.work):
        yield f"operations {_operations(plan)}"
    yield f"hours      {_hours(plan)}"
    yield f"cached     {_some([each for each in plan.needed if each.here], len(plan.needed))}"
    yield f"gated      {_gated(plan)}"
    yield f"pickled    {_pickled(plan)}"


def _measured(plan: Plan) -> str:
    figure = plan.figure
    if figure.kind == "table":
        return f"the configurations of {len(plan.needed)} repositories, and no weights"
    models = {each.name.partition("@")[0] for each in plan.needed}
    points = [each for each in plan.needed if each.point]
    if not points:
        return f"{len(models)} models: {', '.join(each.name for each in plan.needed)}"
    of = []
    for name in dict.fromkeys(each.name.partition("@")[0] for each in points):
        steps = [each.point.step for each in points
                 if each.point and each.name.startswith(f"{name}@")]  # fmt: skip
        of.append(f"{name} ({len(steps)}: steps {', '.join(map(str, steps))})")
    alone = [each.name for each in plan.needed if not each.point]
    return f"{len(points)} checkpoints: {'; '.join([*of, *alone])}"


def _settings(plan: Plan) -> str:
    named = ("models", "suites", "checkpoints")
    rest = {k: v for k, v in plan.figure.parameters.items() if k not in named}
    return ", ".join(f"{name}={value}" for name, value in rest.items()) or "nothing else"


def _download(plan: Plan) -> str:
    every = sum(each.size for each in plan.needed)
    if plan.figure.kind == "table":
        return f"{in_bytes(plan.download)} at most"
    there = f", of {in_bytes(every)} in all" if plan.download != every else ""
    counted = any(not each.point for each in plan.needed)
    how = "; reckoned from numbers of parameters" if counted else "; by the catalogue"
    return f"{in_bytes(plan.download)}{there}{how}; the text and data sets on top"


def _disk(plan: Plan) -> str:
    place = hub_cache()
    said = f"{in_bytes(plan.download)} stay in the hub's cache ({place}, {_free(place)} free"
    said += ": TOO SMALL)" if plan.download > free(place) else ")"
    if plan.states:
        own = cache.root()
        said += (
            f"; up to {in_bytes(plan.states)} of hidden states of one model at a time in memory "
            f"or in {own} ({_free(own)} free)"
        )
    return said


def _memory(plan: Plan) -> str:
    assert plan.largest is not None
    entry, on_gpu, without = plan.largest
    copies = f", {COPIES} copies of its weights" if plan.figure.kind == "tuning" else ""
    there = "" if on_gpu == without else f", {in_bytes(without)} without one"
    return f"the largest, {entry.name}, takes {in_bytes(on_gpu)} on a GPU{there}{copies}"


def _operations(plan: Plan) -> str:
    network, states = plan.work
    if not states:
        return f"{power(network)}, in training and scoring"
    return f"{power(network)} in forward passes, {power(states)} in measuring hidden states"


def _hours(plan: Plan) -> str:
    said = [f"{in_time(plan.download / DOWNLOAD)} to download at {DOWNLOAD / 1e6:.0f} MB a second"]
    if sum(plan.work):
        network, states = plan.work
        cores, gpu = SPEEDS["two CPU cores"], SPEEDS["one GPU"]
        beside = " and two cores beside it, which measure the states" if states else ""
        said += [
            f"{in_time((network + states) / cores)} on two CPU cores at {power(cores)} operations "
            "a second",
            f"{in_time(network / gpu + states / cores)} with one GPU at {power(gpu)}{beside}",
        ]
    return f"an estimate, reckoned and not measured: {'; '.join(said)}"


def _gated(plan: Plan) -> str:
    gated = [each for each in plan.missing if each.gated and each.entry]
    if not gated:
        return "none"
    where = ", ".join(f"https://huggingface.co/{each.entry.hub}" for each in gated if each.entry)
    token = "a token is set" if _token() else "no token is set: hf auth login, or HF_TOKEN"
    names = ", ".join(each.name for each in gated)
    return f"{names}: accept the licence on {where} ({token}); without it the rest goes on"


def _pickled(plan: Plan) -> str:
    if not plan.pickled:
        return "none"
    return f"{by_model(plan.pickled)}: read only with --allow-pickle or {ALLOW}=1"


def by_model(some: Iterable[Weights]) -> str:
    """The names of some of them, checkpoints counted by their suite."""
    counts: dict[str, int] = {}
    for each in some:
        name = each.name.partition("@")[0] if each.point else each.name
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(
        f"{name} ({count} checkpoints)" if is_suite(name) and count > 1 else name
        for name, count in counts.items()
    )


def _some(these: list[Weights], total: int) -> str:
    return f"{len(these)} of {total}: {by_model(these)}" if these else f"none of {total}"


def hub_cache() -> Path:
    """The folder of the hub's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def free(folder: Path) -> int:
    """Bytes that are free where a folder is or would be."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(there).free


def _free(folder: Path) -> str:
    return in_bytes(free(folder))


def _token() -> bool:
    from huggingface_hub import get_token

    return bool(get_token() or os.environ.get("HF_TOKEN"))
