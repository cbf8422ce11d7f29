"""A whole profile, in multiples of the bare forward passes over the same windows; and its memory.

Contestants take turns, so that a machine that slows down slows all. The bare passes are those that
`profile` makes, without hidden states. Peak memory is what a process holds above the loaded model.
"""

import argparse
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import record
import torch
from reading import passes_of, seconds

from shapelib.models import loading
from shapelib.states.pool import pool
from shapelib.states.profile import profile
from shapelib.states.settings import Measuring
from shapelib.text import corpus

MODEL = "smollm2-135m"
TOKENS = 16384
WINDOW = 512
TURNS = 2
SETS = (("all",), ("all", "rest"))
BUDGETS = (4.0, 1.0)
GIB = 1 << 30
LIMITS = {"all": 1.4, "all, rest": 1.6}
POOLED = "reading and pooling, nothing measured"


def measured(
    model: loading.Model, text: corpus.Corpus, tokens: int, sets: tuple[str, ...], memory: float
) -> float:
    start = time.perf_counter()
    profile(
        model, text, tokens=tokens, window=WINDOW, sets=sets,
        batch=min(Measuring.batch, tokens // 4), memory=memory, progress=False,
    )  # fmt: skip
    return time.perf_counter() - start


def pooled(model: loading.Model, text: corpus.Corpus, tokens: int) -> float:
    """Seconds for reading the windows and pooling the states, with nothing measured."""
    start = time.perf_counter()
    cut = corpus.windows(text, WINDOW, tokenizer=model.tokenizer, seed=0)
    pool(model, cut, tokens, memory=BUDGETS[0], progress=False).close()
    return time.perf_counter() - start


def held() -> list[int]:
    """Bytes of memory of this process that no file backs, and bytes that are pages of files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return [int(lines[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile")]


def peak(tokens: int, memory: float) -> list[float]:
    """GiB above the loaded model, anonymous and of files, at the worst moment of a profile."""
    model, text = loading.load(MODEL), corpus.load_corpus()
    before = most = held()
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.005):
            most = np.maximum(most, held()).tolist()

    watching = threading.Thread(target=watch)
    watching.start()
    measured(model, text, tokens, ("all", "rest"), memory)
    done.set()
    watching.join()
    return [(a - b) / GIB for a, b in zip(most, before, strict=True)]


def timed(model: loading.Model, text: corpus.Corpus, tokens: int) -> dict[str, list[float]]:
    """Ratios to the mean of the bare passes just before and after all of a turn."""
    passes = passes_of(model, text, tokens)
    ratios: dict[str, list[float]] = {}
    for turn in range(TURNS):
        base = seconds(model, passes)
        took = {
            ", ".join(each): measured(model, text, tokens, each, BUDGETS[0])
            for each in (SETS if turn % 2 else SETS[::-1])
        }
        took[POOLED] = pooled(model, text, tokens)
        base = (base + seconds(model, passes)) / 2
        for name, each in took.items():
            ratios.setdefault(name, []).append(each / base)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=TOKENS, help="fewer: nothing is recorded")
    parser.add_argument("--memory", type=float, help="print the peak memory under this budget")
    arguments = parser.parse_args()
    tokens = arguments.tokens
    if arguments.memory is not None:
        print(*peak(tokens, arguments.memory))
        return
    peaks = []
    for budget in BUDGETS:
        command = [sys.executable, __file__, "--tokens", str(tokens), "--memory", str(budget)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        anonymous, of_files = (float(each) for each in done.stdout.split())
        peaks.append(f"{anonymous:.2f} GiB under a budget of {budget:g} GiB")
        print(f"{peaks[-1]}, and {of_files:.2f} GiB of files")
    model, text = loading.load(MODEL), corpus.load_corpus()
    seconds(model, passes_of(model, text, min(tokens, 2048)))
    measured(model, text, min(tokens, 2048), SETS[-1], BUDGETS[0])
    ratios = timed(model, text, tokens)
    alone = statistics.median(ratios[POOLED])
    threads = torch.get_num_threads()
    rows = [
        record.row(name, ratios[name], threads=threads, limit=LIMITS.get(name))
        for name in (*LIMITS, POOLED)
    ]
    for row in rows:
        if "limit" in row:
            row["bound"] = f"reading and pooling alone are {alone:.3g}"
    section = record.section(
        "A whole profile", "the bare forward passes over the same windows, same threads, same turn",
        rows, f"{MODEL} at {tokens} tokens in batches of {Measuring.batch}. Peak memory above the "
        f"loaded model: {'; '.join(peaks)}.",
    )  # fmt: skip
    if tokens == TOKENS:
        record.write("profiles", [section])


if __name__ == "__main__":
    main()
