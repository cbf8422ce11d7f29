"""Every line with a limit that is recorded of this processor: its median, and whether it is inside.

`make bench` ends with it. Of a line outside it says what bounds it, where the record knows; a limit
that is meant for processors with units for 16-bit products is not held where there are none.
"""

from typing import Any, NamedTuple

import record

from shapebook.pages.timings import records

NO_UNITS = "no such units here"


class Line(NamedTuple):
    """One line of the table."""

    benchmark: str
    name: str
    median: float
    limit: str
    verdict: str


def main() -> None:
    machine = record.processor()
    folder = record.RECORDS / records.place(machine)
    found = {
        file.stem: records.of_processors(record.RECORDS, file.stem)[folder.name]
        for file in sorted(folder.glob("*.json"))
    }
    print(f"\n{records.shown(machine)}: every line with a limit")
    for text in table(lines(found), found):
        print(text)


def lines(found: dict[str, records.Record]) -> list[Line]:
    """The lines with a limit of some benchmarks of one processor, by the names of these."""
    return [
        Line(benchmark, _named(row), row["median"], _limit(row), verdict(row, each["processor"]))
        for benchmark, each in found.items()
        for section in each.get("sections", [])
        for row in section["ratios"] if "limit" in row
    ]  # fmt: skip


def verdict(row: dict[str, Any], processor: dict[str, Any]) -> str:
    """Whether a row is inside its limit on a processor; where not, what bounds it."""
    if row.get("where") == "bfloat16" and processor["path"] == records.FLOAT32:
        return NO_UNITS
    inside = row["median"] >= row["limit"] if row.get("at_least") else row["median"] <= row["limit"]
    if inside:
        return "inside"
    return f"OUTSIDE: {row['bound']}" if "bound" in row else "OUTSIDE, by what is not measured"


def table(told: list[Line], found: dict[str, records.Record]) -> list[str]:
    """The table, and beneath it the counts and what the yardstick is worth."""
    if not told:
        return ["nothing is recorded of it"]
    wide = max(len(each.name) for each in told)
    said = [
        f"{each.benchmark:11s} {each.name:{wide}s} {each.median:9.4g}  {each.limit:14s} "
        f"{each.verdict}"
        for each in told
    ]
    outside = sum(each.verdict.startswith("OUTSIDE") for each in told)
    without = sum(each.verdict == NO_UNITS for each in told)
    said.append(
        f"{len(told)} lines: {len(told) - outside - without} inside, {outside} outside, "
        f"{without} meant for other units"
    )
    rates: dict[str, list[str]] = {}
    for benchmark, each in found.items():
        rates.setdefault(records.products(each["processor"]), []).append(benchmark)
    return [*said, *(f"{', '.join(names)}: {rate}" for rate, names in rates.items())]


def _named(row: dict[str, Any]) -> str:
    at = [f"{name} {row[name]}" for name in ("threads", "k") if name in row]
    at += [f"D = {row['features']}"] if "features" in row else []
    return f"{row['name']} ({', '.join(at)})" if at else str(row["name"])


def _limit(row: dict[str, Any]) -> str:
    return f"{'at least' if row.get('at_least') else 'at most'} {row['limit']:g}"


if __name__ == "__main__":
    main()
