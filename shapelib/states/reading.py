"""Forward passes of a model over windows of text: what it reads, and its hidden states."""

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from shapelib.errors import ShapelibError, WindowTooLong, foreign
from shapelib.models import masks
from shapelib.models.loading import Model
from shapelib.models.probe import check_ids, left_as_it_was, padding_leaks, states_of
from shapelib.states.trained_as import trained_as, warmup_tokens
from shapelib.store import tables
from shapelib.text.corpus import Corpus, Window

# Windows are drawn until this much more is pooled than asked for, so that a set without massive
# vectors fills its batches as well.
_RESERVE = 0.02
# Padded tokens in one forward pass: large enough to keep two cores busy, and every layer of a
# pass together stays near 150 MB.
PASS = 2048
_log = logging.getLogger("shapelib")


class Encoded(NamedTuple):
    """One window as a model reads it."""

    ids: list[int]
    special: list[bool]
    """Which ids the tokenizer added (a beginning-of-sequence token, [CLS], [SEP])."""
    article: int = 0
    """Of which article the window is."""


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


def draw(
    model: Model,
    windows: Iterable[Window],
    tokens: int,
    beginning: bool | None = None,
    least: int = 1,
) -> list[Encoded]:
    """Windows, until each token set holds `tokens` and a reserve and there are at least `least` of
    them, or the text ends."""
    if tokens < 1:
        raise ShapelibError(f"tokens must be at least 1, got {tokens}")
    longest = model.longest
    drawn: list[Encoded] = []
    plain = 0
    for window in windows:
        each = encode(model, window, beginning)._replace(article=window.article)
        if longest is not None and len(each.ids) > longest:
            raise WindowTooLong(len(each.ids), model.name, longest)
        check_ids(each.ids, model.network, model.name)
        plain += sum(not special for special in each.special[1:])
        drawn.append(each)
        if plain >= tokens * (1 + _RESERVE) and len(drawn) >= least:
            return drawn
    if len(drawn) < least:
        raise ShapelibError(
            f"the text is too short: it holds {len(drawn)} whole windows, and {least} are to be "
            "read; ask for fewer, for shorter ones, or give a longer text"
        )
    if plain >= tokens:
        return drawn
    raise ShapelibError(
        f"the text is too short: its {len(drawn)} whole windows hold {plain} tokens of "
        f"{model.name} after the first of each, and {tokens} are needed; ask for fewer tokens, "
        "shorter windows, or give a longer text"
    )


def read(
    model: Model,
    encoded: list[Encoded],
    layers: Sequence[int],
    write: Callable[[int, int, Float[np.ndarray, "some width"]], None],
    unseen: int,
    progress: bool,
) -> None:
    """Forward passes over windows of like length, each layer's states handed on window by window.

    ``write(layer, start, vectors)`` gets a window's vectors and the row where they begin, windows
    counted in the order of `encoded`. `unseen`: see `pool`. Where the device's memory runs
    out, half as many windows are read at once from then on. Where padding changes a window's states
    although it is masked, windows of equal length alone are read at once. The network is afterwards
    as it was before.

    Raises `ShapelibError` where one window is too many, and for states that are not finite.
    """
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
    at, room, told = 0, PASS, False
    with bar, torch.inference_mode(), left_as_it_was(model.network):
        apart = _apart(model, encoded, by_length)
        while at < len(by_length):
            longest = int(lengths[by_length[at]])
            some = by_length[at : at + max(1, room // longest)]
            if apart:
                some = some[lengths[some] == longest]
            windows = [(encoded[i].ids, int(starts[i])) for i in some]
            if not _pass(model, windows, layers, unseen, write):
                room = longest * (len(some) // 2)
                if model.device.type == "cuda":
                    torch.cuda.empty_cache()
                if not told:
                    _log.info(
                        "%s: %s ran out of memory with %d windows at once; it goes on with half "
                        "as many, as often as needed", model.name, model.device, len(some),
                    )  # fmt: skip
                    told = True
                continue
            at += len(some)
            bar.update(int(lengths[some].sum()))


def _pass(
    model: Model,
    windows: Sequence[tuple[list[int], int]],
    layers: Sequence[int],
    unseen: int,
    write: Callable[[int, int, Float[np.ndarray, "some width"]], None],
) -> bool:
    """One forward pass over some windows, of ids and the row where each begins, its states handed
    on. False where the device's memory runs out: only outside this function nothing holds what the
    pass has taken of it.

    Raises `ShapelibError` where one window is too many.
    """
    try:
        ends = np.cumsum([len(ids) for ids, _ in windows])[:-1]
        for layer, vectors in _states(model, [ids for ids, _ in windows], layers, unseen):
            for (_, start), part in zip(windows, np.split(vectors, ends), strict=True):
                write(layer, start, part)
    except torch.OutOfMemoryError as error:
        if len(windows) == 1:
            raise ShapelibError(
                f"{model.device} has no memory for one window of {len(windows[0][0])} tokens of "
                f"{model.name}; use shorter windows, dtype bfloat16, or another device"
            ) from error
        return False
    return True


def _apart(model: Model, encoded: list[Encoded], by_length: Int[np.ndarray, " windows"]) -> bool:
    """Whether windows of unlike length must not be read together: seen before by a short text, or
    now by the shortest window beside the longest.

    What a class does with padding may begin at some length only, as BigBird's does.
    """
    longest, shortest = (encoded[by_length[at]].ids for at in (0, -1))
    if model.leaks or len(longest) == len(shortest):
        apart = model.leaks
    else:
        try:
            with left_as_it_was(model.network):
                apart = padding_leaks(model.network, [longest, shortest], model.filler)
        except torch.OutOfMemoryError:  # no two of them at once anyway
            apart = False
    if apart:
        _log.info(
            "%s: padding changes what it makes of a text, so windows of equal length alone are "
            "read together, which is slower", model.name,
        )  # fmt: skip
    return apart


def _states(
    model: Model, ids: list[list[int]], layers: Sequence[int], unseen: int
) -> Iterator[tuple[int, Float[np.ndarray, "tokens width"]]]:
    """The states of some layers, in float32: window after window, padding excluded."""
    padded, mask = _padded(ids, model)
    with foreign(f"{model.name} cannot read a text", torch.OutOfMemoryError):
        output = model.network(
            input_ids=padded,
            attention_mask=_attention(mask, model, unseen),
            output_hidden_states=True,
            use_cache=False,
        )
    places = torch.nonzero(mask.flatten())[:, 0]
    states = states_of(output, model.network, tuple(padded.shape), model.name)
    for layer in layers:
        vectors = states[layer].flatten(0, 1).index_select(0, places).float()
        # One sum tells whether to look closer, as in `geometry.points`.
        if not bool(vectors.sum().isfinite()) and not bool(vectors.isfinite().all()):
            raise ShapelibError(_not_finite(model, layer))
        yield layer, vectors.cpu().numpy()


def _padded(ids: list[list[int]], model: Model) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids and their mask; what fills the padding is never seen."""
    longest = max(len(each) for each in ids)
    fill = model.filler
    padded = torch.tensor([each + [fill] * (longest - len(each)) for each in ids])
    mask = torch.tensor([[1] * len(each) + [0] * (longest - len(each)) for each in ids])
    return padded.to(model.device), mask.to(model.device)


def _attention(mask: torch.Tensor, model: Model, unseen: int) -> torch.Tensor:
    """What the network is given as its mask: its own, unless positions are to be unseen."""
    if not unseen:
        return masks.attention_mask(model.network, mask)
    return masks.mask_without(model.network, mask, unseen, model.role == "decoder")


def _not_finite(model: Model, layer: int) -> str:
    advice = (
        "the weights themselves may be damaged"
        if model.dtype == "float32"
        else f"{model.dtype} may overflow here: use dtype float32, or look at the weights"
    )
    return f"{model.name}: hidden states of layer {layer} hold NaN or infinity; {advice}"


def run_facts(
    model: Model,
    text: Corpus,
    pooled: dict[str, int],
    started: float,
    **asked: object,
) -> tables.Provenance:
    """The provenance of a run of a model over a text, `started` at that `time.perf_counter`."""
    source = model.source
    return tables.provenance(
        **asked,
        model=model.name,
        parameters=model.parameters,
        training=trained_as(model),
        warmup_tokens=warmup_tokens(model.source.known),
        dtype=model.dtype,
        quantised=model.quantised,
        tuned=source.tuned,
        fingerprint=source.fingerprint,
        revision=source.revision,
        tokenizer=source.tokenizer_hub,
        caveat=source.caveat,
        licence=source.known.licence if source.known else None,
        corpus=text.name,
        corpus_sha256=text.sha256,
        corpus_truncated=text.report.truncated,
        device=str(model.device),
        pooled=pooled,
        seconds=round(time.perf_counter() - started, 1),
    )
