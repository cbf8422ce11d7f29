"""What was tried on the product, from the records of benchmarks/, as Markdown: families of models,
and faults."""

from pathlib import Path
from typing import Any

from shapebook.pages.models import power
from shapebook.pages.timings.records import read

_NONE = "–"


def tables(kept: Path) -> dict[str, str]:
    """``families`` and ``faults``, by the name of their file; empty where nothing was recorded."""
    tried, faults = read(kept / "families.json"), read(kept / "faults.json")
    return {
        "families": _families(tried) if tried else "",
        "faults": _faults(faults) if faults else "",
    }


def _families(record: dict[str, Any]) -> str:
    """Those that were measured, a row each; below, what was refused, with the sentence."""
    rows = record["families"]
    measured = [each for each in rows if "refused" not in each]
    refused = [each for each in rows if "refused" in each]
    types = len({_type(each) for each in rows})
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [
        f"{types} model types, {len(rows)} with the halves of encoder-decoders counted each: "
        f"{len(measured)} are measured, {len(refused)} refused. {versions}.",
        "",
        "| family | tokenizer | role | padding leaks | states | metrics | in bfloat16 | in another "
        "order |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in measured:
        cells = [
            f"`{_type(each)}`" + each["family"].removeprefix(_type(each)), each["tokenizer"],
            each["role"], "yes" if each["apart"] else "no", _share(each["states"]),
            _share(each["metrics"]),
            *("no bfloat16" if "half_refused" in each else _share(each["half"]),),
            _share(each["reordered"]) if "reordered" in each else _NONE,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "What is refused, with what is said:", ""]
    lines += [f"- `{_type(each)}`: *{_plain(each['refused'])}*" for each in refused]
    return "\n".join(lines) + "\n"


def _type(row: dict[str, Any]) -> str:
    return str(row["family"]).partition(",")[0]


def _share(value: float) -> str:
    return "0" if value == 0 else power(value)


def _plain(words: str) -> str:
    """An error on one line, none of it Markdown."""
    return " ".join(words.split()).replace("*", r"\*").replace("_", r"\_")


def _faults(record: dict[str, Any]) -> str:
    """A row for each thing that was tried."""
    lines = [
        "| what was tried | how often | lost | computed twice | errors without a name |",
        "|---|---|---|---|---|",
    ]
    for row in record["faults"]:
        counts = [str(row.get(name, _NONE)) for name in ("times", "lost", "twice", "unnamed")]
        lines.append(f"| {row['tried']} | {' | '.join(counts)} |")
    lines.append(f"\nMeasured on {record['measured']} at commit {record['commit']}.")
    return "\n".join(lines) + "\n"
