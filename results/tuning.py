"""Make the tables of fine-tuning runs: python results/tuning.py [PART …], all parts without any.

Each part is one call of `dimension_sweep` over the encoder of the trained pair, its checkpoints and
widths (trained first where they are missing), or MiniLM. Runs are kept in the user's cache as they
are made, so a call that was stopped goes on. `tuning.parquet` has a row for each run, and a part
that is made again replaces its rows.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from shapelib import dimension_sweep
from shapelib.pretraining import pretrain
from shapelib.pretraining.recipe import recipe
from shapelib.store import cache
from shapelib.store import tables as store

HERE = Path(__file__).parent / "tuning"
# Rates are multiplied by √(D / d). What does best falls with d faster than that, so large
# dimensions are tried at lower ones.
FEW, MANY = (30, 100, 300, 1000, 3000), (10_000, 30_000, 100_000)
HIGH, LOW = (0.01, 0.02, 0.04), (0.0025, 0.005, 0.01)
BOTH, TRAINED = ("pre-trained", "random"), ("pre-trained",)
# Where the d90 of the encoder lies, and learning rates that did well there.
BASE: dict[str, Any] = {"full_rates": (0.001, 0.003)}
MIDDLE: dict[str, Any] = {"dimensions": (*FEW[2:], *MANY[:2]), "learning_rates": (0.01,), **BASE}
UPPER: dict[str, Any] = {"dimensions": MANY[:2], "learning_rates": (0.005,), **BASE}
# As MiniLM on questions, at the dimensions and rates around its d90.
SMALL: dict[str, Any] = {"model": "minilm-l6", "steps": 60, "checkpoints": "all"}
LOWER: dict[str, Any] = {
    **SMALL, "dimensions": FEW[2:4], "learning_rates": (0.01,), "full_rates": (0.0003,),
}  # fmt: skip
HIGHER: dict[str, Any] = {
    **SMALL, "dimensions": (3000, 10_000), "learning_rates": (0.003,), "full_rates": (),
}  # fmt: skip
PARTS: dict[str, tuple[dict[str, Any], ...]] = {
    "DID": (
        {"inits": BOTH, "dimensions": FEW, "learning_rates": HIGH},
        {"inits": BOTH, "dimensions": MANY, "learning_rates": LOW},
    ),
    "SAID": (
        {"methods": ("SAID",), "dimensions": FEW, "learning_rates": HIGH},
        {"methods": ("SAID",), "dimensions": MANY, "learning_rates": LOW},
    ),
    "checkpoints": tuple({"checkpoints": [0, 80, 226, 640], **each} for each in (MIDDLE, UPPER)),
    "widths": tuple({"sizes": ("nano-48", "nano-192"), **each} for each in (MIDDLE, UPPER)),
    "minilm": (
        {
            **SMALL,
            "dimensions": FEW[2:],
            "learning_rates": (0.01,),
            "full_rates": (0.0003,),
        },
    ),
    # Full fine-tuning stands in the part before.
    "minilm-upper": (
        {
            **SMALL,
            "dimensions": (3000, *MANY),
            "learning_rates": (0.001, 0.003),
            "full_rates": (),
        },
    ),
    "minilm-random": (
        {**LOWER, "inits": ("random",), "full_rates": (0.0003, 0.001)},
        {**HIGHER, "inits": ("random",)},
    ),
    # Random weights may want other rates than trained ones.
    "minilm-random-rates": tuple(
        {
            **SMALL,
            "inits": ("random",),
            "dimensions": (d,),
            "learning_rates": rates,
            "full_rates": (),
        }
        for d, rates in ((1000, (0.03,)), (3000, (0.01, 0.03)), (10_000, (0.001, 0.01)))
    ),
    "minilm-SAID": (
        {**LOWER, "methods": ("SAID",), "full_rates": ()},
        {**HIGHER, "methods": ("SAID",)},
    ),
    "minilm-reviews": ({"task": "reviews", **LOWER}, {"task": "reviews", **HIGHER}),
    # Nothing is learned even by full fine-tuning, so that more dimensions would tell nothing.
    "minilm-same-paragraph": ({"task": "same-paragraph", **LOWER, "dimensions": FEW[2:3]},),
    "reviews": tuple({"task": "reviews", **each} for each in (MIDDLE, UPPER)),
    "same-paragraph": tuple({"task": "same-paragraph", **each} for each in (MIDDLE, UPPER)),
    "SAID-random": (
        {"methods": ("SAID",), "inits": ("random",), "dimensions": FEW, "learning_rates": HIGH},
        {"methods": ("SAID",), "inits": ("random",), "dimensions": MANY, "learning_rates": LOW},
    ),
}
# What a part does not name: the last checkpoint of the middle width, and steps enough for full
# fine-tuning to come near its best.
SHARED: dict[str, Any] = {
    "sizes": ("nano",), "checkpoints": [1280], "task": "questions", "methods": ("DID",),
    "inits": TRAINED, "steps": 150, "full_rates": (0.0003, 0.001, 0.003, 0.01), "seeds": (0, 1, 2),
}  # fmt: skip


def main() -> None:
    names = sys.argv[1:] or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"no such part: {', '.join(unknown)}; known: {', '.join(PARTS)}")
    for name in names:
        tables = [made(each) for each in PARTS[name]]
        whole = store.combine(tables)
        # Full fine-tuning stands in each table.
        keep(name, whole.drop_duplicates(), whole.attrs["provenance"])


def made(part: dict[str, Any]) -> pd.DataFrame:
    asked = {**SHARED, **part}
    sizes, model = asked.pop("sizes"), asked.pop("model", None)
    recipes = [] if model else [recipe("encoder", size) for size in sizes]
    folders = pretrain.suites(recipes)
    table = dimension_sweep(
        model or folders, asked.pop("task"), **asked, output=cache.folder("tuning")
    )
    if failures := table.attrs["failures"]:
        sys.exit("\n".join(f"{each.cell}: {each.error}" for each in failures))
    names = {folder.name: each.name for folder, each in zip(folders, recipes, strict=True)}
    named = table.replace({"model": names})
    named.attrs = table.attrs
    return named


def keep(part: str, table: pd.DataFrame, made: list[store.Provenance]) -> None:
    """Replace a part's rows; of what its runs say of themselves keep one."""
    alike = [key for key in made[0] if all(each.get(key) == made[0][key] for each in made)]
    run = {key: made[0][key] for key in (*alike, "created")}
    run["commit"] = ", ".join(sorted({str(each["commit"]) for each in made}))
    run |= {"part": part, "command": f"python results/tuning.py {part}", "runs": len(table)}
    run |= {"seconds": round(sum(each["seconds"] for each in made), 1)}
    table = table.assign(part=part)
    path, runs = HERE / "tuning.parquet", [run]
    HERE.mkdir(exist_ok=True)
    if path.is_file():
        before = store.read_table(path)
        runs = [each for each in before.attrs["provenance"] if each["part"] != part] + runs
        before.attrs = table.attrs = {}
        table = pd.concat([before[before["part"] != part], table], ignore_index=True)
    table.attrs["provenance"] = runs
    store.write_table(table, path)
    print(f"{part}: kept", flush=True)


if __name__ == "__main__":
    main()
