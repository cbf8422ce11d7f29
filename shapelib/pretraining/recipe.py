"""What is trained: kinds of model, sizes, and the recipe that decides a training run."""

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from shapelib.errors import ShapelibError, is_whole_number, nearest


class Kind(NamedTuple):
    """What sets one kind of model apart; all else is equal."""

    mask: str
    """``causal``, ``full``, or ``prefix``: full within a prefix, causal after it."""
    objective: str
    """``next-token``, ``masked-token``, or ``suffix``: next-token loss after the prefix."""


KINDS = {
    "decoder": Kind("causal", "next-token"),
    "encoder": Kind("full", "masked-token"),
    "causal-masked": Kind("causal", "masked-token"),
    "prefix": Kind("prefix", "suffix"),
}
SCHEDULES = ("cosine", "constant")
BLOCKS = ("sequential", "parallel")
PRECISIONS = ("auto", "float32", "bfloat16")
CORPUS = "enwiki-sample"
PAD, MASK = SPECIAL_TOKENS = ("<pad>", "<mask>")
"""The first ids of every tokenizer."""
CONFIG = "recipe.json"
"""The file of a run's folder that holds its recipe."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run, and so the key of what is kept of it."""

    kind: str
    """``decoder``, ``encoder``, ``causal-masked`` or ``prefix``."""
    layers: int
    """Transformer blocks."""
    width: int
    """Features of a hidden state."""
    heads: int
    """Attention heads of a block; the width of each is even."""
    block: str
    """``sequential``: attention, then a feed-forward layer on its sum, rotary positions on whole
    heads; ``parallel``: both on the same input, rotary positions on a quarter, as in Pythia."""
    vocabulary: int
    """Tokens that the tokenizer learns, its special ones among them."""
    window: int
    """Tokens of one training window."""
    batch: int
    """Windows of one step."""
    steps: int
    """Optimizer steps."""
    learning_rate: float
    """The highest, reached at the end of the warm-up."""
    warmup: int
    """Steps of linear growth; 0 starts at the full rate."""
    schedule: str
    """``cosine``: from the warm-up's end down to a tenth; ``constant``."""
    seed: int
    """Of initial weights, windows and their order, masked positions and prefix lengths."""
    corpus: str
    """What `load_corpus` takes; every tenth article is held out."""
    checkpoints: tuple[int, ...]
    """Steps after which a checkpoint is kept; the last is `steps`."""
    precision: str = "auto"
    """Of the products: ``bfloat16`` by autocast, ``float32``, or ``auto``: the first on a GPU, the
    second on a CPU. Weights, gradients and optimizer are float32."""

    @property
    def name(self) -> str:
        """What tables call the model."""
        parallel = "-parallel" if self.block == "parallel" else ""
        return f"{self.kind}{parallel}-{self.width}-warmup{self.warmup}-seed{self.seed}"

    @property
    def mask(self) -> str:
        """``causal``, ``full`` or ``prefix``."""
        return KINDS[self.kind].mask

    @property
    def objective(self) -> str:
        """``next-token``, ``masked-token`` or ``suffix``."""
        return KINDS[self.kind].objective

    @property
    def tokens_per_step(self) -> int:
        """Tokens of all windows of one step."""
        return self.batch * self.window

    def rate(self, step: int) -> float:
        """The learning rate of update `step`, counted from 1."""
        if step <= self.warmup:
            return self.learning_rate * step / self.warmup
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2)

    def up_to(self, until: int | None) -> tuple[int, ...]:
        """The checkpoints up to that of step `until`, or all of them.

        Raises `ShapelibError` where none is kept at that step.
        """
        if until is not None and until not in self.checkpoints:
            raise ShapelibError(
                f"the recipe keeps no checkpoint at step {until!r}; a run can end at: "
                f"{', '.join(map(str, self.checkpoints))}"
            )
        return tuple(step for step in self.checkpoints if until is None or step <= until)

    def as_dict(self) -> dict[str, Any]:
        """The recipe as a plain, JSON-able dictionary."""
        return {**asdict(self), "checkpoints": list(self.checkpoints)}


# Heads of 24 dimensions at each width of nano, so that width is all that differs.
_NANO: dict[str, Any] = {
    "layers": 6, "width": 96, "heads": 4, "vocabulary": 1024, "window": 64, "batch": 32,
    "steps": 1280, "learning_rate": 2e-3, "warmup": 50,
}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "nano": _NANO,
    "nano-48": {**_NANO, "width": 48, "heads": 2},
    "nano-192": {**_NANO, "width": 192, "heads": 8},
    "small": {
        "layers": 8, "width": 256, "heads": 8, "vocabulary": 4096, "window": 256, "batch": 16,
        "steps": 11_000, "learning_rate": 1e-3, "warmup": 200, "corpus": f"{CORPUS}+news",
    },
    "base": {
        "layers": 12, "width": 512, "heads": 8, "vocabulary": 8192, "window": 256, "batch": 64,
        "steps": 10_000, "learning_rate": 1e-3, "warmup": 200,
    },
}  # fmt: skip


def recipe(kind: str = "decoder", size: str = "nano", **changes: Any) -> Recipe:
    """The recipe of a kind and size, with any of its fields changed.

    :param kind: what is masked and predicted; all else is equal:

        ``decoder``
            causal mask, next token;
        ``encoder``
            full mask, masked tokens (15 % of a window);
        ``causal-masked``
            causal mask, masked tokens: the encoder's objective under the decoder's mask;
        ``prefix``
            full mask within a random prefix and causal after it, next token after the prefix.
    :param size: which values the other fields start from:

        ``nano``
            6 layers, width 96, 4 heads, 1024 tokens in the vocabulary, 1280 steps of 32 windows of
            64 tokens, learning rate 0.002 after 50 steps of warm-up;
        ``nano-48``, ``nano-192``
            the same with 2 heads and 8, so that width is all that differs;
        ``small``
            8 layers, width 256, 8 heads, 4096 tokens in the vocabulary, 11 000 steps of 16 windows
            of 256 tokens of the Wikipedia sample and the news articles, learning rate 0.001 after
            200 steps of warm-up;
        ``base``
            12 layers, width 512, 8 heads, 8192 tokens in the vocabulary, 10 000 steps of 64 windows
            of 256 tokens, learning rate 0.001 after 200 steps of warm-up.
    :param changes: fields of `Recipe` with other values. Without ``checkpoints`` these are step 0,
        step 10 or a little later, and two for each doubling from there to the last.
    :returns: the recipe, to be trained by `pretraining.train`.
    :raises ShapelibError: for an unknown kind, size, schedule or field, and for values that no
        model can be trained with.

    >>> from shapelib import recipe
    >>> small = recipe("encoder", layers=2, steps=80)
    >>> small.objective, small.width, small.checkpoints
    ('masked-token', 96, (0, 10, 14, 20, 28, 40, 57, 80))
    """
    if size not in SIZES:
        raise ShapelibError(f"no such size: {size!r}; {nearest(size, list(SIZES))}")
    known = [each.name for each in fields(Recipe)]
    for name in changes:
        if name not in known:
            raise ShapelibError(f"a recipe has no {name!r}; {nearest(name, known)}")
    values: dict[str, Any] = {
        "kind": kind, "block": "sequential", "schedule": "cosine", "seed": 0, "corpus": CORPUS,
        "checkpoints": (),
        **SIZES[size], **changes,
    }  # fmt: skip
    made = Recipe(**{**values, "checkpoints": tuple(values["checkpoints"])})
    _check(made)
    if not made.checkpoints:
        made = replace(made, checkpoints=log_spaced(made.steps))
    _check_checkpoints(made)
    return made


def recipe_of(output: str | Path) -> Recipe:
    """The recipe of a run's folder. Raises `ShapelibError` where there is none."""
    config = Path(output) / CONFIG
    try:
        read = json.loads(config.read_text("utf-8"))
        del read["corpus_sha256"]
        return Recipe(**{**read, "checkpoints": tuple(read["checkpoints"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShapelibError(
            f"{str(output)!r} is not the folder of a run: its {CONFIG} cannot be read ({error})"
        ) from error


def log_spaced(steps: int, first: int = 10, per_doubling: int = 2) -> tuple[int, ...]:
    """0, `first`, and `per_doubling` steps a doubling from there to `steps`, counted from its end.

    >>> log_spaced(80)
    (0, 10, 14, 20, 28, 40, 57, 80)
    """
    count = max(0, math.floor(per_doubling * math.log2(steps / first) + 1e-9)) if steps else 0
    found = {round(steps * 2 ** (-back / per_doubling)) for back in range(count + 1)}
    return (0, *sorted(found - {0}))


def masked_positions(window: int) -> int:
    """How many positions of a window are masked: 15 %, at least one."""
    return max(1, round(0.15 * window))


def differences(there: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Where two recipes differ, a phrase each."""
    names = dict.fromkeys([*there, *asked])
    return [
        f"{name} is {there.get(name)!r} there and {asked.get(name)!r} here"
        for name in names
        if there.get(name) != asked.get(name)
    ]


def _check(made: Recipe) -> None:
    known_of = {"kind": KINDS, "schedule": SCHEDULES, "block": BLOCKS, "precision": PRECISIONS}
    for name, known in known_of.items():
        value = getattr(made, name)
        if value not in known:
            raise ShapelibError(f"no such {name}: {value!r}; {nearest(str(value), list(known))}")
    least = {
        "layers": 1, "width": 2, "heads": 1, "vocabulary": 260, "window": 4, "batch": 1,
        "steps": 1, "warmup": 0, "seed": 0,
    }  # fmt: skip
    for name, lowest in least.items():
        value = getattr(made, name)
        if not is_whole_number(value, lowest):
            raise ShapelibError(
                f"{name} is {value!r}; a whole number of at least {lowest} is accepted"
            )
    if not (isinstance(made.learning_rate, float | int) and made.learning_rate > 0):
        raise ShapelibError(f"learning_rate is {made.learning_rate!r}; a number above 0 is needed")
    # Rotary positions come in pairs of dimensions; parallel blocks have them on a quarter.
    unit = 8 if made.block == "parallel" else 2
    accepted = [each for each in range(1, made.width + 1) if made.width % (unit * each) == 0]
    if made.heads not in accepted:
        raise ShapelibError(
            f"{made.heads} heads do not divide a width of {made.width} into heads of a multiple of "
            f"{unit} dimensions; heads that do: {', '.join(map(str, accepted)) or 'none'}"
        )
    if made.warmup > made.steps:
        raise ShapelibError(f"warmup is {made.warmup}, longer than the {made.steps} steps")


def _check_checkpoints(made: Recipe) -> None:
    asked = made.checkpoints
    if list(asked) != sorted(set(asked)) or asked[0] < 0 or asked[-1] != made.steps:
        raise ShapelibError(
            f"checkpoints are {list(asked)}; rising steps from 0 on that end at {made.steps} "
            "(the last step) are accepted"
        )
