"""Run a model over windows of text and pool the hidden states of every layer, padding excluded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from shapelib.errors import ShapelibError, nearest
from shapelib.geometry.massive import massive_rows
from shapelib.models.loading import Model
from shapelib.states.reading import PASS, Encoded, draw, read
from shapelib.states.settings import MEMORY, TOKEN_SETS
from shapelib.states.spill import GIB, Disk, Memory, Plan, plan
from shapelib.text.corpus import Window

# Bytes that measuring a layer takes, whatever the model; measured with the default batch. Each
# thread measures one.
_FIXED = GIB // 4


@dataclass
class Pool:
    """Every pooled vector of a run: where it came from, and its hidden state in each layer.

    A context manager: leaving it gives the memory (and the disk) back. n counts the vectors pooled,
    of all windows; width is the model's.
    """

    states: dict[int, Float[np.ndarray, "n width"]]
    """A matrix for each layer held, 0 for the embedding, in the order the text was read."""
    layers: int
    """Blocks of the model: a whole pool has one layer more, the embedding."""
    window: Int[np.ndarray, " n"]
    """The number of the window, in the order windows were drawn."""
    article: Int[np.ndarray, " n"]
    """The article that the window is of, as an index into the corpus."""
    position: Int[np.ndarray, " n"]
    """Position in the window, special tokens counted."""
    token: Int[np.ndarray, " n"]
    """The token's id."""
    special: Bool[np.ndarray, " n"]
    """Whether it is one that the tokenizer adds."""
    order: Int[np.ndarray, " n"]
    """All rows, shuffled by the run's seed across all windows."""
    bos: bool
    """Whether the tokenizer puts a special token before the text (it is usually the sink)."""
    after_norm: bool
    """Whether the last layer's states have passed the model's final norm."""
    _place: Memory | Disk = field(repr=False)
    _massive: dict[int, Bool[np.ndarray, " n"]] = field(default_factory=dict, repr=False)
    beginning: str | None = None
    """The special token before the text, as the tokenizer writes it; None where there is none."""

    @property
    def windows(self) -> int:
        """How many windows were read."""
        return int(self.window[-1]) + 1

    @property
    def spilled(self) -> bool:
        """Whether the states lie on disk because they passed the memory budget."""
        return isinstance(self._place, Disk)

    def rows(self, tokens: str = "all", layer: int | None = None) -> Int[np.ndarray, " rows"]:
        """The shuffled rows of a token set (see `pool`); ``rest`` needs the layer."""
        if tokens not in TOKEN_SETS:
            known = nearest(tokens, list(TOKEN_SETS))
            raise ShapelibError(f"no such token set: {tokens!r}; {known}")
        if tokens == "all":
            return self.order
        if tokens == "content":
            left_out = self.special
        elif tokens == "later":
            left_out = self.position == 0
        elif layer is None:
            raise ShapelibError("which vectors are massive differs by layer: name the layer")
        else:
            left_out = self.massive(layer)
        kept: Int[np.ndarray, " rows"] = self.order[~left_out[self.order]]
        return kept

    def massive(self, layer: int) -> Bool[np.ndarray, " n"]:
        """Which vectors of a layer are massive (see `massive_rows`)."""
        if layer not in self._massive:
            self._massive[layer] = massive_rows(self.states[layer])
            self._place.release()
        return self._massive[layer]

    def batches(
        self, layer: int, tokens: str, size: int, count: int
    ) -> Iterator[Float[np.ndarray, "size width"]]:
        """The first `count` batches of `size` shuffled vectors of one layer."""
        rows = self.rows(tokens, layer)
        for start in range(0, count * size, size):
            yield self.taken(layer, rows[start : start + size])

    def groups(
        self, layer: int, tokens: str, count: int
    ) -> Iterator[Float[np.ndarray, "size width"]]:
        """One layer's vectors in the groups of `Pool.group_rows`."""
        for rows in self.group_rows(layer, tokens, count):
            yield self.taken(layer, rows)

    def group_rows(self, layer: int, tokens: str, count: int) -> list[Int[np.ndarray, " size"]]:
        """Rows of one layer in the `count` disjoint groups of `Pool.grouped`, cut to equal size."""
        rows, group = self.rows(tokens, layer), self.grouped(count)
        member = [rows[group[rows] == number] for number in range(count)]
        size = min(len(each) for each in member)
        return [each[:size] for each in member]

    def grouped(self, count: int) -> Int[np.ndarray, " n"]:
        """The group of each row, of `count` groups of whole articles.

        Tokens of one window depend on each other, and so do windows of one article; the spread
        between groups that share neither does not suffer from that. Articles are dealt out with the
        most vectors first, each to the group that has the fewest. Where there are fewer articles
        than twice as many as groups, the groups are of whole windows.
        """
        parts, of_row, sizes = np.unique(self.article, return_inverse=True, return_counts=True)
        if len(parts) < 2 * count:
            windows: Int[np.ndarray, " n"] = self.window % count
            return windows
        group, held = np.zeros(len(parts), dtype=int), np.zeros(count, dtype=int)
        for part in np.argsort(-sizes, kind="stable"):
            group[part] = held.argmin()
            held[group[part]] += sizes[part]
        dealt: Int[np.ndarray, " n"] = group[of_row]
        return dealt

    def taken(self, layer: int, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows width"]:
        """A copy of some of a layer's vectors."""
        vectors: Float[np.ndarray, "rows width"] = self.states[layer][rows]
        self._place.release()
        return vectors

    def close(self) -> None:
        """Give the memory (and the disk) back."""
        self.states.clear()
        self._place.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def pool(
    model: Model,
    windows: Iterable[Window],
    tokens: int,
    *,
    seed: int = 0,
    memory: float = MEMORY,
    beginning: bool | None = None,
    unseen: int = 0,
    progress: bool = True,
) -> Pool:
    """Read windows until every token set holds `tokens` vectors; pool all their states.

    ::

        model = load("minilm-l6")
        cut = windows(load_corpus(), 512)
        with pool(model, cut, tokens=4096) as states:
            anisotropy(states.states[3])  # n × width: every vector of layer 3
            two_nn(states.states[3][states.rows("content")])  # without special tokens

    The token sets are ``all`` (every vector, special tokens too, padding excluded), ``content`` (no
    special tokens), ``rest`` (no massive vectors; which they are differs from layer to layer, see
    `massive_rows`) and ``later`` (no vector at the first position of a window). A reserve of 2 % is
    pooled as well where the text has it, since how many vectors are massive is not known before.
    Every layer from the embedding to the last is kept, in float32.

    :param model: what `load` gives.
    :param windows: taken in the order given; `shapelib.windows` draws them at random.
    :param tokens: vectors of each token set.
    :param seed: of the shuffling across windows.
    :param memory: GiB above the loaded model that the states and the work on them may take. Where
        that is too little for all layers, they lie on disk in the cache folder until `Pool.close`.
    :param beginning: put a beginning-of-sequence token before every window (True) or leave it out
        (False) where the tokenizer does otherwise.
    :param unseen: so many first positions are masked from attention; only they themselves see them.
    :param progress: whether a bar is shown.
    :returns: the states by layer, and where each vector came from.
    :raises ShapelibError: where the text is too short (both counts are named), where a window is
        longer than the model reads, where a layer holds NaN or infinity (the layer is named), where
        the device has no memory for one window, and where neither memory nor disk holds all layers.
    """
    if unseen < 0:
        raise ShapelibError(f"unseen must be 0 positions or more, got {unseen}")
    encoded, how = _planned(model, windows, tokens, memory, beginning)
    if len(how.passes) > 1:
        need = (model.layers + 1) * how.layer / GIB
        raise ShapelibError(
            f"{tokens} tokens of {model.name} need {need:.2f} GiB, more than the memory budget of "
            f"{memory:g} GiB and than the {how.free / GIB:.2f} GiB that can be taken of the "
            "cache's disk; ask for fewer tokens, take `passes`, or set SHAPELIB_CACHE to a larger "
            "disk"
        )
    return _pooled(model, encoded, how, how.passes[0], seed, unseen, progress)


def passes(
    model: Model,
    windows: Iterable[Window],
    tokens: int,
    *,
    seed: int = 0,
    memory: float = MEMORY,
    beginning: bool | None = None,
    least_windows: int = 1,
    progress: bool = True,
) -> Iterator[Pool]:
    """As `pool`, with as many layers at once as memory or disk holds: all of them, or a few.

    The text is read anew for each pool, by the same passes, so that layers and rows are those of
    one pool of all. Each is closed when the next is asked for. At least `least_windows` windows are
    read, whatever they hold.
    """
    encoded, how = _planned(model, windows, tokens, memory, beginning, least_windows)
    for layers in how.passes:
        with _pooled(model, encoded, how, layers, seed, 0, progress) as part:
            yield part


def _planned(
    model: Model,
    windows: Iterable[Window],
    tokens: int,
    memory: float,
    beginning: bool | None = None,
    least_windows: int = 1,
) -> tuple[list[Encoded], Plan]:
    if not memory >= 0:
        raise ShapelibError(f"memory must be 0 GiB or more, got {memory!r}")
    encoded = draw(model, windows, tokens, beginning, least_windows)
    layer = sum(len(each.ids) for each in encoded) * model.width * 4
    how = plan(model.name, model.layers + 1, layer, memory * GIB - _work(model))
    how.announce(model.name)
    return encoded, how


def _work(model: Model) -> float:
    """Bytes that reading and measuring take besides the states: a pass's own, a part a thread."""
    return 2 * PASS * (model.layers + 1) * model.width * 4 + torch.get_num_threads() * _FIXED


def _pooled(
    model: Model,
    encoded: list[Encoded],
    how: Plan,
    layers: range,
    seed: int,
    unseen: int,
    progress: bool,
) -> Pool:
    sizes = [len(each.ids) for each in encoded]
    n = sum(sizes)
    first = encoded[0]
    beginning = (
        str(model.tokenizer.convert_ids_to_tokens(first.ids[0])) if first.special[0] else None
    )
    place = (Disk if how.on_disk else Memory)(layers, n, model.width)
    try:
        read(model, encoded, layers, place.write, unseen, progress)
        states = place.finish()
    except BaseException:
        place.close()
        raise
    return Pool(
        states=states,
        layers=model.layers,
        window=np.repeat(np.arange(len(encoded)), sizes),
        article=np.repeat([each.article for each in encoded], sizes),
        position=np.concatenate([np.arange(size) for size in sizes]),
        token=np.array([token for each in encoded for token in each.ids]),
        special=np.array([flag for each in encoded for flag in each.special], dtype=bool),
        order=np.random.default_rng(seed).permutation(n),
        bos=first.special[0],
        beginning=beginning,
        after_norm=model.after_norm,
        _place=place,
    )
