"""Recorded benchmarks as Markdown, as rows and as a figure: for the pages on speed and peers."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from shapelib.figures import PALETTE, dress, keep

# Recorded benchmarks of one yardstick and one table, or a list of such, a file each.
_SMALL = ("leverage", "pretrain", "scale", "subspace")
# From here on a range is so wide that its median says little: greatest ÷ least.
_WIDE = 3.0

UNMEASURED = "not measured"
PACKAGES = ("shapelib", "scikit-dimension", "DADApy", "LLM-Microscope")
# For each measure what a benchmark calls it in each package; None where a package has no such.
_PEERS: dict[str, tuple[str | None, str | None, str | None, str | None]] = {
    "TwoNN": (
        "shapelib three dimensions, ordinary", "scikit-dimension TwoNN", "DADApy TwoNN",
        "llm-microscope TwoNN, a later one",
    ),
    "MADA": ("shapelib three dimensions, ordinary", "scikit-dimension MADA", None, None),
    "method of moments, k = 100": (
        "shapelib three dimensions, k = 100", "scikit-dimension MoM", None, None,
    ),
    "anisotropy": ("shapelib anisotropy, ordinary", None, None, "llm-microscope anisotropy"),
    "average cosine": ("shapelib average cosine", None, None, None),
}  # fmt: skip
WHOLE = "all of a layer"
# What is no package's measure, and stands in the figure alone.
_BESIDE = {
    ("anisotropy", "NumPy, full SVD"): "NumPy SVD, singular values",
    (WHOLE, "shapelib"): "shapelib all of a layer",
}
# The fit that LLM-Microscope has, in per cent of the ratios.
_ONLY_LOWEST = 20


def tables(benchmarks: Path) -> dict[str, str]:
    """Every table of the recorded benchmarks as Markdown, by the name of its file; empty where
    nothing was recorded.

    ``commands`` is of ``commands.json``, the one record in minutes of a machine.
    ``timings-layer`` and ``timings-apart`` are of ``results.json``, as is ``timings-profile``;
    ``timings-NAME`` is of each ``NAME.json`` of `_SMALL`, ``peers`` and ``answers`` compare
    packages. A file of `_SMALL` holds a `title`, a `yardstick`, and `ratios` with `name`,
    `median`, `least`, `greatest` and `turns`, and may have a `note`; or it holds a list of such.
    """
    results, values = read(benchmarks / "results.json"), read(benchmarks / "values.json")
    whole = read(benchmarks / "commands.json")
    found = {
        "commands": _commands(whole) if whole else "",
        "timings-layer": _layer(results) if results else "",
        "timings-apart": _apart(results["apart"]) if results and "apart" in results else "",
        "timings-profile": _profile(results["profile"]) if results and "profile" in results else "",
        "peers": _compared(results) if results else "",
        "answers": _answers(values) if values else "",
    }
    for name in _SMALL:
        kept = read(benchmarks / f"{name}.json") or []
        found[f"timings-{name}"] = (
            _small(kept)
            if isinstance(kept, dict)
            else "\n".join(f"## {each['title']}\n\n{_small(each)}" for each in kept)
        )
    return found


def _commands(record: dict[str, Any]) -> str:
    """What each command took as a whole, and the machine that its minutes are of."""
    lines = _head("command", "time")
    for run in record["runs"]:
        command, _, note = run["command"].partition(", ")
        shown = f"`{command}`, {note}" if note else f"`{command}`"
        seconds = run["seconds"]
        time = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
        lines.append(f"| {shown} | {time} |")
    machine = record["machine"]
    lines.append(
        f"\n{machine['processor']}, {machine['cores']} cores, {machine['memory']} GiB of memory, "
        f"Python {record['python']}; measured on {record['measured']} at commit "
        f"{record['commit']}.\n"
    )
    return "\n".join(lines)


def read(file: Path) -> Any:
    """A recorded benchmark; None where it is not there."""
    return json.loads(file.read_text("utf-8")) if file.is_file() else None


def rows(record: dict[str, Any]) -> pd.DataFrame:
    """What the packages take for each measure, from ``results.json``: one thread, the middle number
    of features; the measures that two can be compared by, and all of a layer.

    Columns ``measure, package, value, least, greatest, turns``; `value` is the median over the
    turns, and all but `turns` are multiples of one float32 product X·Xᵀ.
    """
    found = _found(record)
    wanted = [
        (measure, package, name)
        for measure, names in _PEERS.items()
        for package, name in zip(PACKAGES, names, strict=True)
    ]
    wanted += [(measure, package, name) for (measure, package), name in _BESIDE.items()]
    made = [
        {
            "measure": measure, "package": package, "value": found[name]["median"],
            **{each: found[name][each] for each in ("least", "greatest", "turns")},
        }
        for measure, package, name in wanted if name in found
    ]  # fmt: skip
    columns = ["measure", "package", "value", "least", "greatest", "turns"]
    table = pd.DataFrame(made, columns=columns)
    several = table.groupby("measure")["package"].transform("size") > 1
    return table[several | (table["measure"] == WHOLE)].reset_index(drop=True)


def _middle(record: dict[str, Any]) -> int:
    features: list[int] = sorted({row["features"] for row in record["ratios"]})
    return features[len(features) // 2]


def _found(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By its name, what each contestant took at one thread and the middle number of features.

    Of what was measured apart, the peer alone: what stood beside it was measured twice.
    """
    apart = record.get("apart", {"ratios": []})["ratios"]
    every = [*(row for row in apart if row["name"].startswith("DADApy")), *record["ratios"]]
    width = _middle(record)
    return {row["name"]: row for row in every if row["threads"] == 1 and row["features"] == width}


def _compared(record: dict[str, Any]) -> str:
    found, versions = _found(record), record["versions"]
    apart = record.get("apart")
    told = {"scikit-dimension": versions.get("scikit-dimension", "")}
    told["DADApy"] = apart["versions"]["dadapy"] if apart else ""
    heads = [f"{package} {told.get(package, '')}".strip() for package in PACKAGES]
    lines = _head("", *heads)
    for measure, names in _PEERS.items():
        cells = [
            (_timing(found[name]) if name in found else UNMEASURED) if name else "has none"
            for name in names
        ]
        lines.append(f"| {measure} | {' | '.join(cells)} |")
    lines += [
        "", f"One thread, {_middle(record)} features; multiples of {record['yardstick']}: "
        f"median (least to greatest).{_wide_ones(found.values())}", "",
    ]  # fmt: skip
    if apart:
        lines += [_measured_apart(apart), ""]
    return "\n".join(lines)


def _measured_apart(apart: dict[str, Any]) -> str:
    """When, with what and beside what a peer in an environment of its own was measured."""
    versions = apart["versions"]
    return (
        f"DADApy was measured on {apart['measured']}, in processor time and with Python "
        f"{versions['python']}, NumPy {versions['numpy']} and scikit-learn "
        f"{versions['scikit-learn']}; {apart['processor']}."
    )


def _apart(record: dict[str, Any]) -> str:
    turns = record["ratios"][0]["turns"]
    told = (
        f"\nMultiples of {record['yardstick']}, {turns} turns: median (least to greatest)."
        f"{_wide_ones(record['ratios'])} {_measured_apart(record)}\n"
    )
    return "\n".join([*_by_width(record["ratios"]), told])


def _answers(record: dict[str, Any]) -> str:
    """What TwoNN answers, a row for each cloud and each fit."""
    lines = _head("TwoNN of points", "distinct", "fit: the lowest", *PACKAGES)
    for row in record["clouds"]:
        cells = [str(row["distinct"]), f"{row['lowest']} %"]
        cells += [_answer(row, package) for package in PACKAGES]
        lines.append(f"| {row['cloud']} | {' | '.join(cells)} |")
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines.append(
        f"\n{record['points']} Gaussian points of dimension {record['dimension']} among "
        f"{record['features']} features, in 32 bits. {versions}.\n"
    )
    return "\n".join(lines)


def _answer(row: dict[str, Any], package: str) -> str:
    if package == "LLM-Microscope" and row["lowest"] != _ONLY_LOWEST:
        return "has none"
    if package not in row:
        return UNMEASURED
    return "an error" if row[package] is None else f"{row[package]:.2f}"


def _small(record: dict[str, Any]) -> str:
    lines = _head("", "ratio")
    lines += [f"| {row['name']} | {_timing(row)} |" for row in record["ratios"]]
    note = f" {record['note']}" if record.get("note") else ""
    wide = _wide_ones(record["ratios"])
    return "\n".join([*lines, f"\nMultiples of {record['yardstick']}.{wide}{note}", ""])


def _layer(record: dict[str, Any]) -> str:
    """A section for each number of threads, a row a contestant, a column a number of features."""
    lines = []
    for threads in sorted({row["threads"] for row in record["ratios"]}):
        here = [row for row in record["ratios"] if row["threads"] == threads]
        lines += [f"## A layer on {_threads(threads)}", "", *_by_width(here), ""]
    units = "with" if record["bfloat16_units"] else "without"
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines += [
        f"Multiples of {record['yardstick']}: median (least to greatest)."
        f"{_wide_ones(record['ratios'])} {record['processor']}, {units} bfloat16 units; {versions}."
        f" Extra memory at the greatest D: {record['extra_memory_mb']} MB.\n"
    ]
    return "\n".join(lines)


def _by_width(rows: list[dict[str, Any]]) -> list[str]:
    widths = sorted({row["features"] for row in rows})
    here = {(row["name"], row["features"]): row for row in rows}
    lines = _head("", *(f"D = {width}" for width in widths))
    for name in dict.fromkeys(name for name, _ in here):
        cells = [_timing(here.get((name, width))) for width in widths]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _profile(record: dict[str, Any]) -> str:
    """A whole profile beside its bare forward passes, and its memory beside its budget."""
    lines = _head("token sets", "× the bare forward passes")
    lines += [f"| {', '.join(row['sets'])} | {_timing(row)} |" for row in record["ratios"]]
    peaks = "; ".join(
        f"{each['anonymous']:.2f} GiB under a budget of {each['budget']:g} GiB"
        for each in record["memory"]
    )
    lines += [
        f"\n{record['model']} at {record['tokens']} tokens in batches of {record['batch']}, "
        f"{_threads(record['threads'])}, against the same forward passes in the same turn. Peak "
        f"memory above the loaded model: {peaks}.\n"
    ]
    return "\n".join(lines)


def _head(*cells: str) -> list[str]:
    return ["| " + " | ".join(cells) + " |", "|---" * len(cells) + "|"]


def _threads(number: int) -> str:
    words = {1: "one thread", 2: "two threads"}
    return words.get(number, f"{number} threads")


def _timing(row: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    if row["turns"] == 1:
        return f"{plain(row['median'])} (one turn)"
    ends = f"{plain(row['least'])} to {plain(row['greatest'])}"
    if _is_wide(row):
        return f"{plain(row['median'])} (wide: {ends} in {row['turns']} turns)"
    return f"{plain(row['median'])} ({ends})"


def _is_wide(row: dict[str, Any]) -> bool:
    return bool(row["greatest"] > _WIDE * row["least"])


def _wide_ones(rows: Iterable[dict[str, Any]]) -> str:
    """What "wide" means, where a table has such a range."""
    told = (
        f" *Wide*: the greatest is more than {_WIDE:g} times the least, so that the median says "
        "little."
    )
    return told if any(_is_wide(row) for row in rows) else ""


def plain(number: float) -> str:
    """Three digits, and never a power of ten."""
    return np.format_float_positional(number, precision=3, fractional=False, trim="-")


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A package has one colour in all panels.
_COLOURS = dict(zip((*PACKAGES, "NumPy, full SVD"), PALETTE, strict=False))
_AXIS = "multiples of one product $X X^\\top$, logarithmic; left of 1 is cheaper than it"


def speed(rows: pd.DataFrame) -> "Figure":
    """The rows of `rows` as bars from 1, the product, on a logarithmic axis: a panel for
    each measure.

    Bars are medians over the turns, whiskers the least and the greatest of them.
    """
    from matplotlib.figure import Figure

    panels = dict(list(rows.groupby("measure", sort=False)))
    figure = Figure(figsize=(7, 0.9 + 0.36 * len(panels) + 0.22 * len(rows)), layout="constrained")
    heights = [len(panel) for panel in panels.values()]
    every: list[Axes] = list(
        figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False).flat
    )
    for axes, (measure, panel) in zip(every, panels.items(), strict=True):
        dress(axes, "", "", limits=None)
        axes.set_title(measure, loc="left", fontsize="medium")
        _bars(axes, panel)
    every[-1].set_xlabel(_AXIS)
    every[-1].xaxis.set_major_formatter(lambda tick, _: plain(tick))
    # Room for the numbers at both ends.
    every[0].set_xlim(rows["least"].min() / 3, rows["greatest"].max() * 4)
    return keep(figure, rows)


def _bars(axes: "Axes", panel: pd.DataFrame) -> None:
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    for place, row in enumerate(panel.to_dict("records")):
        value, least, greatest = row["value"], row["least"], row["greatest"]
        axes.barh(place, value - 1, left=1, color=_COLOURS[row["package"]], height=0.7)
        axes.plot([least, greatest], [place, place], color="black", linewidth=1, marker="|")
        cheaper = value < 1
        axes.annotate(
            plain(value),
            (min(least, 1.0) if cheaper else max(greatest, 1.0), place),
            xytext=(-5 if cheaper else 5, 0), textcoords="offset points",
            ha="right" if cheaper else "left", va="center", fontsize="small",
        )  # fmt: skip
    axes.set_yticks(range(len(panel)), panel["package"])
    axes.set_ylim(len(panel) - 0.5, -0.5)
    axes.grid(False, axis="y")
