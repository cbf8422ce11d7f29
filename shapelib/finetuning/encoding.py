"""A task in tokens, and the order in which a run reads it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from shapelib.errors import ShapelibError, is_whole_number
from shapelib.finetuning.splits import Task, Text
from shapelib.models import loading
from shapelib.models.probe import check_ids

# Batches are cut from so many at once, sorted by length: less padding, and still in random order.
_BUCKET = 20


@dataclass(frozen=True)
class Side:
    """The texts of one side of a split, padded on the right."""

    ids: Int[Tensor, "rows length"]
    kinds: Int[Tensor, "rows length"] | None
    """Which of a pair each token belongs to, for models that are told."""
    sizes: Int[Tensor, " rows"]
    labels: Int[Tensor, " rows"]

    def batch(self, rows: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """What a network reads of these rows, no wider than the longest of them."""
        sizes = self.sizes[rows]
        width = int(sizes.max())
        given = {
            "input_ids": self.ids[rows, :width],
            "attention_mask": (torch.arange(width)[None] < sizes[:, None]).long(),
        }
        if self.kinds is not None:
            given["token_type_ids"] = self.kinds[rows, :width]
        return given

    def sample(self, count: int) -> "Side":
        """At most so many of the texts, drawn without replacement by seed 0."""
        draw = np.random.default_rng(0).permutation(len(self.labels))[:count]
        rows = torch.from_numpy(np.sort(draw))
        kinds = None if self.kinds is None else self.kinds[rows]
        return Side(self.ids[rows], kinds, self.sizes[rows], self.labels[rows])


@dataclass(frozen=True)
class Encoded:
    """A task in tokens."""

    train: Side
    test: Side
    classes: int
    chance: float
    """The loss of predicting the training set's class shares for every text, in nats."""


def encode(task: Task, model: loading.Model, length: int) -> Encoded:
    """Tokenize a task once, cut to `length` tokens a text.

    A pair is joined as the tokenizer joins it, or by a line break where it puts nothing between.
    Raises `ShapelibError` for a length below 4 or above what the model reads.
    """
    if model.part:
        raise ShapelibError(
            f"{model.name} is one half of an encoder-decoder; fine-tuning takes whole networks"
        )
    most = model.longest
    if not is_whole_number(length, 4) or (most is not None and length > most):
        accepted = "at least 4" if most is None else f"4 to {most}"
        raise ShapelibError(f"length={length!r}; {accepted} tokens are accepted ({model.name})")
    shares = np.bincount(task.train_labels, minlength=len(task.labels)) / len(task.train_labels)
    return Encoded(
        _side(task.train, task.train_labels, model, length),
        _side(task.test, task.test_labels, model, length),
        len(task.labels),
        float(-(shares * np.log(shares)).sum()),
    )


def order(side: Side, batch: int, steps: int, seed: int) -> Iterator[Int[Tensor, " batch"]]:
    """The rows of `steps` batches: every epoch reads all rows in an order of its own, those of
    like length together. A short last batch of an epoch is left out."""
    draw = np.random.default_rng(seed)
    sizes = side.sizes.numpy()
    batch = min(batch, len(sizes))
    made = 0
    while made < steps:
        rows = draw.permutation(len(sizes))[: len(sizes) // batch * batch]
        some = _BUCKET * batch
        batches: list[np.ndarray] = []
        for start in range(0, len(rows), some):
            bucket = rows[start : start + some]
            bucket = bucket[np.argsort(sizes[bucket], kind="stable")].reshape(-1, batch)
            batches.extend(bucket[draw.permutation(len(bucket))])
        for each in batches[: steps - made]:
            yield torch.from_numpy(each)
        made += len(batches)


def by_length(side: Side, batch: int) -> list[Int[Tensor, " batch"]]:
    """All rows in batches of like length."""
    rows = torch.argsort(side.sizes, stable=True)
    return list(rows.split(math.ceil(len(rows) / math.ceil(len(rows) / batch))))


def _side(
    texts: tuple[Text, ...], labels: tuple[int, ...], model: loading.Model, length: int
) -> Side:
    ids, kinds = _tokens(texts, model.tokenizer, length)
    sizes = [len(each) for each in ids]
    if 0 in sizes:
        raise ShapelibError(f"the tokenizer makes no token of the text {texts[sizes.index(0)]!r}")
    check_ids([max(map(max, ids))], model.network, model.name)
    return Side(
        _padded(ids, model.filler),
        None if kinds is None else _padded(kinds, 0),
        torch.tensor(sizes),
        torch.tensor(labels),
    )


def _tokens(
    texts: tuple[Text, ...], tokenizer: Any, length: int
) -> tuple[list[list[int]], list[list[int]] | None]:
    columns = [list(column) for column in zip(*texts, strict=True)]
    if len(columns) == 2 and tokenizer.num_special_tokens_to_add(pair=True) == 0:
        plain = {"add_special_tokens": False, "verbose": False}
        left, right = (tokenizer(column, **plain)["input_ids"] for column in columns)
        between = tokenizer("\n", **plain)["input_ids"]
        half = (length - len(between)) // 2
        return [
            # What one does not fill is left to the other.
            [*a[: max(half, 2 * half - len(b))], *between, *b[: max(half, 2 * half - len(a))]]
            for a, b in zip(left, right, strict=True)
        ], None
    found = tokenizer(*columns, truncation=True, max_length=length, verbose=False)
    return found["input_ids"], found.get("token_type_ids") if len(columns) == 2 else None


def _padded(rows: list[list[int]], pad: int) -> Int[Tensor, "rows length"]:
    full = torch.full((len(rows), max(map(len, rows))), pad)
    for place, row in enumerate(rows):
        full[place, : len(row)] = torch.tensor(row)
    return full
