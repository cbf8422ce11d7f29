"""Writes and reads what the benchmarks record, in the one format of ``timings.records``.

A benchmark that hangs on a processor goes to a folder of its processor and path, so that runs of
two machines never meet; what hangs on none lies beside the folders. A run that measured some
sections only leaves the others of the same processor as they are, with their own date and commit.
"""

import json
import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from shapebook.pages.timings import records
from shapelib.processor import path
from shapelib.store import tables

ROOT = Path(__file__).parent.parent
RECORDS = Path(__file__).with_name("records")
_VERSIONS = ("shapelib", "torch", "numpy", "numba", "scipy", "transformers", "scikit-dimension",
             "scikit-learn", "faiss-cpu")  # fmt: skip
_POINTS, _FEATURES, _TURNS = 4096, 768, 3


def write(benchmark: str, sections: list[dict[str, Any]], *, keep: bool = False) -> Path:
    """Keep what a run on this processor found; `keep` the sections of earlier runs that it did not
    measure."""
    machine = processor()
    head = envelope(benchmark)
    if keep:
        sections = [*sections, *_others(benchmark, machine, {each["title"] for each in sections})]
    return put({**head, "processor": {**machine, "gflops": products()}, "sections": sections})


def put(record: records.Record) -> Path:
    """Keep a record, in its processor's folder where it is of one."""
    records.check(record)
    folder = RECORDS
    if "processor" in record:
        folder /= records.place(record["processor"])
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{record['benchmark']}.json"
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    tables.write_atomically(file, lambda whole: whole.write_text(text, "utf-8"))
    print(f"recorded: {file.relative_to(RECORDS)}")
    return file


def _others(benchmark: str, machine: dict[str, Any], anew: set[str]) -> list[dict[str, Any]]:
    """Sections of this very processor that were not measured anew, each with its own run."""
    before = here(benchmark)
    if before is None or any(before["processor"].get(name) != machine[name] for name in _SAME):
        return []
    run = {name: before[name] for name in ("commit", "measured", "versions") if name in before}
    return [{**run, **each} for each in before["sections"] if each["title"] not in anew]


# Several models of a line can be of one generation, and have one folder.
_SAME = ("name", "family", "model", "path")


def here(benchmark: str) -> records.Record | None:
    """What is recorded of a benchmark on this processor; None where nothing is."""
    return records.of_processors(RECORDS, benchmark).get(records.place(processor()))


def envelope(benchmark: str) -> dict[str, Any]:
    """What a record says of its run."""
    return {
        "format": records.FORMAT,
        "benchmark": benchmark,
        "command": " ".join(["python", f"benchmarks/{benchmark}.py", *sys.argv[1:]]),
        "versions": versions(),
        "commit": commit(),
        "measured": datetime.now(UTC).date().isoformat(),
    }


def versions() -> dict[str, str]:
    """Of Python and of what is installed of what is timed."""
    return {"python": platform.python_version(), **tables.versions_of(_VERSIONS)}


def commit(checkout: Path = ROOT) -> str | None:
    """The commit that is measured, ``-dirty`` where a tracked file has changes that are no kept
    result; None outside a checkout."""
    # What is written here while `make bench` goes on is no change of what measures.
    return tables.commit_of(checkout, "benchmarks/records")


def processor() -> dict[str, Any]:
    """What the processor calls itself where the system says so, its cores to be had, and by which
    of its units it multiplies bfloat16."""
    found: dict[str, Any] = {"name": platform.processor() or platform.machine()}
    told = Path("/proc/cpuinfo")
    lines = told.read_text("utf-8").splitlines() if told.is_file() else []
    of = {name.strip(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
    found["name"] = of.get("model name", found["name"])
    for name, as_told in (("family", "cpu family"), ("model", "model"), ("stepping", "stepping")):
        found[name] = int(of[as_told]) if of.get(as_told, "").isdecimal() else None
    return {**found, "cores": os.cpu_count(), "path": path()}


def products() -> dict[str, dict[str, float]]:
    """GFLOP/s of one product X·Xᵀ by type and threads: what the yardstick is worth here.

    2 n² D operations of 4096 points with 768 features, over the median of three turns.
    """
    threads = torch.get_num_threads()
    kinds = {"float32": torch.float32}
    if path() != records.FLOAT32:
        kinds["bfloat16"] = torch.bfloat16
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(_POINTS, _FEATURES, generator=generator)
    found: dict[str, dict[str, float]] = {}
    try:
        for name, kind in kinds.items():
            for number in (1, 2):
                torch.set_num_threads(number)
                took = [_product_seconds(x.to(kind)) for _ in range(_TURNS + 1)][1:]
                rate = 2e-9 * _POINTS**2 * _FEATURES / statistics.median(took)
                found.setdefault(name, {})[str(number)] = round(rate, 1)
    finally:
        torch.set_num_threads(threads)
    return found


def _product_seconds(x: torch.Tensor) -> float:
    start = time.perf_counter()
    x @ x.T
    return time.perf_counter() - start


def row(name: str, ratios: list[float], **about: Any) -> dict[str, Any]:
    """A row of a section: the median, the least and the greatest of some turns' ratios, beside what
    else is known of it; what is None is left out."""
    found = {
        "name": name, "median": statistics.median(ratios), "least": min(ratios),
        "greatest": max(ratios), "turns": len(ratios),
    }  # fmt: skip
    known = {each: value for each, value in about.items() if value is not None}
    return {each: _short(value) for each, value in {**found, **known}.items()}


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def section(
    title: str, yardstick: str, rows: list[dict[str, Any]], note: str = ""
) -> dict[str, Any]:
    """A section of a record, printed as well."""
    print(f"{title}: multiples of {yardstick}")
    for each in rows:
        print(f"   {line(each)}", flush=True)
    return {"title": title, "yardstick": yardstick, **({"note": note} if note else {}),
            "ratios": rows}  # fmt: skip


def line(row: dict[str, Any]) -> str:
    """A row in words."""
    at = ", ".join(
        f"{shown} {row[name]}"
        for name, shown in (("threads", "threads"), ("features", "D ="), ("points", "n ="),
                            ("k", "k ="))
        if name in row
    )  # fmt: skip
    limit = ""
    if "limit" in row:
        limit = f", {'at least' if row.get('at_least') else 'limit'} {row['limit']:g}"
    ends = f"({row['least']:g} to {row['greatest']:g})"
    return f"{row['name']:44s} {at:26s} {row['median']:9.4g} {ends}{limit}"
