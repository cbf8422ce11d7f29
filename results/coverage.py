"""Are printed intervals as wide as they say? python results/coverage.py

The articles of the sample are split at random into two halves, again and again, and both halves
are measured as the pages measure. Two halves differ as two independent draws of articles do: what a
half of a finite list lacks in spread, its being the complement of the other puts back. So the
difference of the two should lie within both printed errors together 95 times in a hundred.

`coverage/draws.parquet` has what each half gave, layer by layer. `coverage/coverage.parquet` has a
row for each model and metric, over all splits and layers that count, and for each claim's
statistic: `pairs`, `covered` (the share of differences within the 95 % interval of a difference),
`too_narrow` (the root of mean squared difference ÷ mean stated square: by how much the errors are
too small). Splits of one list are not independent of each other, and neither are layers, so
`covered` itself is known to a few hundredths only; `splits` says how many there were.
"""

import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from shapebook import judge
from shapelib import load_corpus, profile
from shapelib.models import loading
from shapelib.store import tables
from shapelib.text.corpus import Corpus

HERE = Path(__file__).parent
SPLITS = {"minilm-l6": 48}
CLAIMS = ("decoder-bell", "encoder-uniform", "estimators-agree", "measures-agree")
METRICS = ("anisotropy", "average_cosine", "two_nn", "two_nn_lowest20", "mada_k20", "mom_k20")
ASKED = {"tokens": 4096, "batch": 1024, "sets": ("all",), "metrics": METRICS, "progress": False}


def halves(whole: Corpus, split: int) -> list[Corpus]:
    """The articles of a text in two halves, drawn."""
    order = np.random.default_rng(split).permutation(len(whole.articles))
    parts = np.array_split(order, 2)
    return [
        Corpus(f"{whole.name}, half", tuple(whole.articles[n] for n in np.sort(part)),
               f"{whole.sha256}-{split}-{half}", whole.report)
        for half, part in enumerate(parts)
    ]  # fmt: skip


def draws(name: str) -> tuple[pd.DataFrame, list[dict[str, object]]]:
    """What every half gives: a table of layers, and the claims' statistics with their intervals."""
    whole, model = load_corpus(), loading.load(loading.find(name))
    rows, judged = [], []
    for split in range(SPLITS[name]):
        for half, text in enumerate(halves(whole, split)):
            table = profile(model, text, seed=split, **ASKED)
            inner = table[(table["layer"] > 0) & ~table["after_norm"]]
            rows.append(inner.assign(split=split, half=half))
            for claim in CLAIMS:
                judged += [
                    {"model": name, "what": claim, "split": split, "half": half, **found}
                    for found in judge(claim, table)["models"]
                    if found["low"] is not None and found["model"] == name
                ]
        print(f"{name}: split {split} of {SPLITS[name]}", flush=True)
    return pd.concat(rows, ignore_index=True), judged


def of_layers(found: pd.DataFrame) -> list[dict[str, object]]:
    """A row for each metric: halves against each other, at every layer of every split."""
    named = found.assign(
        what=found["metric"] + found["centered"].map({True: "", False: ", not centered"}).fillna("")
    )
    rows = []
    for (model, what), own in named.groupby(["model", "what"], sort=False):
        wide = own.pivot(index=["split", "layer"], columns="half", values=["value", "stderr"])
        first, second = wide["value"].to_numpy(float).T
        stated = (wide["stderr"].to_numpy(float) ** 2).sum(axis=1)
        freedom = 2 * (int(own["groups"].min()) - 1)
        rows.append(row(model, what, first - second, stated, freedom, own["split"].nunique()))
    return rows


def of_claims(judged: list[dict[str, object]]) -> list[dict[str, object]]:
    """A row for each claim; half of a verdict's interval is so many errors as `student` says."""
    rows = []
    table = pd.DataFrame(judged)
    for (model, what), own in table.groupby(["model", "what"], sort=False):
        own = own.assign(half_width=(own["high"] - own["low"]) / 2)
        wide = own.pivot(index="split", columns="half", values=["statistic", "half_width"]).dropna()
        first, second = wide["statistic"].to_numpy(float).T
        errors = wide["half_width"].to_numpy(float) / stats.t.ppf(0.975, 7)
        rows.append(row(model, what, first - second, (errors**2).sum(axis=1), 14, len(wide)))
    return rows


def row(
    model: str, what: str, difference: np.ndarray, stated: np.ndarray, freedom: int, splits: int
) -> dict[str, object]:
    """How often a difference lies within its interval, and by how much errors are too small."""
    there = np.isfinite(difference) & np.isfinite(stated)
    difference, stated = difference[there], stated[there]
    within = np.abs(difference) <= stats.t.ppf(0.975, freedom) * np.sqrt(stated)
    return {
        "model": model, "what": what, "splits": splits, "pairs": len(difference),
        "covered": float(within.mean()),
        "too_narrow": float(np.sqrt((difference**2).mean() / stated.mean())),
    }  # fmt: skip


def main() -> None:
    started = time.perf_counter()
    found = {name: draws(name) for name in SPLITS}
    every = pd.concat([table for table, _ in found.values()], ignore_index=True)
    judged = list(itertools.chain.from_iterable(claims for _, claims in found.values()))
    summary = pd.DataFrame([*of_layers(every), *of_claims(judged)])
    columns = ["model", "split", "half", "layer", "metric", "centered", "value", "stderr", "groups"]
    every = every[columns].astype({"value": "float32", "stderr": "float32"})
    seconds = round(time.perf_counter() - started, 1)
    told = tables.provenance(command="python results/coverage.py", seconds=seconds)
    (HERE / "coverage").mkdir(exist_ok=True)
    for name, table in (("draws", every), ("coverage", summary)):
        table.attrs["provenance"] = [told]
        tables.write_table(table, HERE / "coverage" / f"{name}.parquet")
    print(summary.to_string())


if __name__ == "__main__":
    main()
