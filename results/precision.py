"""What bfloat16 forward passes change, and save: python results/precision.py [metrics] [speed]

`precision/metrics.parquet`: each of the five models that wheels ship is measured twice, in float32
and in bfloat16, on the same windows; a row for each model, layer, token set and metric, `moved` is
the change in units of the float32 table's standard error. `largest.csv` and `median.csv` are what
that is over layers and token sets, a row a metric, a column a model. `precision/speed.csv`: tokens
a second in bfloat16 divided by those in float32, forward passes of the base network in turns.

The models must be in the cache or are fetched, 1.7 GB; Gemma's terms must have been accepted. A
model that was measured is not measured again: shapelib's own cache keeps its tables.
"""

import statistics
import sys
import time
from pathlib import Path

import pandas as pd
import torch

from shapelib import load_corpus, profile, windows
from shapelib.models.loading import Model, load
from shapelib.states.reading import PASS, draw
from shapelib.store import tables

HERE = Path(__file__).parent / "precision"
TOKENS = {
    "smollm2-135m": 8192, "minilm-l6": 8192, "gemma-3-270m": 8192, "mpnet-base": 8192,
    "qwen2.5-coder-1.5b": 4096,
}  # fmt: skip
SETS = ("all", "content", "rest")
DTYPES = ("float32", "bfloat16")
# Tokens that are read in one turn, of the models whose speed is told.
TIMED = {"smollm2-135m": 4096, "gemma-3-270m": 4096, "qwen2.5-coder-1.5b": 1024}
TURNS = 3
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


def batches(model: Model, tokens: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Windows of 512 characters as padded passes, such as `profile` makes."""
    cut = windows(load_corpus(), 512, tokenizer=model.tokenizer, seed=0)
    ids = sorted((each.ids for each in draw(model, cut, tokens)), key=len, reverse=True)
    found, at = [], 0
    while at < len(ids):
        some = ids[at : at + max(1, PASS // len(ids[at]))]
        at += len(some)
        padded = torch.full((len(some), len(some[0])), model.filler)
        mask = torch.zeros_like(padded)
        for row, seen, each in zip(padded, mask, some, strict=True):
            row[: len(each)] = torch.tensor(each)
            seen[: len(each)] = 1
        found.append((padded, mask))
    return found


def rate(model: Model, passes: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Tokens a second, padding not counted."""
    started = time.perf_counter()
    with torch.inference_mode():
        for padded, mask in passes:
            model.network(input_ids=padded, attention_mask=mask, use_cache=False)
    return sum(int(mask.sum()) for _, mask in passes) / (time.perf_counter() - started)


def speed() -> None:
    """Write the table of what is saved; alone on a machine, or the ratios say little."""
    rows = []
    for name, tokens in TIMED.items():
        loaded = {dtype: load(name, dtype=dtype) for dtype in DTYPES}
        passes = batches(loaded["float32"], tokens)
        for each in loaded.values():
            rate(each, passes[-1:])
        ratios, rates = [], {dtype: [] for dtype in DTYPES}
        for turn in range(TURNS):
            # Turn about, so that a machine that slows down slows both.
            for dtype in DTYPES if turn % 2 else DTYPES[::-1]:
                rates[dtype].append(rate(loaded[dtype], passes))
            ratios.append(rates["bfloat16"][-1] / rates["float32"][-1])
        rows.append(
            {
                "model": name, "parameters": loaded["float32"].parameters, "tokens": tokens,
                "threads": torch.get_num_threads(), "ratio": statistics.median(ratios),
                "least": min(ratios), "greatest": max(ratios), "turns": TURNS,
            }
        )  # fmt: skip
        print(rows[-1], {dtype: round(max(each)) for dtype, each in rates.items()}, flush=True)
    table = pd.DataFrame(rows)
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    table.attrs["provenance"] = [tables.provenance(command=COMMAND, processor=processor)]
    tables.write_table(table, HERE / "speed.csv")


def main() -> None:
    asked = sys.argv[1:] or ["metrics", "speed"]
    unknown = [each for each in asked if each not in ("metrics", "speed")]
    if unknown:
        sys.exit(f"no such part: {', '.join(unknown)}; known: metrics, speed")
    HERE.mkdir(exist_ok=True)
    for each in asked:
        {"metrics": metrics, "speed": speed}[each]()


if __name__ == "__main__":
    main()
