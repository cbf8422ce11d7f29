"""What a book's own data say, by a short expression: a figure's rows, a table that a page shows, a
verdict's record, a table kept as data, a benchmark."""

import ast
import json
import operator
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from shapebook.claims.statistic import spearman
from shapebook.notebooks import notebook as notebooks
from shapebook.pages.timings import records
from shapelib.errors import ShapelibError, nearest
from shapelib.store import tables

_ARITHMETIC: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.Pow: operator.pow, ast.USub: operator.neg,
}  # fmt: skip
_OF_MANY: dict[str, Callable[..., Any]] = {
    "min": np.min, "max": np.max, "mean": np.mean, "median": np.median, "sum": np.sum,
    "abs": np.abs, "sqrt": np.sqrt, "log2": np.log2, "first": lambda found: found[0],
    "last": lambda found: found[-1], "count": np.size, "std": lambda found: np.std(found, ddof=1),
}  # fmt: skip


class Told:
    """Expressions over one book's data; each file is read once.

    ``figure(NAME, COLUMN, **rows)``
        A column of ``executed/figures/NAME.csv``, where other columns have these values.
    ``cell(ID, ROW, COLUMN)``
        A number in the table that a cell of the page shows; a row's or a column's headings are
        joined by ", " and by a blank.
    ``claim(ID, MODEL, FIELD, reading=None)``
        ``statistic``, ``low``, ``high`` or a detail of a verdict's record, or of a further reading.
    ``kept(FILE, COLUMN, **rows)``
        A column of a table below ``results/``.
    ``benchmark(NAME, COLUMN, **rows)``
        A column of the ratios that are recorded of a benchmark, where other columns have these
        values; ``processor`` is the name of a folder below ``benchmarks/records/``, and ``section``
        a title. Without a processor it is of all of them.

    They take + − × ÷, powers, and `min max mean median sum abs sqrt log2 first last count std`;
    and ``rank``, the rank correlation of two columns.

    :param root: the checkout: kept tables and benchmarks are read from it.
    :param source: of the book: its ``executed`` pages, figures and records are read from it.
    """

    def __init__(self, root: Path, source: Path) -> None:
        self.root, self.executed = root, source / "executed"
        self._files: dict[Path, Any] = {}

    def value(self, expression: str, page: str) -> float:
        """The number that an expression on a page stands for.

        Raises `ShapelibError` where it names what is not there, or more than one number.
        """
        try:
            tree = ast.parse(expression.strip(), mode="eval")
        except SyntaxError as error:
            raise ShapelibError(f"{expression!r} is no expression ({error.msg})") from error
        found = np.asarray(self._eval(tree.body, page), dtype=float)
        if found.size != 1:
            raise ShapelibError(
                f"{expression!r} gives {found.size} numbers; say which by a column, or take their "
                "min, max or mean"
            )
        return float(found.reshape(-1)[0])

    def _eval(self, node: ast.AST, page: str) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            sides = self._eval(node.left, page), self._eval(node.right, page)
            return _ARITHMETIC[type(node.op)](*sides)
        if isinstance(node, ast.UnaryOp) and type(node.op) in _ARITHMETIC:
            return _ARITHMETIC[type(node.op)](self._eval(node.operand, page))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            if name == "rank":
                return spearman(*(np.ravel(self._eval(each, page)) for each in node.args))
            if name in _OF_MANY:
                parts = [np.ravel(self._eval(each, page)) for each in node.args]
                return _OF_MANY[name](np.concatenate(parts))
            sources: dict[str, Callable[..., Any]] = {
                "figure": self._figure, "claim": self._claim, "kept": self._kept,
                "benchmark": self._benchmark, "cell": lambda *where: self._cell(page, *where),
            }  # fmt: skip
            if name in sources:
                given = [ast.literal_eval(each) for each in node.args]
                rows = {str(each.arg): ast.literal_eval(each.value) for each in node.keywords}
                try:
                    return sources[name](*given, **rows)
                except TypeError as error:
                    raise ShapelibError(f"{ast.unparse(node)}: {error}") from error
            raise ShapelibError(f"{name!r}: {nearest(name, [*sources, *_OF_MANY])}")
        raise ShapelibError(f"{ast.unparse(node)!r} is neither a number nor one of the book's data")

    def _read(self, file: Path, reader: Callable[[Path], Any]) -> Any:
        if not file.is_file():
            raise ShapelibError(f"no such file: {file.name}")
        if file not in self._files:
            self._files[file] = reader(file)
        return self._files[file]

    def _figure(self, name: str, column: str, /, **rows: Any) -> np.ndarray:
        table = self._read(self.executed / "figures" / f"{name}.csv", pd.read_csv)
        return _column(table, column, rows)

    def _kept(self, name: str, column: str, /, **rows: Any) -> np.ndarray:
        table = self._read(self.root / "results" / name, tables.read_table)
        return _column(table, column, rows)

    def _benchmark(self, name: str, column: str, /, **rows: Any) -> np.ndarray:
        kept = self.root / "benchmarks" / "records"
        if kept / name not in self._files:
            if not (found := records.of_processors(kept, name)):
                raise ShapelibError(f"no benchmark {name!r} is recorded")
            self._files[kept / name] = records.rows(found)
        return _column(self._files[kept / name], column, rows)

    def _claim(self, claim: str, model: str, field: str, reading: str | None = None) -> float:
        records = self._read(self.executed / "claims.json", lambda file: json.loads(_text(file)))
        record = _one(records, {"id": claim}, f"claim {claim!r}")
        entries = record["models"] if reading is None else record["readings"]
        wanted = {"model": model} | ({} if reading is None else {"what": reading})
        entry = _one(entries, wanted, f"{wanted} in claim {claim!r}")
        found = entry.get(field, entry["details"].get(field))
        if found is None:
            known = ["statistic", "low", "high", *entry["details"]]
            raise ShapelibError(f"claim {claim!r} of {model} has no {field!r}; it has {known}")
        return float(found)

    def _cell(self, page: str, name: str, row: str, column: str) -> float:
        notebook = self._read(self.executed / f"{page}.ipynb", notebooks.read)
        cell = _one(notebook.cells, {"id": name}, f"cell {name!r}")
        shown = [each["data"]["text/html"] for each in cell.outputs if "text/html" in each["data"]]
        if not shown:
            raise ShapelibError(f"cell {name!r} of {page} shows no table")
        found = _Grid(shown[0]).found
        if (row, column) not in found:
            rows, columns = (list(dict.fromkeys(each)) for each in zip(*found, strict=True))
            raise ShapelibError(
                f"the table of cell {name!r} has no {(row, column)}; rows: {rows}; columns: "
                f"{columns}"
            )
        if len(said := set(found[row, column])) != 1:
            raise ShapelibError(f"cell {name!r}, {row}, {column} holds {sorted(said)}")
        number = re.sub(r"[\s*%+]", "", said.pop())
        try:
            return float(number.replace("\N{MINUS SIGN}", "-"))
        except ValueError:
            raise ShapelibError(
                f"cell {name!r}, {row}, {column} is no number: {found[row, column][0]!r}"
            ) from None


class _Cell(NamedTuple):
    tag: str
    down: int
    across: int
    said: str


class _Grid(HTMLParser):
    """The cells of a table as pandas writes it, by the names of row and column."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[_Cell]] = []
        self.inside = ""
        self.feed(text)
        grid: dict[tuple[int, int], tuple[str, str]] = {}
        for at, cells in enumerate(self.rows):
            place = 0
            for tag, down, across, said in cells:
                while (at, place) in grid:
                    place += 1
                for n in range(down * across):
                    grid[at + n // across, place + n % across] = tag, _plain(said)
                place += across
        self.found: dict[tuple[str, str], list[str]] = {}
        heads: dict[int, list[str]] = {}
        for at in range(len(self.rows)):
            line = [grid[at, place] for place in range(max(p for a, p in grid if a == at) + 1)]
            if all(tag == "th" for tag, _ in line):
                for place, (_, said) in enumerate(line):
                    heads[place] = [*heads.get(place, []), *([said] if said else [])]
                continue
            row = ", ".join(said for tag, said in line if tag == "th")
            for place, (tag, said) in enumerate(line):
                if tag == "td":
                    column = " ".join(heads.get(place, []))
                    self.found.setdefault((row, column), []).append(said)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td") and self.rows:
            down, across = (int(told.get(name) or 1) for name in ("rowspan", "colspan"))
            self.rows[-1].append(_Cell(tag, down, across, ""))
        self.inside = tag if tag in ("th", "td") else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside and self.rows and self.rows[-1]:
            last = self.rows[-1][-1]
            self.rows[-1][-1] = last._replace(said=last.said + data)


def _column(table: pd.DataFrame, column: str, rows: Mapping[str, Any]) -> np.ndarray:
    for name, wanted in rows.items():
        if name not in table:
            raise ShapelibError(f"no column {name!r}; {nearest(name, list(table.columns))}")
        is_one = table[name].isin(wanted if isinstance(wanted, list) else [wanted])
        if not is_one.any():
            there = list(table[name].unique()[:12])
            raise ShapelibError(f"no row has {name}={wanted!r}; among {there}")
        table = table[is_one]
    if column not in table:
        raise ShapelibError(f"no column {column!r}; {nearest(column, list(table.columns))}")
    return np.asarray(table[column].dropna().to_numpy(), dtype=float)


def _plain(text: str) -> str:
    """Text with ordinary spaces, one between words."""
    return " ".join(text.split())


def _one(entries: Any, wanted: Mapping[str, Any], what: str) -> Any:
    found = [each for each in entries if all(each.get(k) == v for k, v in wanted.items())]
    if len(found) != 1:
        raise ShapelibError(f"{what}: found {len(found)} times, and one is needed")
    return found[0]


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
