"""Fine-tuning in a subspace beside plain fine-tuning, and P z beside the transform as written.

Three yardsticks. A step: forward, backward and AdamW of MiniLM with a classifier, all parameters
training. A projection: copying the flat buffer of its parameters into memory that is there. The
literal transform: the same product with blocks of 1024. The contestants take turns, and each time
is divided by the yardstick's of the same turn. All is one thread, and times are the processor's, so
that what other processes take counts for nobody.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import record
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from shapelib import fastfood, load, reparameterize
from shapelib.subspace.trainable import trainable_size

SIZE, DIMENSION = 22_713_216, 1000
BATCH, LENGTH = 32, 64
TURNS, SLOW_TURNS = 7, 3
BLOCKS = {"blocks of 1024": 1024, "blocks of 65 536": 65_536, "a random partition": 1}
# At most so many steps, copies, bytes a parameter and seconds; at least so many times as fast.
STEP, LARGE_STEP, COPIES, BYTES, BUILD, FASTER = 1.3, 1.15, 6, 8, 5, 5
DID = "DID, blocks of 1024"
BOTH = "P z and Pᵀ g of it"


class Literal:
    """The papers' transform as it is written: padded to a power of two, two full transforms."""

    def __init__(self, size: int, dimension: int, transform: Callable[[Tensor], Tensor]) -> None:
        self.size, self.dimension, self.transform = size, dimension, transform
        self.length = 1 << (size - 1).bit_length()
        draw = torch.Generator().manual_seed(0)
        self.signs = 2.0 * torch.randint(0, 2, (self.length,), generator=draw) - 1
        self.order = torch.randperm(self.length, generator=draw)
        self.gains = torch.randn(self.length, generator=draw)
        self.scale = float((size * self.gains.square().sum(dtype=torch.float64)) ** -0.5)

    def matvec(self, z: Tensor) -> Tensor:
        padded = torch.zeros(self.length)
        padded[: self.dimension] = z
        mixed = self.transform(padded.mul_(self.signs))[self.order]
        return self.transform(mixed.mul_(self.gains))[: self.size].mul_(self.scale)

    def rmatvec(self, g: Tensor) -> Tensor:
        padded = torch.zeros(self.length)
        padded[: self.size] = g
        mixed = torch.empty(self.length)
        mixed[self.order] = self.transform(padded).mul_(self.gains)
        return self.transform(mixed).mul_(self.signs)[: self.dimension].mul_(self.scale)


def in_stages(x: Tensor) -> Tensor:
    """The Walsh–Hadamard transform by one pass over all of `x` for each of its stages."""
    width = 1
    while width < len(x):
        a, b = x.view(-1, 2, width).unbind(1)
        x = torch.stack((a + b, a - b), dim=1).view(-1)
        width *= 2
    return x


def compiled(x: Tensor) -> Tensor:
    """The same by the loop that `fastfood` uses."""
    from shapelib.subspace import hadamard

    hadamard.transform(x.numpy())
    return x


class Classifier(nn.Module):
    """An encoder, and two classes from its first vector."""

    def __init__(self, network: nn.Module, width: int) -> None:
        super().__init__()
        self.network, self.head = network, nn.Linear(width, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.network(ids).last_hidden_state[:, 0])


def minilm() -> Classifier:
    torch.manual_seed(0)
    found = load("minilm-l6", device="cpu")
    return Classifier(found.network, found.width)


def base() -> Classifier:
    """BERT's base architecture, 110 M parameters, with random weights: a step takes as long."""
    torch.manual_seed(0)
    configuration = BertConfig()
    return Classifier(BertModel(configuration), configuration.hidden_size)


def step(
    prepare: Callable[[nn.Module], object], make: Callable[[], Classifier] = minilm
) -> Callable[[], None]:
    model = make()
    prepare(model)
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.0, fused=True)
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(1000, 30_000, (BATCH, LENGTH), generator=draw)
    labels = torch.randint(0, 2, (BATCH,), generator=draw)

    def work() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(ids), labels).backward()
        optimizer.step()

    return work


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(
    yardstick: Callable[[], object], works: dict[str, Callable[[], object]], turns: int
) -> dict[str, list[float]]:
    """Each work's time in every turn, divided by the yardstick's beside it."""
    ratios: dict[str, list[float]] = {name: [] for name in works}
    for work in (yardstick, *works.values()):
        work()
    for turn in range(turns):
        # The order changes with the turn, so that nobody is always just after the same one.
        for name in list(works)[:: 1 if turn % 2 else -1]:
            yard = seconds(yardstick)
            ratios[name].append(seconds(works[name]) / yard)
    return ratios


def rows(
    ratios: dict[str, list[float]], limits: dict[str, float], **about: Any
) -> list[dict[str, Any]]:
    return [
        record.row(name, each, **({"limit": limits[name], **about} if name in limits else {}))
        for name, each in ratios.items()
    ]


def projections() -> list[dict[str, Any]]:
    draw = torch.Generator().manual_seed(0)
    g, z = torch.randn(SIZE, generator=draw), torch.randn(DIMENSION, generator=draw)
    out = torch.empty(SIZE)
    works: dict[str, Callable[[], object]] = {}
    built = []
    for name, block in BLOCKS.items():
        start = time.process_time()
        p = fastfood(SIZE, DIMENSION, block=block)
        taken, share = time.process_time() - start, p.nbytes / SIZE
        built.append(f"{name}, {share:.1f} bytes a parameter")
        print(f"{built[-1]} (limit {BYTES}), in {taken:.1f} s (limit {BUILD})", flush=True)
        works[f"P z, {name}"] = functools.partial(p.matvec, z, out=out)
        works[f"Pᵀ g, {name}"] = functools.partial(p.rmatvec, g)
    limits: dict[str, float] = {f"{each}, a random partition": COPIES for each in ("P z", "Pᵀ g")}
    ours = rows(measure(lambda: out.copy_(g), works, TURNS), limits)
    literal = []
    for name, transform in (("a pass a stage", in_stages), ("compiled", compiled)):
        whole = Literal(SIZE, DIMENSION, transform)
        products: dict[str, Callable[[], object]] = {
            "P z": functools.partial(whole.matvec, z),
            "Pᵀ g": functools.partial(whole.rmatvec, g),
        }
        for each, work in products.items():
            blocks = works[f"{each}, blocks of 1024"]
            found = measure(blocks, {f"{each}, {name}": work}, SLOW_TURNS)
            literal += rows(found, {f"{each}, {name}": FASTER}, at_least=True)
    return [
        record.section(
            "Random projections",
            f"copying D = {SIZE:,} numbers into memory that is there; d = {DIMENSION}, one thread, "
            "same turn",
            ours, f"What P takes: {'; '.join(built)}.",
        ),
        record.section(
            "The literal transform",
            "the same product with blocks of 1024, one thread, same turn",
            literal, "Padded to 2²⁵ and transformed twice: by one pass of torch over all numbers "
            "for each of the 25 stages, or by the compiled transform that the blocks use.",
        ),
    ]  # fmt: skip


def steps() -> list[dict[str, Any]]:
    works = {
        DID: step(lambda model: reparameterize(model, DIMENSION)),
        "DID, a random partition": step(
            lambda model: reparameterize(model, fastfood(trainable_size(model), DIMENSION, block=1))
        ),
        "SAID, blocks of 1024": step(
            lambda model: reparameterize(model, DIMENSION, groups="layers")
        ),
    }
    of = f"{BATCH} windows of {LENGTH} tokens, d = {DIMENSION}, one thread, same turn"
    plain = "a step of plain fine-tuning with fused AdamW:"
    found = measure(step(lambda model: None), works, TURNS)
    small = record.section(
        "A step of fine-tuning in a subspace", f"{plain} MiniLM with a classifier, {of}",
        rows(found, {DID: STEP}),
    )  # fmt: skip
    works.clear()
    larger: dict[str, Callable[[], object]] = {
        DID: step(lambda model: reparameterize(model, DIMENSION), base),
        BOTH: both_products(trainable_size(base())),
    }
    found = measure(step(lambda model: None, base), larger, SLOW_TURNS)
    ours = rows(found, {DID: LARGE_STEP})
    products = next(each["median"] for each in ours if each["name"] == BOTH)
    ours[0]["bound"] = f"P z and Pᵀ g alone are {products:g}, without AdamW's pass over all weights"
    return [small, record.section(
        "The same for an encoder of 110 M parameters",
        f"{plain} BERT's base architecture with a classifier, {of}", ours,
    )]  # fmt: skip


def both_products(size: int) -> Callable[[], object]:
    """P z and Pᵀ g, in blocks of 1024, for so many parameters."""
    p, draw = fastfood(size, DIMENSION), torch.Generator().manual_seed(0)
    g, z, out = torch.randn(size, generator=draw), torch.randn(DIMENSION), torch.empty(size)
    return lambda: (p.matvec(z, out=out), p.rmatvec(g))


def main() -> None:
    torch.set_num_threads(1)
    record.write("subspace", [*steps(), *projections()])


if __name__ == "__main__":
    main()
