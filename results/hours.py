"""What a run of fine-tuning takes on this machine, from one step of it."""

import gc
import time
from typing import NamedTuple

import torch
from torch import nn

from shapelib.finetuning import encoding, one_run
from shapelib.finetuning.settings import Setting
from shapelib.finetuning.tasks import load_task
from shapelib.models import resident, suites

_TEST_BATCH = 128
_SAMPLE = 1024


class Run(NamedTuple):
    """Seconds of processor time, of all threads together."""

    step: float
    """Forward, backward and the optimizer, on a batch as wide as batches are on average."""
    rest: float
    """Making the network ready, and scoring all texts that a run is scored on."""

    def seconds(self, steps: int) -> float:
        return self.rest + steps * self.step


@one_run.denormals_flushed()
def of_a_run(
    model: suites.Names, task: str, setting: Setting, checkpoints: suites.Steps = "all"
) -> Run:
    """Begin a run, take its second step, and score the texts of one batch of the test set."""
    source = suites.models_and_suites(model, checkpoints)[0]
    known = resident.loaded(source, "cpu", "float32")
    read = encoding.encode(load_task(task), known, setting.length)
    rows = list(encoding.order(read.train, setting.batch, setting.steps, setting.seed))
    widths = torch.tensor([int(read.train.sizes[each].max()) for each in rows]).float()
    typical = rows[int((widths - widths.mean()).abs().argmin())]
    begun = time.process_time()
    net = one_run.classifier(
        known, read.classes, setting.init, setting.seed, setting.pooling, setting.dtype
    )
    one_run.reached(net, read.train, typical)
    if setting.d is not None:
        one_run.confine(net, setting)
    ready = time.process_time() - begun
    step = _second_step(net, read.train, typical, setting.rate)
    batches = encoding.by_length(read.test, _TEST_BATCH)
    middle = batches[len(batches) // 2]
    begun = time.process_time()
    one_run.judged(net, _some(read.test, middle))
    tokens = sum(_padded(each) for each in (read.test, read.train.sample(_SAMPLE)))
    share = tokens / _padded(_some(read.test, middle))
    judging = share * (time.process_time() - begun)
    del net
    # It and its subspace hold each other.
    gc.collect()
    # A call of `dimension_sweep` begins one run more, to see whether it can be.
    return Run(step, 2 * ready + judging)


def _second_step(
    net: one_run.Classifier, side: encoding.Side, rows: torch.Tensor, rate: float
) -> float:
    """The first one also makes what all others use again."""
    trained = [each for each in net.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0, fused=True)
    begun = 0.0
    for _ in range(2):
        begun = time.process_time()
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(side.batch(rows)), side.labels[rows]).backward()
        optimizer.step()
    return time.process_time() - begun


def _some(side: encoding.Side, rows: torch.Tensor) -> encoding.Side:
    kinds = None if side.kinds is None else side.kinds[rows]
    return encoding.Side(side.ids[rows], kinds, side.sizes[rows], side.labels[rows])


def _padded(side: encoding.Side) -> int:
    """Tokens that scoring a side reads, padding among them."""
    batches = encoding.by_length(side, _TEST_BATCH)
    return sum(len(rows) * int(side.sizes[rows].max()) for rows in batches)
