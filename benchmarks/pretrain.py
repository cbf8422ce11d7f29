"""What training costs beside a bare torch loop, and what measuring costs beside training.

The bare loop makes the same updates of the same network on the same windows, all of them made
beforehand: forward, backward, clipping and AdamW, nothing else. Contestants take turns of a few
steps, and each turn's time is divided by the bare loop's beside it, so that a machine that slows
down slows both. Times of measuring are given in training steps for the same reason.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import record
import torch
from transformers import TrainerState

from shapelib import ShapeCallback
from shapelib.models import loading
from shapelib.pretraining.recipe import recipe
from shapelib.pretraining.training import Training, build
from shapelib.states.callback import watched
from shapelib.states.pool import pool
from shapelib.states.settings import Measuring
from shapelib.text import corpus
from shapelib.text import held_out as training_text

TURNS, STEPS = 6, 5
THREADS = 1
BARE, DECODER, MEASURED = "bare torch loop", "decoder", "a callback's measurement"
IN_STEPS = f"{MEASURED}, in steps of the decoder"
READ = "of it, reading and pooling alone"
LIMITS = {DECODER: 1.3, IN_STEPS: 6.0}
Works = dict[str, Callable[[], object]]


class Bare:
    """A loop that anyone would write, for next-token loss."""

    def __init__(self, made: Any, windows: torch.Tensor) -> None:
        self.model = build(made).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        self.windows, self.batch, self.at = windows, made.batch, 0

    def step(self) -> None:
        ids = self.windows[self.at : self.at + self.batch]
        self.at += self.batch
        self.optimizer.zero_grad()
        logits = self.model(input_ids=ids, use_cache=False).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()


def seconds(work: Any, times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def main() -> None:
    torch.set_num_threads(THREADS)
    text = corpus.load_corpus()
    made = recipe("decoder", "nano")
    with tempfile.TemporaryDirectory() as folder:
        taken = timed(*contestants(made, text, Path(folder)))
    ratios = {
        name: [each / yard for each, yard in zip(times, taken[BARE], strict=True)]
        for name, times in taken.items()
    }
    ratios[IN_STEPS] = [
        each / step for each, step in zip(taken[MEASURED], taken[DECODER], strict=True)
    ]
    share = len(made.checkpoints) * statistics.median(ratios[IN_STEPS]) / made.steps
    rows = [
        record.row(name, each, limit=LIMITS.get(name))
        for name, each in ratios.items() if name != BARE
    ]  # fmt: skip
    rows[-1]["bound"] = f"reading and pooling alone are {statistics.median(ratios[READ]):.3g}"
    yardstick = "one step of a bare torch loop over the same model, one thread, same turn"
    note = (
        f"All {len(made.checkpoints)} checkpoints of a run are measured in {share:.0%} of the time "
        "that training takes."
    )
    record.write("pretrain", [record.section("Training", yardstick, rows, note)])


def contestants(made: Any, text: corpus.Corpus, folder: Path) -> tuple[Works, Works]:
    """What makes a training step, and what is done between steps, by name."""
    ours = Training(made, text, torch.device("cpu"))
    encoder = Training(recipe("encoder", "nano"), text, torch.device("cpu"))
    bare = Bare(made, torch.from_numpy(ours.stream.take(0, 10_000)).long())
    held_out = training_text.held_out(text)
    callback = ShapeCallback(
        held_out, folder / "shape.parquet", every=1, window=64, unit="tokens",
        tokenizer=ours.tokenizer,
    )  # fmt: skip
    state = TrainerState(global_step=1)

    def read() -> None:
        with watched(ours.model) as network:
            live = loading.live(network, ours.tokenizer)
            cut = corpus.windows(held_out, 64, unit="tokens", tokenizer=ours.tokenizer)
            pool(live, cut, Measuring.batch, progress=False).close()

    def measure() -> None:
        callback.on_step_end(None, state, None, model=ours.model)

    def keep() -> None:
        ours.perplexity()
        ours.save(folder, "step", {"step": ours.step})

    steps = {BARE: bare.step, DECODER: ours.advance, "encoder": encoder.advance}
    return steps, {MEASURED: measure, READ: read, "a checkpoint kept": keep}


def timed(steps: Works, between: Works) -> dict[str, list[float]]:
    """Seconds of each, turn by turn, once all are warm."""
    for step in steps.values():
        seconds(step, 2)
    for work in between.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in (*steps, *between)}
    for turn in range(TURNS):
        # The order changes with the turn, so that nobody is always just after the same one.
        for name in list(steps)[:: 1 if turn % 2 else -1]:
            taken[name].append(seconds(steps[name], STEPS))
        for name, work in between.items():
            taken[name].append(seconds(work, 1))
    return taken


if __name__ == "__main__":
    main()
