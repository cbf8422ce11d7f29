"""What bfloat16 forward passes change: python results/precision.py

What they save is a benchmark, ``benchmarks/reading.py``.

`precision/metrics.parquet`: each of the five models that wheels ship is measured twice, in float32
and in bfloat16, on the same windows; a row for each model, layer, token set and metric, `moved` is
the change in units of the float32 table's standard error. `largest.csv` and `median.csv` are what
that is over layers and token sets, a row a metric, a column a model.

The models must be in the cache or are fetched, 1.7 GB; Gemma's terms must have been accepted. A
model that was measured is not measured again: shapelib's own cache keeps its tables.
"""

import sys
from pathlib import Path

import pandas as pd

from shapelib import profile
from shapelib.store import tables

HERE = Path(__file__).parent / "precision"
TOKENS = {
    "smollm2-135m": 8192, "minilm-l6": 8192, "gemma-3-270m": 8192, "mpnet-base": 8192,
    "qwen2.5-coder-1.5b": 4096,
}  # fmt: skip
SETS = ("all", "content", "rest")
DTYPES = ("float32", "bfloat16")
COMMAND = " ".join(["python", "results/precision.py", *sys.argv[1:]])
SAME = ["model", "layer", "tokens", "metric", "centered"]


def moved(
    plain: pd.DataFrame, other: pd.DataFrame, label: str, command: str = COMMAND
) -> pd.DataFrame:
    """How far each row of a table lies from its row of the plain one, in the plain one's errors."""
    runs = [
        {**run, "command": command} for each in (plain, other) for run in each.attrs["provenance"]
    ]
    bare = [each.copy() for each in (plain, other)]
    for each in bare:
        each.attrs = {}
    found = bare[0].merge(bare[1], on=SAME, suffixes=("", f"_{label}"), validate="1:1")
    if not len(found) == len(plain) == len(other):
        raise ValueError(f"{len(plain)} and {len(other)} rows have {len(found)} in common")
    found["moved"] = (found[f"value_{label}"] - found["value"]).abs() / found["stderr"]
    found = found[[*SAME, "n", "value", f"value_{label}", "stderr", "moved"]]
    found.attrs["provenance"] = runs
    return found


def by_metric(found: pd.DataFrame, how: str) -> pd.DataFrame:
    """A row a metric, a column a model: the largest or the median change over all its rows."""
    named = found["metric"] + found["centered"].map({True: ", centered", False: ""}).fillna("")
    wide = (
        found.assign(metric=named)
        .pivot_table(index="metric", columns="model", values="moved", aggfunc=how, sort=False)
        .reset_index()
    )
    wide.columns.name = None
    wide = wide[["metric", *TOKENS]]
    wide.attrs["provenance"] = found.attrs["provenance"]
    return wide


def metrics() -> None:
    """Write the tables of what moved."""
    found = tables.combine(
        [
            moved(
                *(
                    profile(model, tokens=tokens, sets=SETS, dtype=dtype, progress=False)
                    for dtype in DTYPES
                ),
                "bfloat16",
            )
            for model, tokens in TOKENS.items()
        ]
    )
    tables.write_table(found, HERE / "metrics.parquet")
    for how in ("max", "median"):
        wide = by_metric(found, how)
        tables.write_table(wide, HERE / f"{'largest' if how == 'max' else how}.csv")
        print(f"{how} of the change in standard errors\n{wide.round(2).to_string(index=False)}")
    over = found.assign(over=found["moved"] > 1).groupby("model", sort=False)["over"].mean()
    print("share of the rows that moved by more than one\n" + over.round(4).to_string())


def main() -> None:
    if unknown := [each for each in sys.argv[1:] if each != "metrics"]:
        sys.exit(f"no such part: {', '.join(unknown)}; known: metrics")
    HERE.mkdir(exist_ok=True)
    metrics()


if __name__ == "__main__":
    main()
