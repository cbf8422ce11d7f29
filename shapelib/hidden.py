"""Run a model over windows of text and pool the hidden states of every layer, padding excluded."""

import itertools
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from shapelib import cache
from shapelib.corpus import Window
from shapelib.errors import ShapelibError, nearest
from shapelib.massive import massive_rows
from shapelib.models import Model

TOKEN_SETS = {
    "all": "every vector, special tokens too, padding excluded",
    "content": "no special tokens",
    "rest": "no massive vectors (which they are differs from layer to layer)",
    "later": "no vector at the first position of a window",
}
# Windows are drawn until this much more is pooled than asked for, so that a set without massive
# vectors fills its batches as well.
_RESERVE = 0.02
GIB = 1 << 30
# Padded tokens in one forward pass: large enough to keep two cores busy, and every layer of a
# pass together stays near 150 MB.
_PASS = 2048


class Encoded(NamedTuple):
    """One window as a model reads it."""

    ids: list[int]
    special: list[bool]
    """Which ids the tokenizer added (a beginning-of-sequence token, [CLS], [SEP])."""


@dataclass
class Pool:
    """Every pooled vector of a run: where it came from, and its hidden state in each layer."""

    states: list[Float[np.ndarray, "n width"]]
    """One matrix a layer, embedding first, in the order the text was read."""
    window: Int[np.ndarray, " n"]
    """The number of the window, in the order windows were drawn."""
    position: Int[np.ndarray, " n"]
    """Position in the window, special tokens counted."""
    token: Int[np.ndarray, " n"]
    special: Bool[np.ndarray, " n"]
    order: Int[np.ndarray, " n"]
    """All rows, shuffled by the run's seed across all windows."""
    bos: bool
    """Whether the tokenizer puts a special token before the text (it is usually the sink)."""
    after_norm: bool
    """Whether the last layer's states have passed the model's final norm."""
    _spill: "tempfile.TemporaryDirectory[str] | None" = field(default=None, repr=False)
    _massive: dict[int, Bool[np.ndarray, " n"]] = field(default_factory=dict, repr=False)

    @property
    def layers(self) -> int:
        """Blocks of the model: `states` has one entry more, the embedding."""
        return len(self.states) - 1

    @property
    def spilled(self) -> bool:
        """Whether the states lie on disk because they passed the memory budget."""
        return self._spill is not None

    def rows(self, tokens: str = "all", layer: int | None = None) -> Int[np.ndarray, " rows"]:
        """The shuffled rows of a token set, one of `TOKEN_SETS`; ``rest`` needs the layer."""
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
        """Which vectors of a layer are massive (see `shapelib.massive.massive_rows`)."""
        if layer not in self._massive:
            self._massive[layer] = massive_rows(self.states[layer])
        return self._massive[layer]

    def batches(
        self, layer: int, tokens: str, size: int, count: int
    ) -> Iterator[Float[np.ndarray, "size width"]]:
        """The first `count` batches of `size` shuffled vectors of one layer."""
        rows = self.rows(tokens, layer)
        for start in range(0, count * size, size):
            yield self.states[layer][rows[start : start + size]]

    def groups(
        self, layer: int, tokens: str, count: int
    ) -> Iterator[Float[np.ndarray, "size width"]]:
        """One layer's vectors in `count` disjoint groups of whole windows, cut to equal size.

        Tokens of one window depend on each other; the spread between groups that share no window
        does not suffer from that.
        """
        rows = self.rows(tokens, layer)
        member = [rows[self.window[rows] % count == group] for group in range(count)]
        size = min(len(each) for each in member)
        for each in member:
            yield self.states[layer][each[:size]]

    def close(self) -> None:
        """Give the memory (and the disk) back."""
        self.states.clear()
        if self._spill is not None:
            self._spill.cleanup()

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
    memory: float = 4.0,
    beginning: bool | None = None,
    unseen: int = 0,
    progress: bool = True,
) -> Pool:
    """Read windows until every token set holds `tokens` vectors; pool all their states.

    A reserve of 2 % is pooled as well where the text has it, since how many vectors are massive
    (see `TOKEN_SETS`) is not known before.

    `windows` are taken in the order given (`shapelib.windows` draws them at random). `memory`:
    GiB that the pooled states may take; past that they lie in memory-mapped files in the cache
    folder until `close`. Every layer from the embedding to the last is kept, in float32.

    Two interventions on what the model reads. `beginning`: put a beginning-of-sequence token
    before every window (True) or leave it out (False) where the tokenizer does otherwise.
    `unseen`: so many first positions are masked from attention; only they themselves see them.

    Raises `ShapelibError` where the text is too short (both counts are named), where a window is
    longer than the model reads, and where a layer holds NaN or infinity (the layer is named).
    """
    if unseen < 0:
        raise ShapelibError(f"unseen must be 0 positions or more, got {unseen}")
    encoded = _draw(model, windows, tokens, beginning)
    n = sum(len(each.ids) for each in encoded)
    number = np.repeat(np.arange(len(encoded)), [len(each.ids) for each in encoded])
    position = np.concatenate([np.arange(len(each.ids)) for each in encoded])
    states, spill = _allocate(model, n, memory)
    try:
        _read(model, encoded, states, unseen, progress)
    except BaseException:
        states.clear()
        if spill is not None:
            spill.cleanup()
        raise
    return Pool(
        states=states,
        window=number,
        position=position,
        token=np.array([token for each in encoded for token in each.ids]),
        special=np.array([flag for each in encoded for flag in each.special], dtype=bool),
        order=np.random.default_rng(seed).permutation(n),
        bos=encoded[0].special[0],
        after_norm=model.after_norm,
        _spill=spill,
    )


def encode(model: Model, window: Window, beginning: bool | None = None) -> Encoded:
    """A window's token ids with the special tokens that the model's tokenizer adds.

    `beginning`: whether a beginning-of-sequence token comes first; None is the tokenizer's way.
    """
    read = _encode(model, window)
    if beginning is None or beginning == read.special[0]:
        return read
    if not beginning:
        return Encoded(read.ids[1:], read.special[1:])
    first = model.tokenizer.bos_token_id
    if first is None:
        raise ShapelibError(f"the tokenizer of {model.name} has no beginning-of-sequence token")
    return Encoded([first, *read.ids], [True, *read.special])


def _encode(model: Model, window: Window) -> Encoded:
    if window.ids is None:
        read = model.tokenizer(window.text, return_special_tokens_mask=True, verbose=False)
        return Encoded(list(read["input_ids"]), [bool(s) for s in read["special_tokens_mask"]])
    frame = model.tokenizer("a", return_special_tokens_mask=True)
    marked = [(token, bool(s)) for token, s in zip(*_columns(frame), strict=True)]
    before = [token for token, _ in itertools.takewhile(lambda pair: pair[1], marked)]
    after = [token for token, _ in itertools.takewhile(lambda pair: pair[1], marked[::-1])][::-1]
    ids = [*before, *window.ids, *after]
    return Encoded(ids, [True] * len(before) + [False] * len(window.ids) + [True] * len(after))


def _columns(read: Any) -> tuple[list[int], list[int]]:
    return read["input_ids"], read["special_tokens_mask"]


def _draw(
    model: Model, windows: Iterable[Window], tokens: int, beginning: bool | None
) -> list[Encoded]:
    """Windows, until each token set holds `tokens` and a reserve, or the text ends."""
    if tokens < 1:
        raise ShapelibError(f"tokens must be at least 1, got {tokens}")
    longest = _longest(model)
    drawn: list[Encoded] = []
    plain = 0
    for window in windows:
        each = encode(model, window, beginning)
        if len(each.ids) > longest:
            raise ShapelibError(
                f"a window has {len(each.ids)} tokens, but {model.name} reads at most {longest}; "
                "use a shorter window"
            )
        plain += sum(not special for special in each.special[1:])
        drawn.append(each)
        if plain >= tokens * (1 + _RESERVE):
            return drawn
    if plain >= tokens:
        return drawn
    raise ShapelibError(
        f"the text is too short: its {len(drawn)} whole windows hold {plain} tokens of "
        f"{model.name} after the first of each, and {tokens} are needed; ask for fewer tokens, "
        "shorter windows, or give a longer text"
    )


def _longest(model: Model) -> int:
    """Tokens a model reads at once; a tokenizer that states none says about 1e30, and a
    configuration that sets no limit (XLNet's) says -1."""
    config = model.network.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None) or 0
    limit = model.tokenizer.model_max_length
    return int(min(positions, limit) if positions > 0 else limit)


def _allocate(
    model: Model, n: int, memory: float
) -> "tuple[list[Float[np.ndarray, 'n width']], tempfile.TemporaryDirectory[str] | None]":
    if not memory >= 0:
        raise ShapelibError(f"memory must be 0 GiB or more, got {memory!r}")
    shape, count = (n, model.width), model.layers + 1
    need = count * n * model.width * 4
    if need <= memory * GIB:
        return [np.empty(shape, np.float32) for _ in range(count)], None
    parent = cache.folder("spill")
    free = shutil.disk_usage(parent).free
    if need > free:
        raise ShapelibError(
            f"{n} tokens of {model.name} need {need / GIB:.2f} GiB, more than the memory budget of "
            f"{memory:g} GiB and than the {free / GIB:.2f} GiB free on the cache's disk; ask for "
            "fewer tokens or set SHAPELIB_CACHE to a larger disk"
        )
    spill = tempfile.TemporaryDirectory(dir=parent, prefix="states-")
    files = (Path(spill.name) / f"{layer}.f32" for layer in range(count))
    return [np.memmap(file, np.float32, "w+", shape=shape) for file in files], spill


def _read(
    model: Model,
    encoded: list[Encoded],
    states: list[Float[np.ndarray, "n width"]],
    unseen: int,
    progress: bool,
) -> None:
    """Forward passes over windows of like length; each vector lands at its window's place."""
    from tqdm import tqdm

    lengths = np.array([len(each.ids) for each in encoded])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    by_length = np.argsort(-lengths, kind="stable")
    bar = tqdm(
        total=int(starts[-1]),
        unit="tok",
        desc=f"{model.name}: reading",
        disable=None if progress else True,
    )
    with bar, torch.inference_mode():
        at = 0
        while at < len(by_length):
            some = by_length[at : at + max(1, _PASS // int(lengths[by_length[at]]))]
            at += len(some)
            ids, mask = _padded([encoded[i].ids for i in some], model)
            output = model.network(
                input_ids=ids,
                attention_mask=_attention(mask, model.role, unseen),
                output_hidden_states=True,
                use_cache=False,
            )
            rows = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in some])
            keep = mask.bool()
            if len(output.hidden_states) != len(states):
                raise ShapelibError(
                    f"{model.name} gave {len(output.hidden_states)} hidden states, "
                    f"expected its embedding and {model.layers} layers"
                )
            for layer, hidden in enumerate(output.hidden_states):
                vectors = hidden[keep].float()
                if not bool(torch.isfinite(vectors).all()):
                    raise ShapelibError(_not_finite(model, layer))
                states[layer][rows] = vectors.cpu().numpy()
            bar.update(len(rows))


def _padded(ids: list[list[int]], model: Model) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids and their mask; what fills the padding is never seen."""
    longest = max(len(each) for each in ids)
    fill = model.tokenizer.pad_token_id or 0
    padded = torch.tensor([each + [fill] * (longest - len(each)) for each in ids])
    mask = torch.tensor([[1] * len(each) + [0] * (longest - len(each)) for each in ids])
    return padded.to(model.device), mask.to(model.device)


def _attention(mask: torch.Tensor, role: str, unseen: int) -> torch.Tensor:
    """What the network is given as its mask: the padding's, unless positions are to be unseen.

    Then it says for each query (row) which keys (columns) it sees.
    """
    if not unseen:
        return mask
    length = mask.shape[1]
    sees = torch.ones(length, length, dtype=torch.bool, device=mask.device)
    if role == "decoder":
        sees = sees.tril()
    sees[:, :unseen] = False
    sees.fill_diagonal_(True)
    # A query in the padding sees itself, so that its softmax is defined; nobody sees it.
    itself = torch.eye(length, dtype=torch.bool, device=mask.device)
    return (sees & mask.bool()[:, None, None, :]) | itself


def _not_finite(model: Model, layer: int) -> str:
    advice = (
        "the weights themselves may be damaged"
        if model.dtype == "float32"
        else f"{model.dtype} may overflow here: use dtype float32, or look at the weights"
    )
    return f"{model.name}: hidden states of layer {layer} hold NaN or infinity; {advice}"
