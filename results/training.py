"""Make the tables in results/training: python results/training.py [RUN …], all runs without any.

Models are trained in the user's cache, two at a time, and measured on held-out text in two ways:
in `shape.parquet` 4096 vectors are all the tokens of 64 windows, under four draws of windows; in
`mixed.parquet` 16384 vectors of 256 windows are shuffled into four batches of 4096.
`training.parquet` has every step's loss. A run that is made again replaces its rows.
"""

import sys
from pathlib import Path

import pandas as pd

from shapelib import pretrain, store
from shapelib.recipe import Recipe, recipe

HERE = Path(__file__).with_name("training")
RUNS = {
    made.name: made
    for made in (
        *(recipe(kind, seed=seed) for seed in (0, 1, 2) for kind in ("decoder", "encoder")),
        recipe("causal-masked"),
        recipe("prefix"),
        *(recipe("decoder", seed=seed, warmup=400) for seed in (0, 1, 2)),
        *(
            recipe(kind, size)
            for size in ("nano-48", "nano-192")
            for kind in ("decoder", "encoder")
        ),
        recipe("encoder", warmup=400),
        *(recipe("decoder", block="parallel", steps=2560, seed=seed) for seed in (0, 1, 2)),
    )
}


def main() -> None:
    names = sys.argv[1:] or list(RUNS)
    unknown = [name for name in names if name not in RUNS]
    if unknown:
        sys.exit(f"no such run: {', '.join(unknown)}; known: {', '.join(RUNS)}")
    for pair in range(0, len(names), 2):
        chosen = [RUNS[name] for name in names[pair : pair + 2]]
        for made, folder in zip(chosen, pretrain.suites(chosen), strict=True):
            keep(made, folder)


def keep(made: Recipe, folder: Path) -> None:
    """Put one run's rows into the three tables."""
    put("training", made, pretrain.table(folder))
    put("shape", made, pretrain.measure(folder))
    put("mixed", made, pretrain.measure(folder, tokens=16_384, seeds=(0,)))
    print(f"{made.name}: kept in {HERE}", flush=True)


def put(name: str, made: Recipe, table: pd.DataFrame) -> None:
    """Replace a run's rows in one table; of what its measurements say of themselves keep one."""
    first = table.attrs["provenance"][0]
    runs = [{**first, **made.as_dict(), "model": made.name, "command": command(made)}]
    # Six digits are enough for a figure, and halve the file.
    table = table.astype(dict.fromkeys(table.select_dtypes("float64"), "float32"))
    path = HERE / f"{name}.parquet"
    if path.is_file():
        before = store.read_table(path)
        runs = [each for each in before.attrs["provenance"] if each["model"] != made.name] + runs
        before.attrs = table.attrs = {}
        table = pd.concat([before[before["model"] != made.name], table], ignore_index=True)
    table.attrs["provenance"] = runs
    store.write_table(table, path)


def command(made: Recipe) -> str:
    return f"python results/training.py {made.name}"


if __name__ == "__main__":
    main()
