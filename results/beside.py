"""Tables that stand beside the book's own profiles: python results/beside.py [random] [median]

`beside/random.parquet` is the anisotropy of both models' networks with weights drawn anew, three
draws each: what a reading of claim 1 says of a network that has learned nothing.
`beside/median.parquet` is MADA's median over points beside the estimators of claim 5, of both
models with the weights they have. Text and windows are those of the book's pages on layers. The
first is of 1024 vectors a layer; the second is of 4096.
"""

import copy
import dataclasses
import sys
from pathlib import Path

import torch

from shapelib import profile
from shapelib.models import loading
from shapelib.store import tables

HERE = Path(__file__).parent
MODELS = ("smollm2-135m", "minilm-l6")
ASKED = {"tokens": 1024, "batch": 256, "progress": False}
DRAWS = 3


def random_weights(model: loading.Model, seed: int) -> loading.Model:
    """The same network with the weights that its class draws, under a name that says so."""
    torch.manual_seed(seed)
    network = type(model.network)(copy.deepcopy(model.network.config)).to(model.device).eval()
    source = dataclasses.replace(model.source, name=f"{model.name}, random weights {seed}")
    return dataclasses.replace(model, source=source, network=network)


def random() -> None:
    found = []
    for name in MODELS:
        model = loading.load(loading.find(name))
        for seed in range(DRAWS):
            drawn = random_weights(model, seed)
            found.append(profile(drawn, sets=("all", "rest"), metrics=("anisotropy",), **ASKED))
    keep("random", found)


def median() -> None:
    metrics = ("two_nn", "mada_k20", "mada_median_k20", "mom_k20")
    asked = {**ASKED, "tokens": 4096, "batch": 1024}
    keep("median", [profile(m, sets=("all",), metrics=metrics, **asked) for m in MODELS])


def keep(part: str, found: list) -> None:
    table = tables.combine(found)
    for run in table.attrs["provenance"]:
        run["command"] = f"python results/beside.py {part}"
        if part == "random":
            run["training"], run["caveat"] = "none: random weights", "random weights"
    folder = HERE / "beside"
    folder.mkdir(exist_ok=True)
    tables.write_table(table, folder / f"{part}.parquet")
    print(f"{part}: kept", flush=True)


def main() -> None:
    parts = {"random": random, "median": median}
    names = sys.argv[1:] or list(parts)
    if unknown := [name for name in names if name not in parts]:
        sys.exit(f"no such part: {', '.join(unknown)}; known: {', '.join(parts)}")
    for name in names:
        parts[name]()


if __name__ == "__main__":
    main()
