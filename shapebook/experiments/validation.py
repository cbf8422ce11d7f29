"""Which dimensions to trust: estimators on clouds of known dimension, and what bends them."""

import functools
import importlib
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float

from shapelib.errors import ShapelibError
from shapelib.geometry import dimension
from shapelib.geometry.metrics import NEIGHBORS
from shapelib.geometry.neighbors import nearest_neighbors
from shapelib.models import loading
from shapelib.states import pool
from shapelib.states.reading import run_facts
from shapelib.store import keys, tables
from shapelib.text import corpus

Cloud = Float[np.ndarray, "points features"]

BENCHMARK = ("M13a_Scurve", "M7_Roll", "M2_Affine_3to5", "M1_Sphere", "M9_Affine", "M12_Norm")
DIMENSIONS = (2, 5, 10, 20, 40)
SMALLEST = 256
RATIOS = 4096
SHARES, NEAR_SHARE = (0.05, 0.1, 0.2), 0.1
# In multiples of the median distance to the first neighbour.
NOISE = (0.001, 0.01, 0.1, 0.3, 1.0)
KS = (4, 10, 20, 50, 100, 200)
DISCARDS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
REFERENCE = "Gaussian, d = 20"
OURS, THEIRS = "shapelib", "scikit-dimension"

LOW, HIGH = 5, 40
Ratios = Float[np.ndarray, "..."]


class Rule(NamedTuple):
    """What every ratio of a finding is held against. No claim of a paper's, and no interval: the
    ratios are exact, or their spread is what a finding is about."""

    words: str
    holds: Callable[[Ratios], Bool[np.ndarray, "..."]]
    met: str
    """The verdict where it holds for all of them."""
    unmet: str
    """The verdict where it does not."""


def _within(share: float) -> Callable[[Ratios], Bool[np.ndarray, "..."]]:
    return lambda ratios: abs(ratios - 1) <= share


def _off(share: float) -> Callable[[Ratios], Bool[np.ndarray, "..."]]:
    return lambda ratios: abs(ratios - 1) > share


def _above(least: float) -> Callable[[Ratios], Bool[np.ndarray, "..."]]:
    return lambda ratios: ratios > least


def _below(most: float) -> Callable[[Ratios], Bool[np.ndarray, "..."]]:
    return lambda ratios: ratios < most


RULES = {
    # Two programs that compute one formula agree to rounding.
    "same": Rule("equal to 1e-9", _within(1e-9), "no difference", "a difference"),
    # The exact ratios of a draw pin the dimension to one or two per cent.
    "exact": Rule("within 5 %", _within(0.05), "recovers the dimension", "fails"),
    # In two dimensions the method of moments stays a seventh too high however many the points.
    "low": Rule("within 20 %", _within(0.2), "recovered", "not recovered"),
    "high": Rule("below 80 %", _below(0.8), "too low", "not too low"),
    # Trends compare means over parts of a cloud.
    "rises": Rule("up by over 5 %", _above(1.05), "estimates rise", "no common trend"),
    "falls": Rule("down by over 5 %", _below(0.95), "estimates fall", "no common trend"),
    # Less than a tenth is hardly more than another draw of tokens changes.
    "off": Rule("off by over 10 %", _off(0.1), "estimate is off", "not always off"),
    "holds": Rule("within 10 %", _within(0.1), "estimate holds", "estimate is off"),
    # Over the same axis the estimates on a Gaussian stay well within this.
    "decides": Rule("over 1.5", _above(1.5), "decides the estimate", "decides little"),
    "turned": Rule("over 1.1", _above(1.1), "depends on the estimator", "not seen to depend"),
}


def scikit_dimension() -> Any:
    """The package ``skdim``: importing it silences all warnings of a process, but not here."""
    with warnings.catch_warnings():
        try:
            return importlib.import_module("skdim")
        except ImportError as error:
            raise ShapelibError("run: pip install scikit-dimension") from error


def estimates(x: Cloud) -> tuple[dict[str, float], int]:
    """Every dimension of the tables from one search, and how many copies it left out."""
    found = nearest_neighbors(x, dimension.MOM_K)
    near = found.distances
    values = {name: estimate(near[:, :k]) for name, (k, estimate) in NEIGHBORS.items()}
    return values, found.duplicates


def peers(x: Cloud) -> dict[str, float]:
    """The same by scikit-dimension alone: its searches, its fits, its treatment of copies."""
    theirs, x = scikit_dimension().id, np.asarray(x, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of copies
        fits = [theirs.TwoNN(discard_fraction=share).fit(x) for share in (0.1, 0.8)]
        fits += [theirs.MADA().fit(x, n_neighbors=20)]
        fits += [theirs.MOM().fit(x, n_neighbors=k) for k in (20, 100)]
    return {name: float(fit.dimension_) for name, fit in zip(NEIGHBORS, fits, strict=True)}


def manifolds(points: int, seed: int) -> pd.DataFrame:
    """Manifolds of known dimension `d`, estimated `by` this package and by scikit-dimension."""

    def measure() -> pd.DataFrame:
        rows: list[dict[str, object]] = []
        for name, d, x in _manifolds(points, seed):
            for by, values in ((OURS, estimates(x)[0]), (THEIRS, peers(x))):
                rows += _rows(values, manifold=f"{name}, {d}", d=d, by=by)
        return pd.DataFrame(rows)

    return _cached("manifolds", measure, points, seed)


def _manifolds(n: int, seed: int) -> Iterator[tuple[str, int, Cloud]]:
    make = scikit_dimension().datasets
    benchmark = make.BenchmarkManifolds(random_state=seed)
    drawn, truth = benchmark.generate("all", n=n), benchmark.truth["Intrinsic Dimension"]
    yield "swissRoll", 2, make.swissRoll3Sph(n, 0, random_state=seed)
    yield "hyperTwinPeaks", 2, make.hyperTwinPeaks(n, 2, random_state=seed)
    for name in BENCHMARK:
        yield name, int(truth[name]), drawn[name]
    yield "hyperBall", 20, make.hyperBall(n, 20, random_state=seed)
    yield "hyperSphere", 30, make.hyperSphere(n, 30, random_state=seed)


def bias(largest: int, repeats: int, seed: int) -> pd.DataFrame:
    """Estimates on Gaussians of `d` dimensions with `n` points, from 256 to `largest`."""

    def measure() -> pd.DataFrame:
        rows: list[dict[str, object]] = []
        for d in DIMENSIONS:
            for n in _doubling(SMALLEST, largest):
                for repeat in range(repeats):
                    x = np.random.default_rng([seed, d, n, repeat]).standard_normal((n, d))
                    rows += _rows(estimates(x)[0], d=d, n=n, repeat=repeat)
        return pd.DataFrame(rows)

    return _cached("bias", measure, largest, repeats, seed)


def misprint(repeats: int, seed: int) -> pd.DataFrame:
    """TwoNN's line on exact Pareto ratios: −ln(1 − F) as corrected, 1 − F as the paper prints."""
    rows: list[dict[str, object]] = []
    for d in DIMENSIONS:
        for repeat in range(repeats):
            drawn = np.random.default_rng([seed, d, repeat]).uniform(0, 1, RATIOS)
            near = np.stack([np.ones(RATIOS), (1 - drawn) ** (-1 / d)], axis=1)
            for discard in (0.0, dimension.FACCO_DISCARD):
                x = np.sort(np.log(near[:, 1]))[: int(RATIOS * (1 - discard))]
                y = 1 - np.arange(1, len(x) + 1) / RATIOS
                right = dimension.two_nn_from_distances(near, discard)
                values = {"corrected": right, "printed": float(x @ y / (x @ x))}
                rows += _rows(values, d=d, discard=discard, repeat=repeat)
    return pd.DataFrame(rows)


def stress(
    layers: Mapping[str, list[int]], text: str = "enwiki-sample", *, tokens: int,
    window: int = 512, seed: int = 0, device: str = "auto",
) -> pd.DataFrame:  # fmt: skip
    """A Gaussian, and layers of models, under everything that may bend an estimate.

    A row for each `cloud`, `change`, `amount`, `by` whom, metric and repeat; `base` is the estimate
    on the cloud unchanged, `copies` what the search left out, `role` the model's (empty for the
    Gaussian). A cloud holds `tokens` shuffled vectors, special tokens included, less its own exact
    copies.

    Raises `ShapelibError` for fewer than 512 tokens, a layer that a model does not have, and for
    what `load`, `load_corpus` and `pool` refuse; ValueError for a layer with
    fewer than 202 different vectors.
    """
    if tokens < 512 or not layers:
        raise ShapelibError(f"needed: a layer and 512 tokens, got layers={layers}, tokens={tokens}")
    read, where = corpus.load_corpus(text), str(loading.pick_device(device))

    def gaussian() -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        turn, _ = np.linalg.qr(rng.standard_normal((64, 20)))
        rows = stressed(REFERENCE, rng.standard_normal((tokens, 20)) @ turn.T, seed)
        return pd.DataFrame(rows).assign(role="")

    def model(source: loading.Source, wanted: list[int]) -> pd.DataFrame:
        started = time.perf_counter()
        loaded = loading.load(source, device=device)
        if wrong := [each for each in wanted if not 0 <= each <= loaded.layers]:
            raise ShapelibError(f"{loaded.name} has layers 0 to {loaded.layers}, got {wrong[0]}")
        rows: list[dict[str, object]] = []
        cut = corpus.windows(read, window, seed=seed)
        with pool.pool(loaded, cut, tokens, seed=seed, progress=False) as pooled:
            counts = {"windows": pooled.windows, "all": len(pooled.order)}
            for layer in wanted:
                x = next(pooled.batches(layer, "all", tokens, 1))
                rows += stressed(f"{loaded.name}, layer {layer}", x, seed)
        counts["dropped_all"] = counts["all"] - tokens
        run = run_facts(loaded, read, counts, started, tokens=tokens, window=window, seed=seed)
        run["versions"][THEIRS] = metadata.version(THEIRS)
        table = pd.DataFrame(rows).assign(role=loaded.role)
        table.attrs["provenance"] = [run]
        return table

    found = [_cached("gaussian", gaussian, tokens, seed)]
    for name, chosen in layers.items():
        source = loading.find(name)
        key = (source.name, source.fingerprint, chosen, read.name, read.sha256, window, where)
        found.append(
            _cached("layers", functools.partial(model, source, chosen), *key, tokens, seed)
        )
    return tables.combine(found)


def stressed(cloud: str, x: Cloud, seed: int) -> list[dict[str, object]]:
    """The rows of `stress` for one cloud."""
    rng = np.random.default_rng(seed)
    whole = nearest_neighbors(x, KS[-1])
    near, x = whole.distances, whole.distinct.cpu().numpy()
    n, base = len(x), estimates(x)[0]
    rows: list[dict[str, object]] = []

    def add(change: str, amount: float, values: dict[str, float], copies: int = 0,
            by: str = OURS, repeat: int = 0) -> None:  # fmt: skip
        known = {"cloud": cloud, "change": change, "amount": float(amount), "by": by}
        rows.extend(_rows(values, **known, repeat=repeat, copies=copies))

    add("none", 0, base, whole.duplicates)
    for share in SHARES:
        more = np.concatenate([x, x[rng.choice(n, int(share * n), replace=False)]])
        add("copies", share, *estimates(more))
        add("copies", share, peers(more), by=THEIRS)
    for noise in NOISE:
        moved = rng.standard_normal((int(NEAR_SHARE * n), x.shape[1]))
        moved *= noise * float(near[:, 0].median()) / np.linalg.norm(moved, axis=1, keepdims=True)
        moved += x[rng.choice(n, len(moved), replace=False)]
        add("near-copies", noise, *estimates(np.concatenate([x, moved])))
    add("rounding", 0, *estimates(torch.from_numpy(x).to(torch.bfloat16).float().numpy()))
    # Disjoint parts: their spread is that of other tokens of the same windows.
    for size in _doubling(SMALLEST, n):
        for repeat, some in enumerate(rng.permutation(n)[: n - n % size].reshape(-1, size)):
            add("tokens", size, *estimates(x[some]), repeat=repeat)
    for k in KS:
        mean, median = (dimension.mada_from_distances(near[:, :k], a) for a in ("mean", "median"))
        values = {"mada": mean, "mada_median": median}
        add("k", k, values | {"mom": dimension.mom_from_distances(near[:, :k])})
    for discard in DISCARDS:
        add("discard", discard, {"two_nn": dimension.two_nn_from_distances(near, discard)})
    for row in rows:
        row["base"] = base.get(str(row["metric"]), math.nan)
    return rows


def _rows(values: Mapping[str, float], **known: object) -> list[dict[str, object]]:
    return [{**known, "metric": metric, "value": value} for metric, value in values.items()]


def _doubling(first: int, last: int) -> list[int]:
    """Sizes that double from `first`, and `last`, which is at least 1.5 × the one before."""
    return [size for size in (first * 2**i for i in range(32)) if 1.5 * size <= last] + [last]


def _cached(name: str, compute: Callable[[], pd.DataFrame], *parts: object) -> pd.DataFrame:
    scikit_dimension()  # says what to install
    key = keys.key_of(*parts, keys.code_of(_cached), metadata.version(THEIRS))
    return tables.cached(f"validation-{name}-{key}", compute)


def findings(
    known: pd.DataFrame, draws: pd.DataFrame, formulas: pd.DataFrame, bent: pd.DataFrame
) -> pd.DataFrame:
    """What the page's four tables show by `RULES`.

    Columns: `finding`, the `rule` that every ratio is held against, by how many of them it is
    `met`, the `verdict` (the rule's first where it is met by all, else its second) and the range
    of the `ratios`.
    """
    ours, theirs = (known.loc[known["by"] == by, "value"].to_numpy() for by in (OURS, THEIRS))
    to_d = formulas.assign(r=formulas["value"] / formulas["d"])
    to_d = to_d.groupby(["metric", "d", "discard"])["r"].mean()
    means = draws.groupby(["metric", "n", "d"])["value"].mean().unstack("d")
    few, many = (means.xs(n, level="n") for n in (draws["n"].min(), draws["n"].max()))
    bent = bent.assign(r=bent["value"] / bent["base"])
    two_nn, real = bent["metric"].str.startswith("two_nn"), bent["cloud"] != REFERENCE
    of = {name: bent["change"] == name for name in bent["change"].unique()}
    sized = bent[of["tokens"] & two_nn & real].groupby(["metric", "cloud", "amount"])["value"]
    sized = sized.mean().groupby(level=[0, 1])
    kept = of["copies"] & (bent["by"] == THEIRS) & (bent["amount"] == SHARES[-1])
    nearest = of["near-copies"] & (bent["amount"] == NOISE[0])
    shares = bent[of["discard"]].groupby("cloud")["value"].agg(lambda v: v.max() / v.min())
    base = bent[of["none"] & real].pivot(index="cloud", columns="metric", values="value")
    apart = base.to_numpy()[:, None] / base.to_numpy()
    judged = {
        "our estimates beside scikit-dimension's": (ours / theirs, "same"),
        "corrected formula": (to_d["corrected"], "exact"),
        "printed formula": (to_d["printed"], "exact"),
        "low dimensions": ((many / many.columns)[[d for d in DIMENSIONS if d <= LOW]], "low"),
        "high dimensions": (many[HIGH] / HIGH, "high"),
        "MADA and moments, more points, high dimension": (
            (many / few)[HIGH].drop(["two_nn", "two_nn_lowest20"]), "rises"),
        "TwoNN, more tokens of a layer": (sized.last() / sized.first(), "falls"),
        "duplicates removed": (bent.loc[of["copies"] & (bent["by"] == OURS), "r"], "same"),
        "TwoNN, duplicates kept": (bent.loc[kept & two_nn, "r"], "off"),
        "TwoNN, near-duplicates": (bent.loc[nearest & two_nn, "r"], "off"),
        "moments over many neighbours, near-duplicates": (
            bent.loc[of["near-copies"] & (bent["metric"] == "mom_k100"), "r"], "holds"),
        "rounding to half precision": (bent.loc[of["rounding"], "r"], "holds"),
        "share discarded, Gaussian": (shares[[REFERENCE]], "decides"),
        "share discarded, layer": (shares.drop(REFERENCE), "decides"),
        "order of the layers": (np.minimum(apart.max(2), 1 / apart.min(2)).max(), "turned"),
    }  # fmt: skip
    rows = []
    for finding, (ratios, name) in judged.items():
        r, rule = np.asarray(ratios, dtype=float), RULES[name]
        passed, ends = rule.holds(r), list(dict.fromkeys((f"{r.min():.3g}", f"{r.max():.3g}")))
        count = f"{passed.sum()} of {passed.size}"
        verdict = rule.met if passed.all() else rule.unmet
        rows.append((finding, rule.words, count, verdict, " to ".join(ends)))
    return pd.DataFrame(rows, columns=["finding", "rule", "met", "verdict", "ratios"])


def words(found: pd.DataFrame) -> None:
    """Print the findings alone, in words: what nbval compares, on any machine."""
    print(*(found["finding"] + ": " + found["verdict"]), sep="\n")
