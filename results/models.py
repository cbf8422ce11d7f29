"""Five real models, every window, measured once: python results/models.py [--go] [PART …]

Without --go it says what is there and what is missing, and the hours and gigabytes of the rest.

trained  each model × windows of 128, 512, 2048 and 8192 characters of the Wikipedia sample × its
         own beginning and the other (with a beginning-of-sequence token, or without)
news     each model at 512 characters of news articles, its own beginning; no text is kept
random   as trained, with random weights of the same architecture: what it does untrained

A cell is 16 384 vectors drawn from at least 32 windows, in four token sets, with the dimension
along scale, of a model in float32; but the largest is read in bfloat16, except where claims are
judged (`precision/` says what that moves; the column `dtype` says which it was). A window that is
longer than a model reads is left out, and said. Each finished cell is a file of the store, so the
same command goes on after any kill; `models/PART.parquet` is written from what is there at the end,
and after a kill by the next run. A cell that this table holds is not measured again, whatever has
changed since: its provenance says what made it, and --anew makes all anew. So the hours may be
spent in pieces, by --model, --window and --own-beginning. Real runs start from a clean commit only.
The same machine, threads and versions give the same table; others differ within `stderr`.
"""

import argparse
import dataclasses
import functools
import logging
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from clean import demand_clean_commit

from shapelib import profile
from shapelib.errors import ShapelibError
from shapelib.models import catalogue, loading, sources
from shapelib.states.profile import COLUMNS
from shapelib.states.reading import encode
from shapelib.store import assets, cache, grid, keys, tables
from shapelib.store.cells import Cells, open_store
from shapelib.text.corpus import Corpus, Window, load_corpus

HERE = Path(__file__).parent / "models"
STORE = Path(__file__).parents[1] / "_build" / "models"
# From the smallest to the largest, so that a run that is stopped has most of the table.
MODELS = ("minilm-l6", "mpnet-base", "smollm2-135m", "gemma-3-270m", "qwen2.5-coder-1.5b")
WINDOWS = (128, 512, 2048, 8192)
PRIMARY = 512
PARTS = ("trained", "news", "random")
# Read in bfloat16, but for the one cell that claims are judged by.
IN_BFLOAT16 = ("qwen2.5-coder-1.5b",)
ASKED: dict[str, Any] = {
    "tokens": 16_384, "batch": 4096, "sets": ("all", "content", "rest", "later"),
    "least_windows": 32,
    "metrics": (
        "default", "mada_median_k20", "mle_k20", "gride", "decimated", "relatives",
        "other_windows", "token_types", "overlap", "imbalance",
    ),
}  # fmt: skip
SEED = 0
_TOO_LONG = re.compile(r"a window has \d+ tokens, but .* reads at most \d+")
# Multiply-adds of reading per weight and token, and what measuring a layer costs in products X·Xᵀ
# of its batches: both as seen on one machine, for the estimate of hours alone.
READING, MEASURING = 1.4, 4.0
_log = logging.getLogger("shapelib")


@dataclass(frozen=True)
class Cell:
    """One profile of the grid."""

    part: str
    model: str
    window: int
    native: bool
    """Whether windows begin as the model's tokenizer has it."""
    dtype: str
    key: str
    where: str = "cpu"

    @property
    def name(self) -> str:
        beginning = "its own" if self.native else "the other"
        return f"{self.part}: {self.model}, {self.window} characters, {beginning} beginning"


def cells(parts: Sequence[str]) -> list[Cell]:
    """The grid of some parts, in order: a model's cells follow each other."""
    found = []
    for part in parts:
        for model in MODELS:
            pairs = [(PRIMARY, True)] if part == "news" else [
                (window, native) for window in WINDOWS for native in (True, False)
            ]  # fmt: skip
            for window, native in pairs:
                judged = part == "trained" and window == PRIMARY and native
                half = model in IN_BFLOAT16 and not judged
                dtype = "bfloat16" if half else "float32"
                key = keys.key_of(
                    part, _fingerprint(model), window, native, dtype, ASKED, SEED,
                    torch.get_num_threads(), keys.code_of(profile),
                )  # fmt: skip
                found.append(Cell(part, model, window, native, dtype, key))
    return found


def _fingerprint(model: str) -> str:
    known = catalogue.models().get(model)
    return assets.known(known.asset).sha256 if known else sources.find(model).fingerprint


def measured(cell: Cell) -> pd.DataFrame:
    """The table of a cell; of a window that is too long a table without rows."""
    model = _model(cell.model, cell.part == "random", cell.dtype)
    text = _text(cell.part == "news")
    has_one = encode(model, Window(0, 0, text="a")).special[0]
    beginning = None if cell.native else not has_one
    try:
        table = profile(
            model, text, window=cell.window, beginning=beginning, seed=SEED, progress=False,
            **ASKED,
        )  # fmt: skip
    except ShapelibError as error:
        if not _TOO_LONG.search(str(error)):
            raise
        _log.warning("%s is left out: %s", cell.name, error)
        table = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
        table.attrs["provenance"] = [tables.provenance(model=cell.model, left_out=str(error))]
    table = _shortened(table).assign(
        weights="random" if cell.part == "random" else "trained", native=cell.native
    )
    told = {"cell": cell.name, "threads": torch.get_num_threads()}
    told["command"] = f"python results/models.py --go {cell.part}"
    table.attrs["provenance"] = [{**run, **told} for run in table.attrs["provenance"]]
    return table


def _shortened(table: pd.DataFrame) -> pd.DataFrame:
    """Single precision, which says more than the errors do."""
    runs, table.attrs = table.attrs["provenance"], {}
    table = table.astype(dict.fromkeys(table.select_dtypes("float64"), "float32"))
    table.attrs["provenance"] = runs
    return table


@functools.lru_cache(maxsize=1)
def _model(name: str, random: bool, dtype: str) -> loading.Model:
    """A model, kept for the next cell; `random`: the same with new weights."""
    model = loading.load(name, dtype=dtype)
    return _with_random_weights(model) if random else model


def _with_random_weights(model: loading.Model) -> loading.Model:
    """An architecture as its class begins training, by one seed."""
    network = model.network
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        fresh = type(network)(network.config).to(network.dtype).eval()
    about = dataclasses.replace(
        model.source, known=None, checkpoint="random weights", step=0, tokens_seen=0,
        caveat="random weights of its architecture, untrained",
    )  # fmt: skip
    return dataclasses.replace(model, network=fresh, source=about, quantised=None)


@functools.lru_cache(maxsize=1)
def _text(news: bool) -> Corpus:
    return load_corpus("news" if news else "enwiki-sample")


@dataclass(frozen=True)
class Cost:
    """What cells take: seconds, bytes to fetch, bytes of disk, bytes of memory at once."""

    seconds: float
    fetched: int
    disk: int
    memory: int


def cost(todo: Sequence[Cell], flops: float) -> Cost:
    """An estimate, from sizes in the catalogue and the operations a second of this machine."""
    seconds, spilled = 0.0, 0
    for cell in todo:
        known = catalogue.models()[cell.model]
        # About four characters a token; of long windows more is read than is measured.
        read = max(1.1 * ASKED["tokens"], ASKED["least_windows"] * cell.window / 4)
        seconds += 2 * READING * known.parameters * read / flops
        products = ASKED["tokens"] * ASKED["batch"] * 2 * known.hidden_size / flops
        seconds += MEASURING * (known.layers + 1) * len(ASKED["sets"]) * products
        spilled = max(spilled, int(4 * read * known.hidden_size * (known.layers + 1)))
    models = {catalogue.models()[cell.model] for cell in todo}
    missing = [each for each in models if not assets.is_here(each.asset)]
    fetched = sum(assets.known(each.asset).size for each in missing)
    expanded = [
        4 * each.parameters
        for each in models
        if each.weights == "gguf" and not any((cache.root() / "models").glob(f"{each.name}-*"))
    ]
    # Beside random weights, for a moment, stand those that the architecture is read from.
    copies = {cell.model: 2 if cell.part == "random" else 1 for cell in todo}
    weights = max((4 * each.parameters * copies[each.name] for each in models), default=0)
    return Cost(
        seconds, fetched, fetched + sum(expanded) + spilled, weights + min(spilled, 4 << 30)
    )


def speed() -> float:
    """Operations a second of a float32 product on this machine's threads, a second's look."""
    import time

    x = torch.randn(2048, 2048)
    x @ x
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < 0.5:
        x @ x
        count += 1
    return count * 2 * 2048**3 / (time.perf_counter() - started)


def announce(grid_cells: Sequence[Cell], todo: Sequence[Cell]) -> None:
    """Say what is there, what is missing, and what the rest takes."""
    there = len(grid_cells) - len(todo)
    print(f"{len(grid_cells)} cells: {there} there, {len(todo)} to measure")
    if not todo:
        return
    needed = cost(todo, speed())
    free = shutil.disk_usage(cache.root()).free if cache.root().is_dir() else 0
    print(
        f"about {needed.seconds / 3600:.1f} hours on {torch.get_num_threads()} threads; "
        f"{needed.fetched / 1e9:.1f} GB to fetch, {needed.disk / 1e9:.1f} GB of disk "
        f"({free / 1e9:.0f} GB are free), {needed.memory / 1e9:.1f} GB of memory at most",
        flush=True,
    )


def kept_before(part: str) -> dict[str, pd.DataFrame]:
    """The cells that the table of a part holds from earlier runs, by name."""
    path = HERE / f"{part}.parquet"
    if not path.is_file():
        return {}
    whole = tables.read_table(path)
    runs, whole.attrs = whole.attrs["provenance"], {}
    found, start = {}, 0
    for run in runs:
        found[run["cell"]] = whole.iloc[start : start + run["rows"]].reset_index(drop=True)
        found[run["cell"]].attrs["provenance"] = [run]
        start += run["rows"]
    if start != len(whole):
        raise ShapelibError(f"{path} has {len(whole)} rows, and its provenance tells of {start}")
    return found


def write(part: str, kept: Cells, before: dict[str, pd.DataFrame]) -> None:
    """One table of the cells of a part that are there, in the order of the grid."""
    found = []
    for cell in cells([part]):
        table = kept.read(cell.key)
        table = before.get(cell.name) if table is None else table
        if table is not None:
            (run,) = table.attrs["provenance"]
            table.attrs["provenance"] = [{**run, "rows": len(table)}]
            found.append(table)
    if not found:
        return
    HERE.mkdir(parents=True, exist_ok=True)
    table = tables.combine(found)
    path = tables.write_table(table, HERE / f"{part}.parquet")
    left_out = [run["cell"] for run in table.attrs["provenance"] if "left_out" in run]
    print(f"{len(table)} rows of {len(found)} cells in {path}; left out: {left_out or 'none'}")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--go", action="store_true", help="measure what is missing")
    parser.add_argument("--model", action="append", choices=MODELS, help="these alone; repeatable")
    parser.add_argument("--window", action="append", type=int, choices=WINDOWS, help="likewise")
    parser.add_argument("--own-beginning", action="store_true", help="windows begun so alone")
    parser.add_argument("--anew", action="store_true", help="also what the tables hold already")
    parser.add_argument("--store", type=Path, default=STORE, help="where finished cells lie")
    given = parser.parse_args(words)
    unknown = [each for each in given.parts if each not in PARTS]
    if unknown:
        sys.exit(f"no such part: {', '.join(unknown)}; known: {', '.join(PARTS)}")
    parts = given.parts or list(PARTS)
    given.store.parent.mkdir(parents=True, exist_ok=True)
    kept = open_store(given.store, "shape")
    before = {part: {} if given.anew else kept_before(part) for part in parts}
    whole = [
        cell for cell in cells(parts)
        if cell.model in (given.model or MODELS)
        and cell.window in (given.window or WINDOWS)
        and (cell.native or not given.own_beginning)
    ]  # fmt: skip
    asked = [cell for cell in whole if cell.name not in before[cell.part]]
    todo = grid.missing(asked, kept)
    announce(whole, todo)
    if not given.go:
        return
    if todo:
        demand_clean_commit()
    done = grid.fill(asked, kept, measured, need=lambda _: 0, columns=COLUMNS, label="models")
    for part in parts:
        write(part, kept, before[part])
    if failures := done.attrs["failures"]:
        sys.exit("\n".join(f"{cell}: {why}" for cell, why in failures))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
