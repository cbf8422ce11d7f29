"""Change one thing that a model reads or does, and measure anisotropy again, layer by layer."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from shapelib.errors import ShapelibError
from shapelib.geometry.anisotropy import anisotropy
from shapelib.geometry.massive import massive_rows
from shapelib.models import loading
from shapelib.states import pool
from shapelib.states.layer import GROUPS
from shapelib.states.reading import encode, run_facts
from shapelib.store import cache, keys, tables
from shapelib.text import corpus

_log = logging.getLogger("shapelib")
PLAIN = "as it is"
SHORTENED = "massive vectors shortened once"


@dataclass(frozen=True)
class Intervention:
    """What is changed; the rest is as in `PLAIN`."""

    name: str
    window: int = 512
    start: Literal["anywhere", "article"] = "anywhere"
    other_beginning: bool = False
    """A beginning token where the tokenizer puts none; none where it puts one."""
    unseen: int = 0
    """So many first positions are masked from attention."""
    shortened: bool = False
    """Whether massive vectors are shortened to the median length as they leave one block."""
    needs: Callable[[loading.Model], bool] = field(default=lambda model: True, repr=False)

    @property
    def may_not_fit(self) -> bool:
        """Whether a model or a text may be too short for it."""
        return self.window > 512 or self.start != "anywhere"


def _has_beginning(model: loading.Model) -> bool:
    return model.tokenizer.bos_token_id is not None or encode(model, _A_WORD).special[0]


_A_WORD = corpus.Window(0, 0, text="a")
INTERVENTIONS = (
    Intervention(PLAIN),
    Intervention("windows at the start of an article", start="article"),
    Intervention("beginning token added or left out", other_beginning=True, needs=_has_beginning),
    Intervention("windows of 128 characters", window=128),
    Intervention("windows of 2048 characters", window=2048),
    Intervention("windows of 8192 characters", window=8192),
    Intervention("first position masked", unseen=1),
    Intervention("first four positions masked", unseen=4),
    Intervention(SHORTENED, shortened=True),
)


def interventions(
    model: str | Path | loading.Source | loading.Model,
    text: str | Path | corpus.Corpus = "enwiki-sample",
    *,
    tokens: int = 4096,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
    reuse: bool = True,
) -> pd.DataFrame:
    """Centered anisotropy by layer under each of `INTERVENTIONS`, with and without massive vectors.

    A row for each intervention, layer and token set (``all``, ``rest``): `value` is measured on
    all pooled vectors (at least `tokens`), `stderr` is the standard error of the mean of disjoint
    groups of whole windows, `massive` the share of vectors that are massive, `first` the share of
    those that stand at the first position. Windows longer than the model reads are left out, as
    is an intervention on a beginning token that the tokenizer does not have.

    The shortening is done in one block: the one after which the anisotropy that goes with the
    massive vectors (that of all minus that of the rest) has risen most. There each massive vector
    is drawn towards the mean of the others until its distance is the median; `perplexity` before
    and after (of models whose output weights are tied to the embedding) says what that costs.
    It is left out where nothing is massive.
    """
    text = text if isinstance(text, corpus.Corpus) else corpus.load_corpus(text)
    if isinstance(model, loading.Model):
        return _measure(model, text, tokens, seed, progress)
    source = model if isinstance(model, loading.Source) else loading.find(model)

    def measure() -> pd.DataFrame:
        return _measure(loading.load(source, device=device), text, tokens, seed, progress)

    if not reuse:
        return measure()
    key = keys.key_of(
        "interventions", source.name, source.fingerprint, text.name, text.sha256, tokens, seed,
        str(loading.pick_device(device)), keys.code_of(interventions),
    )  # fmt: skip
    return tables.cached(cache.named(source.name, key), measure)


def _measure(
    model: loading.Model, text: corpus.Corpus, tokens: int, seed: int, progress: bool
) -> pd.DataFrame:
    started = time.perf_counter()
    tables: list[pd.DataFrame] = []
    block: int | None = None
    for each in INTERVENTIONS:
        if not each.needs(model) or (each.shortened and block is None):
            continue
        changed = shortened(model, block) if each.shortened and block else contextlib.nullcontext()
        try:
            with changed:
                table = _under(each, model, text, tokens, seed, progress)
        except ShapelibError as error:
            if not each.may_not_fit:
                raise
            _log.info("%s is left out: %s", each.name, error)
            continue
        if each.name == PLAIN:
            block = block_of_massive_vectors(table)
        table["block"] = block if each.shortened else pd.NA
        tables.append(table)
    joined = pd.concat(tables, ignore_index=True).astype({"block": "Int64"})
    joined.insert(0, "model", model.name)
    joined.insert(1, "role", model.role)
    counts = {"all": int(joined["n"].max()), "windows": int(joined["windows"].max())}
    counts["dropped_all"] = 0
    joined.attrs["provenance"] = [run_facts(model, text, counts, started, tokens=tokens, seed=seed)]
    return joined


def _under(
    intervention: Intervention,
    model: loading.Model,
    text: corpus.Corpus,
    tokens: int,
    seed: int,
    progress: bool,
) -> pd.DataFrame:
    """The rows of one intervention."""
    cut = corpus.windows(text, intervention.window, seed=seed, start=intervention.start)
    usual = encode(model, _A_WORD).special[0]
    beginning = not usual if intervention.other_beginning else None
    rows = []
    with pool.pool(
        model, cut, tokens, seed=seed, beginning=beginning, unseen=intervention.unseen,
        progress=progress,
    ) as pooled:  # fmt: skip
        windows = pooled.windows
        groups = min(GROUPS, windows // 2)
        for layer, states in pooled.states.items():
            massive = pooled.massive(layer)
            row = {
                "intervention": intervention.name, "layer": layer, "depth": layer / model.layers,
                "after_norm": layer == model.layers and model.after_norm, "groups": groups,
                "windows": windows, "n": len(states), "massive": float(massive.mean()),
                "first": float((massive & (pooled.position == 0)).sum()) / max(massive.sum(), 1),
            }  # fmt: skip
            for token_set in ("all", "rest"):
                # Where nothing is massive the two sets are one.
                if token_set == "all" or massive.any():
                    value = anisotropy(states[pooled.rows(token_set, layer)])
                    stderr = _stderr(pooled, layer, token_set, groups)
                rows.append({**row, "tokens": token_set, "value": value, "stderr": stderr})
        table = pd.DataFrame(rows)
        compared = intervention.name == PLAIN or intervention.shortened
        table["perplexity"] = perplexity(model, pooled) if compared else math.nan
    return table


def _stderr(pooled: pool.Pool, layer: int, tokens: str, groups: int) -> float:
    if groups < 3:
        return math.nan
    found = [anisotropy(x) for x in pooled.groups(layer, tokens, groups)]
    return float(np.std(found, ddof=1) / groups**0.5)


def block_of_massive_vectors(table: pd.DataFrame) -> int | None:
    """The block (from 1) that makes massive vectors matter most, from the rows of `PLAIN`.

    Anisotropy of all vectors minus that of the rest rises most from its input to its output; None
    where it rises nowhere by 0.1.
    """
    by_set = table.pivot(index="layer", columns="tokens", values="value")
    rise = (by_set["all"] - by_set["rest"]).diff().iloc[1:]
    return int(rise.idxmax()) if rise.max() >= 0.1 else None


@contextlib.contextmanager
def shortened(model: loading.Model, block: int) -> Iterator[None]:
    """Within it, massive vectors that leave `block` (from 1) are drawn in to the median length.

    transformers records a block's hidden state before hooks see it, so the change shows from the
    next layer on.
    """

    def draw_in(_module: Any, _inputs: Any, output: Any) -> Any:
        states = output[0] if isinstance(output, tuple) else output
        flat = states.reshape(-1, states.shape[-1])
        massive = torch.from_numpy(massive_rows(flat.float().cpu().numpy())).to(flat.device)
        if not bool(massive.any()):
            return output
        center = flat[~massive].mean(dim=0)
        away = flat - center
        lengths = torch.linalg.vector_norm(away, dim=1, keepdim=True)
        drawn = torch.where(massive[:, None], center + away * (lengths.median() / lengths), flat)
        drawn = drawn.reshape(states.shape)
        return (drawn, *output[1:]) if isinstance(output, tuple) else drawn

    hook = _blocks(model)[block - 1].register_forward_hook(draw_in)
    try:
        yield
    finally:
        hook.remove()


def _blocks(model: loading.Model) -> Any:
    """The list of the network's blocks: the one module list as long as the model has layers."""
    for module in model.network.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == model.layers:
            return module
    raise ShapelibError(f"{model.name} has no list of {model.layers} blocks to act on")


def perplexity(model: loading.Model, pooled: pool.Pool) -> float:
    """exp of the mean loss of each window's next tokens; NaN where the network alone cannot say.

    It can where it is a decoder whose output weights are those of its embedding.
    """
    tied = model.network.config.get_text_config().tie_word_embeddings
    if model.role != "decoder" or not tied or not model.after_norm:
        return math.nan
    weights = model.network.get_input_embeddings().weight.detach()
    at = np.flatnonzero(pooled.window[1:] == pooled.window[:-1])
    total = 0.0
    for rows in np.array_split(at, max(1, len(at) // 512)):
        states = torch.from_numpy(pooled.states[model.layers][rows]).to(
            weights.device, weights.dtype
        )
        following = torch.from_numpy(pooled.token[rows + 1]).to(weights.device)
        scores = (states @ weights.T).float()
        total += float(torch.nn.functional.cross_entropy(scores, following, reduction="sum"))
    return math.exp(total / len(at))
