"""Parts of the table of fine-tuning that are grids, of the trained pair's encoder.

Each is a call or two of `dimension_sweep`, over that encoder, its checkpoints and widths, which are
trained first where they are missing.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd
import training
from searches import Kept, Takes

from shapelib import dimension_sweep
from shapelib.errors import ShapelibError
from shapelib.finetuning.settings import Tuning
from shapelib.pretraining import pretrain
from shapelib.pretraining.recipe import recipe
from shapelib.store import cache
from shapelib.store import tables as store

# Rates are multiplied by √(D / d). What does best falls with d faster than that, so large
# dimensions are tried at lower ones.
FEW, MANY = (30, 100, 300, 1000, 3000), (10_000, 30_000, 100_000)
HIGH, LOW = (0.01, 0.02, 0.04), (0.0025, 0.005, 0.01)
# Where the d90 of the encoder lies, and learning rates that did well there.
BASE: dict[str, Any] = {"full_rates": (0.001, 0.003)}
MIDDLE: dict[str, Any] = {"dimensions": (*FEW[2:], *MANY[:2]), "learning_rates": (0.01,), **BASE}
UPPER: dict[str, Any] = {"dimensions": MANY[:2], "learning_rates": (0.005,), **BASE}
GRIDS: dict[str, tuple[dict[str, Any], ...]] = {
    "DID": tuple(
        {"inits": ("pre-trained", "random"), "dimensions": dimensions, "learning_rates": rates}
        for dimensions, rates in ((FEW, HIGH), (MANY, LOW))
    ),
    "checkpoints": tuple({"checkpoints": [0, 80, 226, 640], **each} for each in (MIDDLE, UPPER)),
    "widths": tuple({"sizes": ("nano-48", "nano-192"), **each} for each in (MIDDLE, UPPER)),
    "reviews": tuple({"task": "reviews", **each} for each in (MIDDLE, UPPER)),
    "same-paragraph": tuple({"task": "same-paragraph", **each} for each in (MIDDLE, UPPER)),
}
# What a part does not name: the last checkpoint of the middle width, and steps enough for full
# fine-tuning to come near its best.
SHARED: dict[str, Any] = {
    "sizes": ("nano",), "checkpoints": [1280], "task": "questions", "methods": ("DID",),
    "inits": ("pre-trained",), "steps": 150, "full_rates": (0.0003, 0.001, 0.003, 0.01),
    "seeds": (0, 1, 2),
}  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """One or several calls of `dimension_sweep`."""

    calls: tuple[dict[str, Any], ...]
    """What each asks for."""
    needs: tuple[str, ...] = ()
    dtype: str = Tuning.dtype
    limit: float = float("inf")

    def takes(self, kept: Kept) -> list[Takes]:
        found = []
        for asked in self.calls:
            recipes, steps = _recipes(asked), asked["checkpoints"]
            minutes = training.minutes(recipes)
            print(f"  training what the cache lacks: up to {minutes:.0f} minutes", flush=True)
            skipped = ("sizes", "task", "checkpoints")
            runs = Tuning(**{name: asked[name] for name in asked if name not in skipped}).runs()
            counts = Counter((run.init, run.method) for run in runs)
            last = {(run.init, run.method): run for run in runs}
            found += [
                Takes(model, asked["task"], last[way], len(steps) * count, steps)
                for model in pretrain.suites(recipes)
                for way, count in counts.items()
            ]
        return found

    def made(self, kept: Kept) -> pd.DataFrame:
        whole = store.combine([_made(asked) for asked in self.calls])
        # Full fine-tuning stands in each table.
        runs, whole.attrs = whole.attrs["provenance"], {}
        whole = whole.drop_duplicates()
        whole.attrs["provenance"] = runs
        return whole


def _recipes(asked: dict[str, Any]) -> list[Any]:
    return [recipe("encoder", size) for size in asked["sizes"]]


def _made(asked: dict[str, Any]) -> pd.DataFrame:
    recipes = _recipes(asked)
    folders = pretrain.suites(recipes)
    table = dimension_sweep(
        folders, asked["task"],
        **{name: asked[name] for name in asked if name not in ("sizes", "task")},
        output=cache.folder("tuning"),
    )  # fmt: skip
    if failures := table.attrs["failures"]:
        raise ShapelibError("; ".join(f"{cell}: {why}" for cell, why in failures))
    names = {folder.name: each.name for folder, each in zip(folders, recipes, strict=True)}
    named = table.replace({"model": names})
    named.attrs = table.attrs
    return named
