"""A longer look at training: python results/longer.py [decoder encoder] [--tokens N] [--minutes M]

The size small of each kind, one seed, products in bfloat16, of the Wikipedia sample and the news
articles; both kinds at once, a thread each. `--tokens` trains with so many tokens instead of the
recipe's, with a schedule of learning rates that is complete for them. A run ends early at the first
epoch after which held-out loss is higher than after the one before. `--minutes` stops training
after that time; a stopped or killed run goes on by the same command, from the user's cache.

`longer/training.parquet` has every step's loss. `longer/shape.parquet` has checkpoints evenly
spaced over log step, the last and the best one on held-out text in windows of 64 and of 256 tokens:
16384 vectors in four batches of 4096, with massive vectors and without, by every estimator and at
seven scales. `longer/massive.parquet` has the massive vectors of the same layers: how many, on
which tokens. A run that is made again replaces its rows. Roughly how long it takes is said first.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import torch
from clean import demand_clean_commit
from training import replace

from shapebook.experiments.massive import massive_in_training
from shapelib import pretraining
from shapelib.models.loading import pick_device
from shapelib.pretraining import checkpoints
from shapelib.pretraining.recipe import Recipe, log_spaced, recipe
from shapelib.pretraining.training import Training
from shapelib.store import tables
from shapelib.text.corpus import load_corpus

FOLDER = Path(__file__).parent / "longer"
KINDS = ("decoder", "encoder")
WINDOWS = (64, 256)
TOKENS, BATCH = 16_384, 4096
SIZE = "small"
# What measuring one checkpoint takes, in training steps of one thread.
MEASURING = 40.0
TIMED = 3


def planned(kind: str, tokens: float | None, epoch: int) -> Recipe:
    """The recipe of a kind that reads so many tokens, with a checkpoint at the end of each epoch of
    `epoch` tokens besides those evenly spaced over log step."""
    plain = recipe(kind, SIZE, precision="bfloat16")
    steps = plain.steps if tokens is None else max(1, round(tokens / plain.tokens_per_step))
    kept = {*log_spaced(steps), *ends(plain, steps, epoch)}
    return recipe(
        kind, SIZE, precision="bfloat16", steps=steps, warmup=min(plain.warmup, steps // 10),
        checkpoints=sorted(kept),
    )  # fmt: skip


def ends(made: Recipe, steps: int, epoch: int) -> list[int]:
    """The first steps after each epoch has been read, before the last step."""
    epochs = steps * made.tokens_per_step // epoch
    found = [math.ceil(epoch * n / made.tokens_per_step) for n in range(1, epochs + 1)]
    return [each for each in found if each < steps]


def timed(kind: str, threads: int) -> tuple[int, float]:
    """Tokens of an epoch, and seconds of a training step with so many threads."""
    made, before = recipe(kind, SIZE, precision="bfloat16"), torch.get_num_threads()
    torch.set_num_threads(threads)
    training = Training(made, load_corpus(made.corpus), pick_device("auto"))
    training.advance()
    started = time.perf_counter()
    for _ in range(TIMED):
        training.advance()
    seconds = (time.perf_counter() - started) / TIMED
    torch.set_num_threads(before)
    return training.stream.tokens, seconds


def announce(made: Recipe, runs: int, at_once: int, epoch: int, seconds: float) -> None:
    """Say what is trained, and roughly how long it takes if no run ends early."""
    tokens, measured = made.steps * made.tokens_per_step, len(log_spaced(made.steps))
    training = math.ceil(runs / at_once) * made.steps * seconds / 3600
    measuring = runs * measured * MEASURING * seconds / 3600
    print(
        f"runs: {runs}, at once: {at_once}; {tokens / 1e6:.1f} M tokens each, "
        f"{tokens / epoch:.1f} epochs of {epoch / 1e6:.2f} M; {made.steps} steps of {seconds:.2f} "
        f"s, {made.tokens_per_step / seconds:.0f} tokens a second each: about {training:.1f} hours "
        f"of training, and {measuring:.1f} of measuring {measured} checkpoints of each",
        flush=True,
    )


def last_of(made: Recipe, folder: Path, epochs: list[int]) -> int | None:
    """The step that a run ended at; None where it is still to go on."""
    kept = checkpoints.whole(folder)
    risen = checkpoints.risen(folder, epochs)
    return risen if risen is not None else made.steps if made.steps in kept else None


def chosen(made: Recipe, folder: Path, last: int) -> list[int]:
    """The checkpoints that are measured: evenly spaced over log step, the last, and the best."""
    exam = {
        step: checkpoints.record(each)["perplexity"]
        for step, each in checkpoints.whole(folder).items() if step <= last
    }  # fmt: skip
    best = min(exam, key=lambda step: exam[step])
    return sorted({*log_spaced(made.steps), best, last} & set(exam))


def keep(made: Recipe, folder: Path, last: int, epoch: int) -> None:
    """Measure a run that has ended, and put its rows into the tables."""
    steps = chosen(made, folder, last)
    shape = tables.combine(
        [
            pretraining.measure(
                folder, tokens=TOKENS, batch=BATCH, seeds=(0,), metrics=("default", "gride"),
                window=window, sets=("all", "rest"), steps=steps,
            )
            for window in WINDOWS
        ]
    )  # fmt: skip
    massive = massive_in_training(folder, WINDOWS, tokens=TOKENS, steps=steps)
    course = pretraining.table(folder)
    course = course[course["step"] <= last]
    course.attrs["provenance"] = [
        {**run, "epoch_tokens": epoch} for run in course.attrs["provenance"]
    ]
    command = f"python results/longer.py {made.kind} --tokens {made.steps * made.tokens_per_step}"
    # No interval is asked of these tables; what each group of windows gives is most of the file.
    kept = {"shape": shape.drop(columns="by_group"), "training": course, "massive": massive}
    for name, table in kept.items():
        replace(FOLDER / f"{name}.parquet", made, table, command)
    exam = course.dropna(subset=["perplexity"]).set_index("step")["perplexity"]
    print(
        f"{made.name}: kept; {last * made.tokens_per_step / epoch:.1f} epochs, held-out perplexity "
        f"{exam[last]:.1f}, lowest {exam.min():.1f} at step {exam.idxmin()} of {made.steps}",
        flush=True,
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("kinds", nargs="*", help=f"which of {', '.join(KINDS)}; both without any")
    asked.add_argument("--tokens", type=float, help="tokens that each run reads")
    asked.add_argument("--minutes", type=float, help="stop training after that time")
    given = asked.parse_args()
    kinds = given.kinds or list(KINDS)
    if unknown := [each for each in kinds if each not in KINDS]:
        sys.exit(f"no such kind: {', '.join(unknown)}; known: {', '.join(KINDS)}")
    demand_clean_commit()
    at_once = min(len(kinds), torch.get_num_threads())
    epoch, seconds = timed(kinds[0], torch.get_num_threads() // at_once)
    recipes = [planned(kind, given.tokens, epoch) for kind in kinds]
    announce(recipes[0], len(kinds), at_once, epoch, seconds)
    rising = ends(recipes[0], recipes[0].steps, epoch)
    folders = pretraining.suites(recipes, minutes=given.minutes, rising=rising)
    for made, folder in zip(recipes, folders, strict=True):
        last = last_of(made, folder, rising)
        if last is None:
            print(f"{made.name}: stopped before its end; the same command goes on from there")
        else:
            keep(made, folder, last, epoch)


if __name__ == "__main__":
    main()
