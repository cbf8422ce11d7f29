"""What storing weights in few bits does to the metrics: python results/quantisation.py

MPNet's weights, which its file holds in float32, are rounded through three types of GGUF and back,
and each layer is measured before and after on the same windows. SmolLM2, whose file holds Q4_1
already, is rounded once more: a control on a decoder. `quantisation/metrics.parquet` has a row for
each model, type, layer, token set and metric; `moved` is the change in standard errors. Types with
super-blocks (Q4_K, Q6_K), which two of the models use, the `gguf` package reads and does not write:
what they do is not measured here.
"""

import sys
from pathlib import Path

import gguf
import pandas as pd
import torch
from precision import moved

from shapelib import profile
from shapelib.models.loading import Model, load
from shapelib.store import tables

HERE = Path(__file__).parent / "quantisation"
TYPES = ("Q8_0", "Q5_0", "Q4_1")
MODELS = ("mpnet-base", "smollm2-135m")
TOKENS = 8192
SETS = ("all", "content", "rest")
COMMAND = " ".join(["python", "results/quantisation.py", *sys.argv[1:]])
# Weights of a block share a scale.
BLOCK = 32


@torch.no_grad()
def round_weights(model: Model, kind: str) -> int:
    """Round every matrix of a network through a type of GGUF; returns how many weights they have.

    Vectors (norms, biases) stay as they are, as in such files, and so does a matrix whose rows do
    not divide into blocks.
    """
    found = getattr(gguf.GGMLQuantizationType, kind)
    count = 0
    for weight in model.network.parameters():
        if weight.ndim == 2 and weight.shape[1] % BLOCK == 0:
            packed = gguf.quants.quantize(weight.float().numpy(), found)
            weight.copy_(torch.from_numpy(gguf.quants.dequantize(packed, found)))
            count += weight.numel()
    return count


def measured(model: Model) -> pd.DataFrame:
    return profile(model, tokens=TOKENS, sets=SETS, progress=False)


def rows(name: str) -> pd.DataFrame:
    """A row for each type, layer, token set and metric of one model."""
    plain = measured(load(name, dtype="float32"))
    found = []
    for kind in TYPES:
        model = load(name, dtype="float32")
        count = round_weights(model, kind)
        table = moved(plain, measured(model), "rounded", COMMAND).assign(type=kind)
        shown = table.groupby("metric", sort=False)["moved"].agg(["median", "max"]).round(2)
        print(f"{name}, {count / 1e6:.0f} M weights in {kind}\n{shown}", flush=True)
        found.append(table)
    return tables.combine(found)


def main() -> None:
    names = sys.argv[1:] or list(MODELS)
    HERE.mkdir(exist_ok=True)
    table = tables.combine([rows(name) for name in names])
    tables.write_table(table, HERE / "metrics.parquet")


if __name__ == "__main__":
    main()
