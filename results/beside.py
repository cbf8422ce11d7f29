"""Networks that have learned nothing, beside the book's profiles: python results/beside.py

`beside/random.parquet` is the anisotropy of both models' networks with weights drawn anew, three
draws each: what a reading of claim 1 says of a network that has learned nothing. Text and windows
are those of the book's pages on layers; 1024 vectors a layer.
"""

import copy
import dataclasses
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


def main() -> None:
    found = []
    for name in MODELS:
        model = loading.load(loading.find(name))
        for seed in range(DRAWS):
            drawn = random_weights(model, seed)
            found.append(profile(drawn, sets=("all", "rest"), metrics=("anisotropy",), **ASKED))
    table = tables.combine(found)
    for run in table.attrs["provenance"]:
        run["command"] = "python results/beside.py"
        run["training"], run["caveat"] = "none: random weights", "random weights"
    folder = HERE / "beside"
    folder.mkdir(exist_ok=True)
    print(tables.write_table(table, folder / "random.parquet"))


if __name__ == "__main__":
    main()
