"""Who carries the bell in three decoders, and what a window's length does: python results/bell.py

`bell/carriers.parquet` and `bell/factors.parquet`: the tables of that name of
`shapebook.experiments.dissect`, of the two decoders that the book does not measure itself.
`bell/reweighted.parquet`: all three decoders at 512 characters, their first positions weighted as
often as windows of other lengths have them (`shapebook.experiments.first_positions`). The largest
model is read in bfloat16 (`precision/` says what that moves). Names of parts make those alone.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from shapebook.experiments import first_positions
from shapebook.experiments.dissect import carriers_of, factors_of
from shapelib.models.loading import Model, load
from shapelib.states.pool import pool
from shapelib.states.reading import run_facts
from shapelib.store import tables
from shapelib.text.corpus import load_corpus, windows

HERE = Path(__file__).parent / "bell"
DECODERS = {
    "smollm2-135m": "float32", "gemma-3-270m": "float32", "qwen2.5-coder-1.5b": "bfloat16",
}  # fmt: skip
OTHERS = tuple(DECODERS)[1:]
WINDOWS = (128, 512, 2048, 8192)
TOKENS, WINDOW, SEED = 4096, 512, 0


def dissected(model: Model) -> list[pd.DataFrame]:
    """Carriers and factors of every layer of a model."""
    started, text = time.perf_counter(), load_corpus()
    rows: tuple[list[dict[str, object]], ...] = ([], [])
    read = windows(text, WINDOW, seed=SEED)
    with pool(model, read, TOKENS, seed=SEED, progress=False) as pooled:
        for layer in range(pooled.layers + 1):
            where = {
                "model": model.name, "role": model.role, "layer": layer,
                "depth": layer / model.layers,
                "after_norm": layer == model.layers and model.after_norm,
            }  # fmt: skip
            for into, some in zip(
                rows, (carriers_of(model, pooled, layer), factors_of(pooled, layer)), strict=True
            ):
                into += [{**where, **row} for row in some]
        counts = {"windows": pooled.windows, "all": len(pooled.order), "dropped_all": 0}
    made = [pd.DataFrame(each) for each in rows]
    for table in made:
        asked = {"tokens": TOKENS, "window": WINDOW, "seed": SEED}
        table.attrs["provenance"] = [run_facts(model, text, counts, started, **asked)]
    return made


def carriers() -> dict[str, pd.DataFrame]:
    parts = [dissected(load(name, dtype=DECODERS[name])) for name in OTHERS]
    return dict(
        zip(("carriers", "factors"), map(tables.combine, zip(*parts, strict=True)), strict=True)
    )


def reweighted() -> dict[str, pd.DataFrame]:
    found = [
        first_positions.as_in_windows(
            load(name, dtype=dtype), load_corpus(), WINDOWS, window=WINDOW, tokens=TOKENS, seed=SEED
        )
        for name, dtype in DECODERS.items()
    ]
    return {"reweighted": tables.combine(found)}


PARTS: dict[str, Callable[[], dict[str, pd.DataFrame]]] = {
    "carriers": carriers,
    "reweighted": reweighted,
}


def main() -> None:
    names = sys.argv[1:] or list(PARTS)
    if unknown := [each for each in names if each not in PARTS]:
        sys.exit(f"no such part: {', '.join(unknown)}; known: {', '.join(PARTS)}")
    HERE.mkdir(exist_ok=True)
    for name in names:
        for called, table in PARTS[name]().items():
            runs = table.attrs["provenance"]
            table.attrs["provenance"] = [
                {**run, "command": f"python results/bell.py {name}"} for run in runs
            ]
            print(tables.write_table(table, HERE / f"{called}.parquet"), flush=True)


if __name__ == "__main__":
    main()
