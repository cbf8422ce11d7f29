"""The one format of what is recorded in ``benchmarks/records/``.

A folder for each processor and path holds a file for each benchmark. A record says what was run
(``benchmark, command, versions, commit, measured``), on what (``processor``), and what came out:
``sections`` of ratios to a yardstick. Of an old record some of this may not be known, and is left
out. What hangs on no processor has the same head and a body of its own, and lies beside the
folders.
"""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from shapelib.errors import ShapelibError

FORMAT = "shapelib benchmark 1"
UNKNOWN = "not recorded"
"""The name and path of a processor that nobody wrote down."""
FLOAT32 = "float32"
"""The path of a processor without units for bfloat16 products."""
# What tells processors of one name apart.
_GENERATION = ("family", "model")
MAKERS = ("AMD", "Intel", "Apple", "Ampere", "ARM", "IBM")

Record = dict[str, Any]

_HEAD = ("format", "benchmark", "command")
_SECTION = {"title", "yardstick", "ratios"}
_OF_A_RUN = {"note", "commit", "measured", "versions"}
_ROW = {"name", "median", "least", "greatest", "turns"}
_ABOUT = {"threads", "features", "points", "k", "memory_mb", "searched_again"}
# A limit is from above unless `at_least`; `where` it is meant; what bounds a line outside it.
_LIMIT = {"limit", "at_least", "where", "bound"}


def place(processor: dict[str, Any]) -> str:
    """The folder of a processor's records: maker, line, generation where it is known, and path.

    >>> place({"name": "Intel(R) Xeon(R) Platinum 8480+", "path": "AMX"})
    'intel-xeon-amx'
    >>> place({"name": "AMD EPYC", "family": 25, "model": 1, "path": "float32"})
    'amd-epyc-25-1-float32'
    """
    if processor["path"] == UNKNOWN:
        return _plain(UNKNOWN)
    words = re.sub(r"\((R|TM)\)", " ", processor["name"], flags=re.I).split()
    makers = [each.lower() for each in MAKERS]
    first = next((at for at, each in enumerate(words) if each.lower() in makers), 0)
    generation = [str(processor[each]) for each in _GENERATION if processor.get(each) is not None]
    return _plain("-".join([*words[first : first + 2], *generation, processor["path"]]))


def _plain(words: str) -> str:
    words = words.lower().replace("avx-512", "avx512")
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")


def read(file: Path) -> Record | None:
    """A record that hangs on no processor; None where there is none.

    Raises `ShapelibError` for a file of another format.
    """
    if not file.is_file():
        return None
    record = _loaded(file)
    if "processor" in record:
        raise ShapelibError(f"{_named(file)} is of a processor, and not in its folder")
    return record


def of_processors(records: Path, benchmark: str) -> dict[str, Record]:
    """A benchmark's record of each processor, by the names of their folders.

    Raises `ShapelibError` for a file of another format, and for one in another processor's folder.
    """
    found = {}
    for file in sorted(records.glob(f"*/{benchmark}.json")):
        record = _loaded(file)
        if "processor" not in record:
            raise ShapelibError(f"{_named(file)} names no processor")
        if (own := place(record["processor"])) != file.parent.name:
            raise ShapelibError(f"{_named(file)} is of {own!r}: records are apart by processor")
        found[file.parent.name] = record
    return found


def _loaded(file: Path) -> Record:
    record = json.loads(file.read_text("utf-8"))
    found = record.get("format") if isinstance(record, dict) else None
    if found != FORMAT:
        raise ShapelibError(
            f"{_named(file)} has the format {found!r}, not {FORMAT!r}: measure it anew with "
            f"python benchmarks/{file.stem}.py"
        )
    check(record)
    if record["benchmark"] != file.stem:
        raise ShapelibError(f"{_named(file)} is of the benchmark {record['benchmark']!r}")
    return dict(record)


def _named(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def check(record: Record) -> None:
    """Raise `ShapelibError` where a record lacks something, or has what no reader knows."""
    lacking = [each for each in _HEAD if each not in record]
    lacking += [f"processor.{each}" for each in ("name", "path")
                if "processor" in record and each not in record["processor"]]  # fmt: skip
    if lacking:
        raise ShapelibError(f"a record of a benchmark lacks {', '.join(lacking)}")
    for section in record.get("sections", []):
        _same("a section", section, _SECTION, _OF_A_RUN)
        for row in section["ratios"]:
            _same(f"a row of {section['title']!r}", row, _ROW, _ABOUT | _LIMIT)
            if not row["least"] <= row["median"] <= row["greatest"] or row["turns"] < 1:
                raise ShapelibError(f"{section['title']!r} has a row in no order: {row}")


def _same(what: str, found: dict[str, Any], needed: set[str], allowed: set[str]) -> None:
    wrong = (needed - found.keys()) | (found.keys() - needed - allowed)
    if wrong:
        raise ShapelibError(
            f"{what} of a benchmark's record has {sorted(found)}; it takes {sorted(needed)} and "
            f"may have {sorted(allowed)}: wrong is {sorted(wrong)}"
        )


def section(record: Record, title: str) -> dict[str, Any] | None:
    """The section of this title; None where the record has none."""
    return next((each for each in record["sections"] if each["title"] == title), None)


def rows(records: dict[str, Record]) -> pd.DataFrame:
    """Every ratio of the records of some processors, with ``processor`` and ``section``."""
    return pd.DataFrame(
        [
            {"processor": where, "section": each["title"], **row}
            for where, record in records.items()
            for each in record["sections"]
            for row in each["ratios"]
        ]
    )


def shown(processor: dict[str, Any]) -> str:
    """A processor in a few words: its name and its path."""
    if processor["path"] == UNKNOWN:
        return "Processor not recorded"
    name = re.sub(r"\((R|TM)\)| Processor| CPU", "", processor["name"], flags=re.I)
    known = [f"{each} {processor[each]}" for each in _GENERATION if processor.get(each) is not None]
    generation = f" ({', '.join(known)})" if known else ""
    return f"{' '.join(name.split())}{generation}, {processor['path']}"


def products(processor: dict[str, Any]) -> str:
    """A processor's own products in GFLOP/s, as a sentence: what the yardstick is worth."""
    rates = processor.get("gflops")
    if rates is None:
        return "Its own product in GFLOP/s was not recorded."
    said = [
        f"{rate:.0f} in {kind} on {'one thread' if threads == '1' else f'{threads} threads'}"
        for kind, each in rates.items()
        for threads, rate in each.items()
    ]
    return f"Its own product makes, in GFLOP/s: {', '.join(said)}."
