"""One fine-tuning run of a classifier: all parameters, or d numbers of a random subspace."""

import contextlib
import copy
import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from shapelib.finetuning import encoding
from shapelib.finetuning.settings import Dtype, Init, Pooling, Setting
from shapelib.models import loading, masks
from shapelib.subspace.reparameterize import Subspace, reparameterize

_WARM_UP = 0.1
_HEAD_STD = 0.02
_TEST_BATCH = 128
_SAMPLE = 1024


class Score(NamedTuple):
    """What became of a run."""

    score: float
    """Accuracy on the test set; NaN of a run that diverged."""
    train_score: float
    """Accuracy on `_SAMPLE` training texts at most, the same ones for every run of a task."""
    loss: float
    """Mean training loss over the last tenth of the steps that were made."""
    diverged: bool
    """Whether a loss was NaN or infinite."""
    stopped: int | None
    """The step at which a hopeless run was given up."""
    learning_rate: float
    """The highest, its factor √(D / d) included."""
    D: int
    """The numbers that full fine-tuning trains, the head's among them."""
    groups: int
    """Those with a scale of their own: 0 but for SAID."""
    right: str
    """Which test texts were classified rightly: bits of `numpy.packbits` in hexadecimal."""
    seconds: float


class Classifier(nn.Module):
    """A base network, one vector of a text's last states, and a linear head.

    Their mean works for encoders and decoders alike, and needs no special token; the last token's
    is what a decoder has read the whole text for. The network's products are in `dtype`, by
    autocast; its weights, the vector and the head are float32.
    """

    def __init__(
        self, network: Any, classes: int, seed: int, leaks: bool = False,
        pooling: Pooling = "mean", dtype: Dtype = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.leaks, self.pooling = network, leaks, pooling
        self._narrow = dtype == "bfloat16"
        self.head = nn.Linear(network.config.get_text_config().hidden_size, classes)
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.head.weight.copy_(torch.randn(self.head.weight.shape, generator=draw) * _HEAD_STD)
            self.head.bias.zero_()

    def forward(self, given: dict[str, Tensor]) -> Float[Tensor, "batch classes"]:
        return self.head(self._apart(given) if self.leaks else self._pooled(given))  # type: ignore[no-any-return]

    def _pooled(self, given: dict[str, Tensor]) -> Float[Tensor, "batch width"]:
        padding = given["attention_mask"]
        mask = masks.attention_mask(self.network, padding)
        with torch.autocast(padding.device.type, torch.bfloat16, enabled=self._narrow):
            states = self.network(**{**given, "attention_mask": mask}).last_hidden_state.float()
        # Texts are padded on the right.
        if self.pooling == "last":
            return states[torch.arange(len(states)), padding.sum(dim=1) - 1]  # type: ignore[no-any-return]
        weights = padding[..., None].float()
        return (states * weights).sum(dim=1) / weights.sum(dim=1)  # type: ignore[no-any-return]

    def _apart(self, given: dict[str, Tensor]) -> Float[Tensor, "batch width"]:
        """Where padding changes a text's states: texts of one length at a time."""
        sizes = given["attention_mask"].sum(dim=1)
        order, pooled = [], []
        for size in sizes.unique().tolist():
            rows = (sizes == size).nonzero()[:, 0]
            order.append(rows)
            pooled.append(self._pooled({name: each[rows, :size] for name, each in given.items()}))
        return torch.cat(pooled)[torch.cat(order).argsort()]


def classifier(
    model: loading.Model, classes: int, init: Init, seed: int, pooling: Pooling = "mean",
    dtype: Dtype = "float32",
) -> Classifier:  # fmt: skip
    """A classifier on a copy of a model's network, or on a new one of its config; in eval mode, so
    that nothing is dropped out."""
    network = model.network
    if init == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = type(network)(copy.deepcopy(network.config))
    else:
        network = copy.deepcopy(network)
    network.config.use_cache = False
    made = Classifier(network.float(), classes, seed, model.leaks, pooling, dtype)
    return made.to(model.device).eval()


def tune(model: loading.Model, task: encoding.Encoded, setting: Setting) -> Score:
    """Fine-tune a classifier as `setting` says, and measure it on the test set.

    AdamW without weight decay, a linear warm-up over a tenth of the steps and a linear decay to
    zero, no dropout. A random head is part of what is trained, so that exactly d numbers are.
    Parameters that do not reach the head (a pooler's) are left out of D. A run is hopeless, and
    stopped at half of its steps, where its mean loss over the last tenth of them is not below that
    of predicting the class shares: its score is that of the moment. One whose loss is not finite
    has diverged and has no score.
    """
    started = time.perf_counter()
    with denormals_flushed():
        return _tuned(model, task, setting, started)


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Numbers too small to matter cost a CPU many times what others do."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _tuned(model: loading.Model, task: encoding.Encoded, setting: Setting, started: float) -> Score:
    net = classifier(
        model, task.classes, setting.init, setting.seed, setting.pooling, setting.dtype
    )
    first = next(encoding.order(task.train, setting.batch, setting.steps, setting.seed))
    size = reached(net, task.train, first)
    rate, scales = setting.rate, None
    if setting.d is None:
        trained = [each for each in net.parameters() if each.requires_grad]
        groups = [{"params": trained, "top": rate}]
    else:
        rate *= math.sqrt(size / setting.d)
        inside = confine(net, setting)
        scales = inside.scales
        groups = [{"params": [inside.z], "top": rate}]
        if scales is not None:
            # A scale multiplies what z has moved: the factor of z's rate is not for it.
            groups.append({"params": [scales], "top": setting.rate})
    found = fit(net, task, setting, groups)
    return found._replace(
        D=size, groups=0 if scales is None else len(scales), seconds=time.perf_counter() - started
    )


def fit(
    net: Classifier, task: encoding.Encoded, setting: Setting, groups: list[dict[str, Any]]
) -> Score:
    """Train what `groups` hold, and measure the classifier, as `tune` says.

    Of each group the `params`, and `top`, the highest learning rate. Of `setting` the steps, batch
    and seed count. D is the numbers that are trained.
    """
    started = time.perf_counter()
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
    losses: list[float] = []
    stopped = None
    tenth = max(1, setting.steps // 10)
    rows = encoding.order(task.train, setting.batch, setting.steps, setting.seed)
    for step, some in enumerate(rows, start=1):
        for group in optimizer.param_groups:
            group["lr"] = group["top"] * _schedule(step, setting.steps)
        optimizer.zero_grad()
        loss = _loss(net, task.train, some)
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            break
        loss.backward()
        optimizer.step()
        if step == setting.steps // 2 and np.mean(losses[-tenth:]) >= task.chance:
            stopped = step
            break
    diverged = not math.isfinite(losses[-1])
    right = None if diverged else judged(net, task.test)
    seen = None if diverged else judged(net, task.train.sample(_SAMPLE))
    return Score(
        score=math.nan if right is None else float(right.mean()),
        train_score=math.nan if seen is None else float(seen.mean()),
        loss=sum(losses[-tenth:]) / len(losses[-tenth:]),
        diverged=diverged,
        stopped=stopped,
        learning_rate=groups[0]["top"],
        D=sum(each.numel() for group in groups for each in group["params"]),
        groups=0,
        right="" if right is None else np.packbits(right).tobytes().hex(),
        seconds=time.perf_counter() - started,
    )


@torch.inference_mode()
def judged(net: Classifier, side: encoding.Side) -> Bool[np.ndarray, " rows"]:
    """Whether the class of each text is found."""
    right = np.zeros(len(side.labels), dtype=bool)
    for rows in encoding.by_length(side, _TEST_BATCH):
        found = net(_to(net, side.batch(rows))).argmax(dim=1)
        right[rows.numpy()] = (found.cpu() == side.labels[rows]).numpy()
    return right


def confine(net: Classifier, setting: Setting) -> Subspace:
    """Let only d numbers train."""
    assert setting.d is not None
    groups = "layers" if setting.method == "SAID" else None
    return reparameterize(net, setting.d, groups=groups, seed=setting.seed, block=setting.block)


def _loss(net: Classifier, side: encoding.Side, rows: Tensor) -> Tensor:
    labels = side.labels[rows].to(net.head.weight.device)
    return nn.functional.cross_entropy(net(_to(net, side.batch(rows))), labels)


def _to(net: Classifier, given: dict[str, Tensor]) -> dict[str, Tensor]:
    device = net.head.weight.device
    return {name: each.to(device) for name, each in given.items()}


def reached(net: Classifier, side: encoding.Side, rows: Tensor) -> int:
    """Freeze what the loss does not reach, and count the rest."""
    for each in net.parameters():
        each.requires_grad_(each.is_floating_point())
    _loss(net, side, rows).backward()
    for each in net.parameters():
        each.requires_grad_(each.grad is not None)
    net.zero_grad()
    return sum(each.numel() for each in net.parameters() if each.requires_grad)


def _schedule(step: int, steps: int) -> float:
    """The share of the highest learning rate at a step from 1 on."""
    warm = max(1, round(_WARM_UP * steps))
    return min(step / warm, (steps - step + 1) / max(1, steps - warm + 1))
