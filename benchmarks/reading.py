"""Forward passes in bfloat16 beside float32, over the same windows: what reading a model takes.

The passes are those that `profile` makes, without hidden states; the two precisions take turns.
Where the processor has no units for bfloat16, this says what it costs to ask for it all the same.
A model whose weights cannot be had (Gemma's terms must have been accepted) is left out by name.

    python benchmarks/reading.py              # 135 M, 270 M and 1.5 G parameters
    python benchmarks/reading.py MODEL …      # some of them
"""

import sys
import time

import record
import torch

from shapelib import load_corpus, windows
from shapelib.errors import ShapelibError
from shapelib.models.loading import Model, load
from shapelib.states.reading import PASS, draw
from shapelib.text.corpus import Corpus

# Tokens that are read in one turn.
TOKENS = {"smollm2-135m": 4096, "gemma-3-270m": 4096, "qwen2.5-coder-1.5b": 1024}
WINDOW = 512
TURNS = 3

Passes = list[tuple[torch.Tensor, torch.Tensor]]


def passes_of(model: Model, text: Corpus, tokens: int) -> Passes:
    """Windows of 512 characters as padded passes with their masks, such as `profile` makes."""
    cut = windows(text, WINDOW, tokenizer=model.tokenizer, seed=0)
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


def seconds(model: Model, passes: Passes) -> float:
    """What the passes take, and nothing else."""
    start = time.perf_counter()
    with torch.inference_mode():
        for padded, mask in passes:
            model.network(input_ids=padded, attention_mask=mask, use_cache=False)
    return time.perf_counter() - start


def ratios(name: str, text: Corpus, tokens: int) -> tuple[int, list[float]]:
    """A model's parameters, and turn by turn its time in bfloat16 by that in float32."""
    plain, narrow = (load(name, dtype=dtype, device="cpu") for dtype in ("float32", "bfloat16"))
    passes = passes_of(plain, text, tokens)
    for each in (plain, narrow):
        seconds(each, passes[-1:])
    found = []
    for turn in range(TURNS):
        took = {}
        # The order changes with the turn, so that nobody is always just after the same one.
        for each in (plain, narrow)[:: 1 if turn % 2 else -1]:
            took[each.dtype] = seconds(each, passes)
        found.append(took["bfloat16"] / took["float32"])
    return plain.parameters, found


def main() -> None:
    names = sys.argv[1:] or list(TOKENS)
    if unknown := [name for name in names if name not in TOKENS]:
        sys.exit(f"not timed: {', '.join(unknown)}; known: {', '.join(TOKENS)}")
    text = load_corpus()
    rows, left = [], []
    for name in names:
        tokens = TOKENS[name]
        try:
            parameters, found = ratios(name, text, tokens)
        except ShapelibError as error:
            left.append(f"{name} ({error})")
            continue
        shown = f"{name}, {parameters / 1e6:,.0f} M parameters, {tokens} tokens"
        rows.append(record.row(shown, found, threads=torch.get_num_threads()))
    section = record.section(
        "Passes in bfloat16", "the same forward passes in float32, same threads, same turn",
        rows, f"Left out: {'; '.join(left)}." if left else "",
    )  # fmt: skip
    record.write("reading", [section])


if __name__ == "__main__":
    main()
