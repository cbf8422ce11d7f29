"""Take a run's anisotropy apart, layer by layer: who carries it, and what other measures see."""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from shapelib.geometry.anisotropy import anisotropy
from shapelib.geometry.leverage import LeaveOut, leave_out
from shapelib.geometry.massive import FACTOR, massive_rows
from shapelib.geometry.spectrum import Spectrum, spectrum
from shapelib.models import loading
from shapelib.states import pool
from shapelib.states.layer import GROUPS
from shapelib.states.reading import run_facts
from shapelib.store import cache, keys, tables
from shapelib.text import corpus

FACTORS = (FACTOR / 2, FACTOR, FACTOR * 2)
FIRST = "first position"
LISTED = 8


class Dissection(NamedTuple):
    """Four tidy tables of one run; all have the columns model, role, layer, depth, after_norm."""

    measures: pd.DataFrame
    """`metric` (a field of `Spectrum`), `tokens`, `value` and `stderr` (over groups of windows)."""
    carriers: pd.DataFrame
    """What carries σ₁²: `token` (decoded, or `FIRST`), `share` of σ₁², `count` of vectors,
    `rank`; for each layer the heaviest, of ``all`` vectors and of ``later`` ones; and on every row
    `half`, the smallest share of the vectors that carries half, and `coordinate`, the one that
    weighs most in v₁, with its `weight` v₁ᵢ²."""
    leave_out: pd.DataFrame
    """`anisotropy` without the share `removed` of the vectors, those of the highest leverage."""
    factors: pd.DataFrame
    """`massive`, the share of vectors beyond `factor` times the median length, and the
    `anisotropy` of the rest."""


def dissect(
    model: str | Path | loading.Source | loading.Model,
    text: str | Path | corpus.Corpus = "enwiki-sample",
    *,
    tokens: int = 4096,
    window: int = 512,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
    reuse: bool = True,
) -> Dissection:
    """Pool a model's hidden states once, and ask of every layer who carries its anisotropy.

    Each value is of all pooled vectors of a token set (at least `tokens`, in one batch). With
    `reuse` the tables are kept in the user's cache; a model that is already loaded is always
    measured anew. Raises `ShapelibError` for anything that `load`, `load_corpus` or
    `pool` refuses.
    """
    text = text if isinstance(text, corpus.Corpus) else corpus.load_corpus(text)
    asked = {"tokens": tokens, "window": window, "seed": seed}
    if isinstance(model, loading.Model):
        return _dissect(model, text, progress, asked)
    source = model if isinstance(model, loading.Source) else loading.find(model)
    if not reuse:
        return _dissect(loading.load(source, device=device), text, progress, asked)
    key = keys.key_of(
        "dissect", source.name, source.fingerprint, text.name, text.sha256, asked,
        str(loading.pick_device(device)), keys.code_of(dissect),
    )  # fmt: skip

    def build(folder: Path) -> None:
        made = _dissect(loading.load(source, device=device), text, progress, asked)
        for name, table in zip(Dissection._fields, made, strict=True):
            tables.write_table(table, folder / f"{name}.parquet")

    folder = cache.entry("tables", cache.named(source.name, key), build)
    return Dissection(
        *(tables.read_table(folder / f"{each}.parquet") for each in Dissection._fields)
    )


def combine(several: list[Dissection]) -> Dissection:
    """The dissections of several models as one."""
    return Dissection(*(tables.combine(list(each)) for each in zip(*several, strict=True)))


def _dissect(
    model: loading.Model, text: corpus.Corpus, progress: bool, asked: dict[str, int]
) -> Dissection:
    from tqdm import tqdm

    started = time.perf_counter()
    cut = corpus.windows(text, asked["window"], seed=asked["seed"])
    rows: tuple[list[dict[str, object]], ...] = ([], [], [], [])
    with pool.pool(model, cut, asked["tokens"], seed=asked["seed"], progress=progress) as pooled:
        bar = tqdm(
            range(pooled.layers + 1),
            unit="layer",
            desc=f"{model.name}: dissecting",
            disable=None if progress else True,
        )
        for layer in bar:
            where = {
                "model": model.name, "role": model.role, "layer": layer,
                "depth": layer / model.layers,
                "after_norm": layer == model.layers and model.after_norm,
            }  # fmt: skip
            found = (
                _measures(pooled, layer),
                carriers_of(model, pooled, layer),
                _leave_out(pooled, layer),
                factors_of(pooled, layer),
            )
            for into, some in zip(rows, found, strict=True):
                into += [{**where, **row} for row in some]
        windows = pooled.windows
        counts = {"windows": windows, "all": len(pooled.order), "dropped_all": 0}
    made = [pd.DataFrame(each) for each in rows]
    for table in made:
        table.attrs["provenance"] = [run_facts(model, text, counts, started, **asked)]
    return Dissection(*made)


def _measures(pooled: pool.Pool, layer: int) -> list[dict[str, object]]:
    groups = min(GROUPS, pooled.windows // 2)
    rows: list[dict[str, object]] = []
    for tokens in ("all", "rest"):
        # Where nothing is massive the two sets are one.
        if tokens == "all" or pooled.massive(layer).any():
            value = spectrum(pooled.states[layer][np.sort(pooled.rows(tokens, layer))])
            spread = np.full(len(value), np.nan)
            if groups >= 3:
                each = [spectrum(x) for x in pooled.groups(layer, tokens, groups)]
                spread = np.std(each, axis=0, ddof=1) / groups**0.5
        rows += [
            {"tokens": tokens, "metric": name, "value": one, "stderr": error, "groups": groups}
            for name, one, error in zip(Spectrum._fields, value, spread, strict=True)
        ]
    return rows


def carriers_of(model: loading.Model, pooled: pool.Pool, layer: int) -> list[dict[str, object]]:
    """The rows of `Dissection.carriers` of one layer, without the columns that name it."""
    rows: list[dict[str, object]] = []
    for tokens in ("all", "later"):
        members = np.sort(pooled.rows(tokens, layer))
        found = leave_out(pooled.states[layer][members], steps=1)
        heaviest = int(np.argmax(np.abs(found.direction)))
        about = {
            "tokens": tokens,
            "half": smallest_share(found.leverage),
            "coordinate": heaviest,
            "weight": float(found.direction[heaviest] ** 2),
        }
        # The first position is one carrier, whatever token stands there.
        kind = np.where(pooled.position[members] == 0, -1, pooled.token[members])
        kinds, member, counts = np.unique(kind, return_inverse=True, return_counts=True)
        shares = np.bincount(member, weights=found.leverage)
        for rank, each in enumerate(np.argsort(-shares, kind="stable")[:LISTED]):
            name = FIRST if kinds[each] < 0 else repr(model.tokenizer.decode([int(kinds[each])]))
            rows.append(
                {**about, "rank": rank, "token": name, "share": float(shares[each]),
                 "count": int(counts[each])}
            )  # fmt: skip
    return rows


def _leave_out(pooled: pool.Pool, layer: int) -> list[dict[str, object]]:
    found: LeaveOut = leave_out(pooled.states[layer])
    n = len(found.leverage)
    return [
        {"removed": int(removed) / n, "anisotropy": float(value), "n": n}
        for removed, value in zip(found.removed, found.anisotropy, strict=True)
    ]


def factors_of(pooled: pool.Pool, layer: int) -> list[dict[str, object]]:
    """The rows of `Dissection.factors` of one layer, without the columns that name it."""
    rows: list[dict[str, object]] = []
    for factor in FACTORS:
        massive = massive_rows(pooled.states[layer], factor)
        rest = anisotropy(pooled.states[layer][~massive])
        rows.append({"factor": factor, "massive": float(massive.mean()), "anisotropy": rest})
    return rows


def smallest_share(leverage: Float[np.ndarray, " n"], part: float = 0.5) -> float:
    """The smallest share of the points that together carry at least `part` of σ₁²."""
    if not 0 < part <= 1:
        raise ValueError(f"part must be above 0 and at most 1, got {part!r}")
    carried = np.cumsum(np.sort(leverage)[::-1])
    # What rounding takes from the last sums must not ask for a point more than there are.
    return min(int(np.searchsorted(carried, part * (1 - 1e-12))) + 1, len(leverage)) / len(leverage)
