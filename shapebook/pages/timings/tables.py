"""Recorded benchmarks as Markdown: for the pages on speed, on peers and on the state of things."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from shapebook.pages.timings import packages, records

# Benchmarks of which each section is a table of one column.
_SMALL = ("leverage", "pretrain", "profiles", "scale", "stages", "subspace")
# From here on a range is so wide that its median says little: greatest ÷ least.
_WIDE = 3.0

UNMEASURED = "not measured"
# The fit that LLM-Microscope has, in per cent of the ratios.
_ONLY_LOWEST = 20


def tables(kept: Path) -> dict[str, str]:
    """Every table of the records in a folder as Markdown, by the name of its file; empty where
    nothing was recorded.

    Each holds a part for each processor, one after the other, and says which. ``timings-sizes`` is
    of the time against the number of points; ``timings-layer`` and ``timings-apart`` are of
    ``estimators``, ``timings-NAME`` of each other benchmark; ``peers`` and ``answers`` compare
    packages; ``commands`` is in minutes of a machine.
    """
    estimators = records.of_processors(kept, "estimators")
    values = records.read(kept / "values.json")
    found = {
        "commands": "\n".join(map(_commands, records.of_processors(kept, "commands").values())),
        "timings-sizes": _apart(records.of_processors(kept, "sizes"), _sizes),
        "timings-layer": _apart(estimators, lambda each: _wide(each, packages.LAYER)),
        "timings-apart": _apart(estimators, lambda each: _wide(each, packages.APART)),
        "peers": _apart(estimators, _compared),
        "answers": _answers(values) if values else "",
    }
    for name in _SMALL:
        found[f"timings-{name}"] = _apart(records.of_processors(kept, name), _small)
    return found


def _apart(found: dict[str, records.Record], table: Callable[[records.Record], list[str]]) -> str:
    """A part for each processor: what it is called, its table, and what its yardstick is worth."""
    parts = []
    for record in found.values():
        if lines := table(record):
            processor = record["processor"]
            parts += [
                f"**{records.shown(processor)}.** {records.products(processor)}{_run(record)}", "",
                *lines, "",
            ]  # fmt: skip
    return "\n".join(parts)


def _run(run: dict[str, Any]) -> str:
    """When and at which commit something was measured, as a sentence."""
    said = [f"on {run['measured']}"] if run.get("measured") else []
    said += [f"at commit {run['commit']}"] if run.get("commit") else []
    return f" Measured {' '.join(said)}." if said else ""


def _commands(record: records.Record) -> str:
    """What each command took as a whole, and the machine that its minutes are of."""
    lines = head("command", "time")
    for run in record["runs"]:
        command, _, note = run["command"].partition(", ")
        shown = f"`{command}`, {note}" if note else f"`{command}`"
        seconds = run["seconds"]
        time = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
        lines.append(f"| {shown} | {time} |")
    machine = record["processor"]
    lines.append(
        f"\n{records.shown(machine)}; {machine['cores']} cores, {machine['memory_gib']} GiB of "
        f"memory, Python {record['versions']['python']}.{_run(record)}\n"
    )
    return "\n".join(lines)


def _sizes(record: records.Record) -> list[str]:
    """A row for each search and estimator, a column a number of points; the fitted exponent."""
    rows = records.rows({"": record})
    sizes = sorted(int(each) for each in rows["points"].unique())
    lines = head("", *(f"n = {_spaced(size)}" for size in sizes), "exponent", "memory at most")
    for name, its in rows.groupby("name", sort=False):
        here = {int(row["points"]): row for row in its.to_dict("records")}
        cells = [timing(here.get(size)) for size in sizes]
        exponent = "–"
        if len(here) > 1:
            exponent = f"{packages.exponent(list(here), [r['median'] for r in here.values()]):.2f}"
        memory = its["memory_mb"].max() if "memory_mb" in its else math.nan
        held = "–" if math.isnan(memory) else f"{memory:.0f} MB"
        lines.append(f"| {name} | {' | '.join(cells)} | {exponent} | {held} |")
    told = [f"Multiples of {record['sections'][0]['yardstick']}: median (least to greatest)."]
    apart = [each["versions"] for each in record["sections"] if "versions" in each]
    for versions in {_versions(each): None for each in apart}:
        told.append(f"Measured in an environment of their own: {versions}.")
    for section in sorted(record["sections"], key=lambda each: each["ratios"][0]["points"]):
        own = sorted({row["threads"] for row in section["ratios"]})
        note = f" {section['note']}" if section.get("note") else ""
        told.append(f"At {section['title']} {', '.join(map(threads, own))}.{_run(section)}{note}")
    again = rows["searched_again"].sum() if "searched_again" in rows else 0
    told.append(f"Points that a certified search searched again, over all sizes: {again:.0f}.")
    return [*lines, "", " ".join(told)]


def _compared(record: records.Record) -> list[str]:
    """What each package takes for each measure, on one thread and in the middle width."""
    found, width = packages.found(record), packages.middle(record)
    apart = records.section(record, packages.APART)
    versions = {"scikit-dimension": record.get("versions", {}).get("scikit-dimension", "")}
    versions["DADApy"] = apart["versions"]["dadapy"] if apart else ""
    lines = head("", *(f"{each} {versions.get(each, '')}".strip() for each in packages.PACKAGES))
    for measure, names in packages.PEERS.items():
        cells = [
            (timing(found[name]) if name in found else UNMEASURED) if name else "has none"
            for name in names
        ]
        lines.append(f"| {measure} | {' | '.join(cells)} |")
    yardstick = record["sections"][0]["yardstick"]
    lines += [
        "", f"One thread, {width} features; multiples of {yardstick}: median (least to greatest)."
        f"{_wide_ones(found.values())}{_measured_apart(apart) if apart else ''}",
    ]  # fmt: skip
    return lines


def _measured_apart(apart: dict[str, Any]) -> str:
    """With what a peer in an environment of its own was measured, and when if not with the rest."""
    versions = apart["versions"]
    when = f" was measured on {apart['measured']}" if "measured" in apart else " was measured"
    return (
        f" DADApy{when}, in processor time and with Python {versions['python']}, NumPy "
        f"{versions['numpy']} and scikit-learn {versions['scikit-learn']}."
    )


def _answers(record: records.Record) -> str:
    """What TwoNN answers, a row for each cloud and each fit."""
    lines = head("TwoNN of points", "distinct", "fit: the lowest", *packages.PACKAGES)
    for row in record["clouds"]:
        cells = [str(row["distinct"]), f"{row['lowest']} %"]
        cells += [_answer(row, package) for package in packages.PACKAGES]
        lines.append(f"| {row['cloud']} | {' | '.join(cells)} |")
    versions = ", ".join(
        f"{name} {record['versions'][name]}"
        for name in packages.PACKAGES if name in record["versions"] and name != "shapelib"
    )  # fmt: skip
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


def _small(record: records.Record) -> list[str]:
    """A table for each section, under its title where there are several."""
    lines = []
    for section in record["sections"]:
        wide = len({row.get("features") for row in section["ratios"]}) > 1
        if len(record["sections"]) > 1:
            lines += [f"*{section['title']}*", ""]
        lines += _by_width(section["ratios"]) if wide else _one_column(section["ratios"])
        lines += ["", _told(section), ""]
    return lines


def _wide(record: records.Record, title: str) -> list[str]:
    """A section of rows by threads and features: a table for each number of threads."""
    section = records.section(record, title)
    if section is None:
        return []
    lines = []
    for number in sorted({row["threads"] for row in section["ratios"]}):
        here = [row for row in section["ratios"] if row["threads"] == number]
        lines += [f"*{section['title']}, on {threads(number)}*", "", *_by_width(here), ""]
    versions = section.get("versions", record.get("versions", {}))
    said = f" Versions: {_versions(versions)}." if versions else ""
    return [*lines, f"{_told(section)}{said}", ""]


def _versions(of: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in of.items())


def _told(section: dict[str, Any]) -> str:
    """What stands beneath a table: its yardstick, its run where that is another, its note."""
    note = f" {section['note']}" if section.get("note") else ""
    return (
        f"Multiples of {section['yardstick']}: median (least to greatest)."
        f"{_wide_ones(section['ratios'])}{_run(section)}{note}"
    )


def _one_column(rows: list[dict[str, Any]]) -> list[str]:
    limited = any("limit" in row for row in rows)
    lines = head("", "ratio", *(["limit"] if limited else []))
    for row in rows:
        lines.append(f"| {row['name']} | {timing(row)} |{f' {_limit(row)} |' if limited else ''}")
    return lines


def _limit(row: dict[str, Any]) -> str:
    if "limit" not in row:
        return "–"
    where = f", with {row['where']} units" if "where" in row else ""
    return f"{'at least ' if row.get('at_least') else ''}{plain(row['limit'])}{where}"


def _by_width(rows: list[dict[str, Any]]) -> list[str]:
    widths = sorted({row["features"] for row in rows})
    here = {(row["name"], row["features"]): row for row in rows}
    lines = head("", *(f"D = {width}" for width in widths))
    for name in dict.fromkeys(name for name, _ in here):
        its = [here.get((name, width)) for width in widths]
        cells = [
            f"{timing(row)}; limit: {_limit(row)}" if row and "limit" in row else timing(row)
            for row in its
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def head(*cells: str) -> list[str]:
    return ["| " + " | ".join(cells) + " |", "|---" * len(cells) + "|"]


def threads(number: int) -> str:
    words = {1: "one thread", 2: "two threads"}
    return words.get(number, f"{number} threads")


def timing(row: dict[str, Any] | None) -> str:
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


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
