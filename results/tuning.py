"""Make the tables of fine-tuning runs: python results/tuning.py [--anew] [PART …], all without any.

A part says how many runs it has and about how many core-hours they take before it begins, from one
step on this machine. Runs are kept in the user's cache as they are made, so a part that was killed
goes on with the run it was at. `tuning.parquet` has a row for each run; a part's rows are replaced
when it is whole. A part that the table holds as it is asked for now is not made again, but by
--anew. Several parts may be made at once, by a process each. Real runs start from a clean commit
only.

Parts stand in the order in which they tell most for their hours:

bfloat16              one setting in float32 and in bfloat16, of MiniLM and of MPNet; all that
                      follow rely on it, and say so where it is missing
MODEL-TASK-full       full fine-tuning, which both searches read: rates by one seed, five seeds
MODEL-TASK-DID, SAID  d90 by bisection, five seeds where it lies (see `searches.py`)
minilm-budgets        does it matter that MiniLM has 60 updates?
MODEL-random-budgets  random weights, tuned until their training score improves no more
MODEL-random-full, -DID
                      the same parts as above at that budget, by three seeds
smollm2-questions-…   a decoder by its last token, one seed; not begun where a step takes too long

The others are grids of the trained pair's encoder (see `grids.py`).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from clean import demand_clean_commit
from filelock import FileLock
from grids import GRIDS, SHARED, Grid
from hours import Run, of_a_run
from readings import as_one, check_precision
from searches import Budgets, Costly, Full, Kept, Precision, Search, Takes, Tuned

from shapelib.errors import ShapelibError
from shapelib.finetuning.plan import COLUMNS
from shapelib.store import cache
from shapelib.store import tables as store

HERE = Path(__file__).parent / "tuning"
THREE = (0, 1, 2)
SMALL: dict[str, Any] = {"model": "minilm-l6"}
BASE: dict[str, Any] = {"model": "mpnet-base", "full_rate": 0.0001}
RANDOM: dict[str, Any] = {"init": "random", "seeds": THREE}
DECODER: dict[str, Any] = {
    "model": "smollm2-135m", "full_rate": 0.0001, "pooling": "last", "seeds": (0,), "limit": 5.0,
}  # fmt: skip
# Rows of the table from before there was a choice.
ONCE = {"pooling": "mean", "dtype": "float32"}


class Part(Protocol):
    """Some runs that are kept together."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Parts whose rows it reads."""

    @property
    def dtype(self) -> str: ...

    @property
    def limit(self) -> float:
        """Seconds of a step beyond which nothing is begun."""

    def takes(self, kept: Kept) -> list[Takes]:
        """The runs that are to be expected."""

    def made(self, kept: Kept) -> pd.DataFrame: ...


def trio(stem: str, methods: Sequence[str] = ("DID", "SAID"), **asked: Any) -> dict[str, Part]:
    """Full fine-tuning, and a search by each method that reads it."""
    also, grid = asked.pop("also", ()), asked.pop("grid", Search.grid)
    kind = asked.pop("kind", Search)
    before = tuple(each for each in ("bfloat16", asked.get("budgets")) if each)
    found: dict[str, Part] = {f"{stem}-full": Full(**asked, needs=before)}
    for method in methods:
        found[f"{stem}-{method}"] = kind(
            **asked, method=method, full=f"{stem}-full", also=also, grid=grid,
            needs=(*before, f"{stem}-full"),
        )  # fmt: skip
    return found


def at_random(
    name: str, most: int, grid: tuple[int, ...], also: tuple[int, ...], **asked: Any
) -> dict[str, Part]:
    """Random weights: the budget that is enough, and the search at it, with all seeds at larger d
    too: the curve is flat, and the bar of the pre-trained model may be farther off."""
    budgets = f"{name}-random-budgets"
    return {
        budgets: Budgets(**asked, **RANDOM, most=most),
        **trio(
            f"{name}-random", ("DID",), **asked, **RANDOM, budgets=budgets, grid=grid,
            also=also, kind=Costly,
        ),
    }  # fmt: skip


PARTS: dict[str, Part] = {
    "bfloat16": Precision(**SMALL, seeds=THREE, others=(Tuned(**BASE, seeds=(0,)),)),
    **trio("minilm-questions", **SMALL),
    **trio("mpnet-questions", **BASE),
    **trio("minilm-reviews", **SMALL, task="reviews"),
    **trio("minilm-same-paragraph", ("DID",), **SMALL, task="same-paragraph"),
    "minilm-budgets": Budgets(**SMALL, seeds=(0,), d=3200, most=480),
    **at_random("minilm", 960, tuple(1600 * 2**k for k in range(7)), (12_800, 102_400), **SMALL),
    **trio("mpnet-reviews", **BASE, task="reviews"),
    **trio("smollm2-questions", ("DID",), **DECODER),
    # Fewer updates, and steps of four: by 240 a run takes ten minutes already.
    **at_random("mpnet", 240, tuple(3200 * 4**k for k in range(3)), (102_400,), **BASE),
    **{name: Grid(tuple({**SHARED, **each} for each in calls)) for name, calls in GRIDS.items()},
}


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--anew", action="store_true", help="also what the table holds already")
    given = parser.parse_args(words)
    unknown = [name for name in given.parts if name not in PARTS]
    if unknown:
        sys.exit(f"no such part: {', '.join(unknown)}; known: {', '.join(PARTS)}")
    demand_clean_commit()
    failed = []
    for name in given.parts or list(PARTS):
        try:
            make(name, PARTS[name], anew=given.anew)
        except ShapelibError as error:
            failed.append(f"{name}: {error}")
            print(failed[-1], flush=True)
    if failed:
        sys.exit("not made:\n" + "\n".join(failed))


def make(name: str, part: Part, *, anew: bool = False) -> None:
    """Make a part and keep it, unless the table holds it as it is asked for now."""
    before = told(name)
    if before and before.get("asked") == repr(part) and not anew:
        print(f"{name}: kept already, by commit {before['commit']}", flush=True)
        return
    lacking = [need for need in part.needs if told(need) is None]
    if lacking:
        raise ShapelibError(
            f"it reads rows of {', '.join(lacking)}, not kept yet: python results/tuning.py "
            f"{' '.join(lacking)}"
        )
    if "bfloat16" in part.needs:
        check_precision(rows("bfloat16"), part.dtype)
    announce(name, part)
    table = part.made(rows)
    keep(name, table, table.attrs["provenance"], asked=repr(part))


def announce(name: str, part: Part) -> None:
    """Say how long a part takes, from one step of each kind of its runs."""
    print(f"{name}:", flush=True)
    seconds: dict[tuple[Any, ...], Run] = {}
    total, runs = 0.0, 0
    for each in part.takes(rows):
        run = each.setting
        kind = (str(each.model), each.task, run.init, run.method, run.pooling, run.dtype)
        if kind not in seconds:
            seconds[kind] = of_a_run(each.model, each.task, run, each.checkpoints)
        took = seconds[kind]
        if took.step > part.limit:
            raise ShapelibError(
                f"a step takes {took.step:.1f} seconds, and not begun is what takes more than "
                f"{part.limit:g}"
            )
        total, runs = total + each.runs * took.seconds(run.steps), runs + each.runs
        print(
            f"  {each.runs} runs of {run.method} {run.init} in {run.dtype}, {run.steps} updates: "
            f"{took.step:.2f} seconds each and {took.rest:.0f} besides", flush=True,
        )  # fmt: skip
    print(
        f"  about {runs} runs and {total / 3600:.1f} core-hours; less, if the cache has some",
        flush=True,
    )


def rows(part: str) -> pd.DataFrame:
    """The kept rows of a part."""
    table = store.read_table(HERE / "tuning.parquet")
    return table[table["part"] == part].reset_index(drop=True)


def told(part: str) -> store.Provenance | None:
    """What the kept table says of a part; None where it has none."""
    path = HERE / "tuning.parquet"
    runs = store.read_table(path).attrs["provenance"] if path.is_file() else []
    return next((run for run in runs if run["part"] == part), None)


def keep(part: str, table: pd.DataFrame, made: list[store.Provenance], asked: str) -> None:
    """Replace a part's rows; of what its runs say of themselves keep one."""
    run = as_one(made, part, f"python results/tuning.py {part}", len(table)) | {"asked": asked}
    table = table.assign(part=part)
    path, runs = HERE / "tuning.parquet", [run]
    HERE.mkdir(exist_ok=True)
    # Another process may keep another part.
    with FileLock(cache.folder("tuning") / ".kept.lock"):
        if path.is_file():
            before = store.read_table(path)
            runs = [each for each in before.attrs["provenance"] if each["part"] != part] + runs
            before.attrs = table.attrs = {}
            before = before.assign(**{name: ONCE[name] for name in ONCE if name not in before})
            table = pd.concat([before[before["part"] != part], table], ignore_index=True)
        table = table[[*COLUMNS, "part"]]
        table.attrs["provenance"] = runs
        store.write_table(table, path)
    print(f"{part}: kept", flush=True)


if __name__ == "__main__":
    main()
