"""What fine-tuning can be asked for, with its defaults, checked: one run, and the grid of them.

Nothing heavy is imported here: a command line starts with it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from shapelib.errors import ShapelibError, is_number, is_whole_number, nearest

Init = Literal["pre-trained", "random"]
Method = Literal["full", "DID", "SAID"]
Pooling = Literal["mean", "last"]
Dtype = Literal["float32", "bfloat16"]
INITS, METHODS = get_args(Init), get_args(Method)
POOLINGS, DTYPES = get_args(Pooling), get_args(Dtype)
SCORED, OTHER = RATES = ("scored texts", "other texts")
"""On which texts a learning rate is chosen: on those that are scored, or on others."""
LEVEL = 0.9
"""The share of full fine-tuning that d90 is to reach."""


@dataclass(frozen=True)
class Tuning:
    """The runs of `dimension_sweep` for each model and task.

    Raises `ShapelibError` for what no run can be.
    """

    dimensions: Sequence[int] = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000)
    """Counts of trained numbers."""
    methods: Sequence[str] = ("DID", "SAID")
    inits: Sequence[str] = INITS
    learning_rates: Sequence[float] = (0.003, 0.01, 0.03)
    """Of subspaces; each is multiplied by √(D / d)."""
    full_rates: Sequence[float] = (0.0003, 0.001, 0.003)
    """Of full fine-tuning."""
    seeds: Sequence[int] = (0, 1, 2)
    """Of the projection, the head, random weights, and the order of the training texts."""
    steps: int = 150
    batch: int = 32
    """Texts of a step."""
    length: int = 64
    """Tokens of a text at most; what is longer is cut."""
    block: int | None = None
    """Of the projection; see `fastfood`."""
    pooling: str = "mean"
    """What of a text's last states is classified: ``mean``, or that of its ``last`` token."""
    dtype: str = "float32"
    """Of the network's products, forward and backward; all else is float32."""

    def __post_init__(self) -> None:
        choices: dict[str, tuple[Sequence[str], tuple[str, ...]]] = {
            "methods": (self.methods, METHODS[1:]), "inits": (self.inits, INITS),
            "pooling": ([self.pooling], POOLINGS), "dtype": ([self.dtype], DTYPES),
        }  # fmt: skip
        for name, (chosen, known) in choices.items():
            for each in chosen:
                if each not in known:
                    near = nearest(str(each), list(known))
                    raise ShapelibError(f"{name}: {each!r} is none; {near}")
        whole = {"dimensions": (self.dimensions, 1), "seeds": (self.seeds, 0)}
        whole |= {"steps": ([self.steps], 2), "batch": ([self.batch], 1)}
        for name, (numbers, least) in whole.items():
            for number in numbers:
                if not is_whole_number(number, least):
                    raise ShapelibError(
                        f"{name}: {number!r}; whole numbers of at least {least} are accepted"
                    )
        for name in ("learning_rates", "full_rates"):
            for rate in getattr(self, name):
                if not is_number(rate) or not 0 < rate < math.inf:
                    raise ShapelibError(f"{name}: {rate!r}; positive numbers are accepted")

    def runs(self) -> list["Setting"]:
        """In the order of a table: initialisations, full before subspaces, dimensions, rates,
        seeds."""
        tried: list[tuple[str, int | None, float]] = [
            ("full", None, rate) for rate in self.full_rates
        ]
        tried += [
            (method, d, rate)
            for method in self.methods
            for d in sorted(set(self.dimensions))
            for rate in self.learning_rates
        ]
        return [
            Setting(
                cast(Init, init), cast(Method, method), d, float(rate), seed, self.steps,
                self.batch, self.length, self.block, cast(Pooling, self.pooling),
                cast(Dtype, self.dtype),
            )
            for init in self.inits
            for method, d, rate in tried
            for seed in self.seeds
        ]  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Everything besides model and task that a run's score depends on."""

    init: Init
    method: Method
    d: int | None
    """Trained numbers; None for full fine-tuning."""
    rate: float
    """The highest learning rate; that of z is multiplied by √(D / d)."""
    seed: int = 0
    """Of the projection, the random weights, and the order of the training rows."""
    steps: int = Tuning.steps
    batch: int = Tuning.batch
    length: int = Tuning.length
    """Tokens of a text at most; what is longer is cut."""
    block: int | None = Tuning.block
    """Of the projection; see `fastfood`."""
    pooling: Pooling = "mean"
    """What of a text's last states is classified."""
    dtype: Dtype = "float32"
    """Of the network's products; all else is float32."""
