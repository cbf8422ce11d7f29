"""Recorded benchmarks as Markdown: what the page on speed shows."""

import json
from pathlib import Path
from typing import Any

# Recorded benchmarks of one yardstick and one table, in the order they are shown.
_SMALL = ("leverage", "pretrain", "subspace")

_UNMEASURED = "not measured"
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


def markdown(benchmarks: Path) -> str:
    """The tables of all results in a folder: ``results.json``, and one file for each of `_SMALL`.

    Those have a `title`, a `yardstick`, and `ratios` with `name`, `median`, `least`, `greatest`
    and `turns`, and may have a `note`; a file may hold a list of such records.
    """
    results = benchmarks / "results.json"
    text = _estimators(json.loads(results.read_text("utf-8"))) if results.is_file() else ""
    for name in _SMALL:
        file = benchmarks / f"{name}.json"
        if file.is_file():
            kept = json.loads(file.read_text("utf-8"))
            text += "".join(map(_small, kept if isinstance(kept, list) else [kept]))
    return text


def peers(benchmarks: Path) -> str:
    """What other packages take for the same measures, from ``results.json``, at one thread and the
    middle number of features; and what they answer where that is known, from ``values.json``."""
    file, values = benchmarks / "results.json", benchmarks / "values.json"
    text = _compared(json.loads(file.read_text("utf-8"))) if file.is_file() else ""
    if values.is_file():
        text += _answers(json.loads(values.read_text("utf-8")))
    return text


def _compared(record: dict[str, Any]) -> str:
    features = sorted({row["features"] for row in record["ratios"]})
    width = features[len(features) // 2]
    found = {
        row["name"]: _timing(row)
        for row in record["ratios"]
        if row["threads"] == 1 and row["features"] == width
    }
    versions = record["versions"]
    heads = ["shapelib", f"scikit-dimension {versions.get('scikit-dimension', '')}".strip()]
    lines = ["| | " + " | ".join([*heads, "DADApy", "LLM-Microscope"]) + " |", "|---" * 5 + "|"]
    for measure, names in _PEERS.items():
        cells = [found.get(name, _UNMEASURED) if name else "has none" for name in names]
        lines.append(f"| {measure} | {' | '.join(cells)} |")
    lines += ["", f"One thread, {width} features; multiples of {record['yardstick']}.", ""]
    return "\n".join(lines)


def _answers(record: dict[str, Any]) -> str:
    names = ("shapelib", "scikit-dimension", "DADApy", "llm-microscope")
    lines = ["", "| TwoNN of | shapelib | scikit-dimension | DADApy | LLM-Microscope |"]
    lines.append("|---" * 5 + "|")
    for row in record["clouds"]:
        cells = [f"{row[name]:.2f}" if name in row else _UNMEASURED for name in names]
        lines.append(f"| {row['cloud']} | {' | '.join(cells)} |")
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines.append(
        f"\n{record['points']} Gaussian points of dimension {record['dimension']} among "
        f"{record['features']} features, in 32 bits. {versions}.\n"
    )
    return "\n".join(lines)


def _small(record: dict[str, Any]) -> str:
    lines = [f"\n**{record['title']}**\n", "| | ratio |", "|---|---|"]
    lines += [f"| {row['name']} | {_timing(row)} |" for row in record["ratios"]]
    note = f" {record['note']}" if "note" in record else ""
    return "\n".join([*lines, f"\nMultiples of {record['yardstick']}.{note}", ""])


def _estimators(record: dict[str, Any]) -> str:
    """A recorded benchmark as Markdown: a table for each number of threads, a row a contestant."""
    rows = record["ratios"]
    widths = sorted({row["features"] for row in rows})
    lines = []
    for threads in sorted({row["threads"] for row in rows}):
        lines += [f"\n**{threads} thread{'s' if threads > 1 else ''}**\n"]
        lines += ["| | " + " | ".join(f"D = {width}" for width in widths) + " |"]
        lines += ["|---" * (1 + len(widths)) + "|"]
        here = {(r["name"], r["features"]): r for r in rows if r["threads"] == threads}
        for name in dict.fromkeys(name for name, _ in here):
            cells = [_timing(here.get((name, width))) for width in widths]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    units = "with" if record["bfloat16_units"] else "without"
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines += [
        f"\nMultiples of {record['yardstick']}: median (least to greatest). {record['processor']}, "
        f"{units} bfloat16 units; {versions}. Extra memory at the greatest D: "
        f"{record['extra_memory_mb']} MB."
    ]
    if "profile" in record:
        lines += _profile_timings(record["profile"])
    return "\n".join(lines) + "\n"


def _profile_timings(record: dict[str, Any]) -> list[str]:
    """A whole profile beside its bare forward passes, and its memory beside its budget."""
    lines = ["\n**A whole profile**\n", "| token sets | × the bare forward passes |", "|---|---|"]
    lines += [f"| {', '.join(row['sets'])} | {_timing(row)} |" for row in record["ratios"]]
    peaks = "; ".join(
        f"{each['anonymous']:.2f} GiB under a budget of {each['budget']:g} GiB"
        for each in record["memory"]
    )
    lines += [
        f"\n{record['model']} at {record['tokens']} tokens in batches of {record['batch']}, "
        f"{record['threads']} threads, against the same forward passes in the same turn. Peak "
        f"memory above the loaded model: {peaks}."
    ]
    return lines


def _timing(row: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    if row["turns"] == 1:
        return f"{row['median']:.3g} (one turn)"
    return f"{row['median']:.3g} ({row['least']:.3g} to {row['greatest']:.3g})"
