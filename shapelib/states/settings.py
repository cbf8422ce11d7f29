"""What a measurement can be asked for, with its defaults, checked: the same from Python, the
command line and a sweep.

Nothing heavy is imported here: a command line starts with it.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shapelib.errors import ShapelibError, is_whole_number, nearest
from shapelib.states.choices import chosen

Unit = Literal["characters", "tokens"]
TOKEN_SETS = {
    "all": "every vector, special tokens too, padding excluded",
    "content": "no special tokens",
    "rest": "no massive vectors (which they are differs from layer to layer)",
    "later": "no vector at the first position of a window",
}
MEMORY = 4.0
"""GiB above the loaded model that hidden states and the work on them may take."""
_LEAST_BATCH = 4


@dataclass(frozen=True)
class Measuring:
    """All that the numbers of a measurement depend on, besides the model, the text and the code.

    Raises `ShapelibError` for what cannot be measured, as `profile` says.
    """

    tokens: int = 8192
    """How many vectors of each token set are measured."""
    window: int = 512
    """Length of a window of text; `shapelib.windows` checks it."""
    unit: Unit = "characters"
    """What that length counts."""
    batch: int = 4096
    """How many vectors a batch has."""
    sets: Sequence[str] = ("all", "content")
    """Token sets, of `TOKEN_SETS`."""
    seed: int = 0
    """Of the windows and the shuffling."""
    metrics: Sequence[str] = ("default",)
    """By the names of `choices`; once made, each by its own, in their order."""
    beginning: bool | None = None
    """Whether a beginning-of-sequence token stands first; None: as the tokenizer does."""
    least_windows: int = 1
    """At least so many windows are read."""

    def __post_init__(self) -> None:
        if self.beginning not in (None, True, False):
            raise ShapelibError(
                f"beginning is {self.beginning!r}; None, True and False are accepted"
            )
        for name in ("tokens", "batch", "least_windows"):
            if not is_whole_number(value := getattr(self, name)):
                raise ShapelibError(f"{name} must be a whole number, got {value!r}")
        if self.batch < _LEAST_BATCH:
            raise ShapelibError(f"batch must be at least {_LEAST_BATCH} vectors, got {self.batch}")
        if self.tokens < self.batch:
            raise ShapelibError(
                f"one batch needs {self.batch} tokens, got tokens={self.tokens}: ask for more, or "
                "for a smaller batch"
            )
        object.__setattr__(self, "sets", _checked_sets(self.sets))
        object.__setattr__(self, "metrics", chosen(self.metrics, self.batch))

    def as_dict(self) -> dict[str, Any]:
        """The same by name: what a key is made of, and what provenance keeps."""
        return dataclasses.asdict(self)


def _checked_sets(sets: Sequence[str]) -> tuple[str, ...]:
    if isinstance(sets, str) or not sets or len(set(sets)) < len(sets):
        raise ShapelibError(
            f"sets must be different token sets, such as {Measuring.sets}; got {sets!r}"
        )
    for each in sets:
        if each not in TOKEN_SETS:
            known = nearest(str(each), list(TOKEN_SETS))
            raise ShapelibError(f"no such token set: {each!r}; {known}")
    return tuple(sets)
