"""Model × corpus → one tidy table: a row per layer, token set and metric."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import torch

from shapelib.errors import ShapelibError
from shapelib.models import halves, loading
from shapelib.states import further, pool
from shapelib.states.layer import groups_of, measure_layer
from shapelib.states.reading import run_facts
from shapelib.states.settings import MEMORY, Measuring, Unit
from shapelib.store import cache, keys, tables
from shapelib.text import corpus
from shapelib.threads import in_threads


def profile(
    model: str | Path | loading.Source | loading.Model,
    text: str | Path | corpus.Corpus = "enwiki-sample",
    *,
    tokens: int = Measuring.tokens,
    window: int = Measuring.window,
    unit: Unit = Measuring.unit,
    batch: int = Measuring.batch,
    sets: Sequence[str] = Measuring.sets,
    seed: int = Measuring.seed,
    metrics: Sequence[str] = Measuring.metrics,
    beginning: bool | None = Measuring.beginning,
    least_windows: int = Measuring.least_windows,
    device: str = "auto",
    dtype: str = "auto",
    memory: float = MEMORY,
    part: str | None = None,
    progress: bool = True,
    reuse: bool = True,
) -> pd.DataFrame:
    """The shape of a model's hidden states over a text, layer by layer.

    ::

        table = profile("minilm-l6", tokens=8192)
        found = table[(table["metric"] == "two_nn") & (table["tokens"] == "content")]
        found[["layer", "value", "stderr"]]

    `tokens` pooled vectors of each token set are shuffled across windows and measured in ``tokens
    // batch`` batches of `batch` vectors; a last, short batch is dropped and counted in the
    provenance. Where too many vectors are massive, ``rest`` has fewer batches, or none and its
    values are missing. A dimension that needs k neighbours is missing where a batch has no more
    than k + 1 different vectors, or where it is not defined.

    :param model: what `load` takes, or a model that it gave, which is always measured anew.
    :param text: what `load_corpus` takes, or a corpus that it gave.
    :param tokens: how many vectors of each token set are measured.
    :param window: length of a window of text, see `windows`.
    :param unit: what that length counts, ``characters`` or ``tokens``.
    :param batch: how many vectors a batch has.
    :param sets: the token sets: ``all``, ``content``, ``rest`` (no massive vectors) and ``later``,
        see `pool`.
    :param seed: of the windows and the shuffling.
    :param metrics: what is measured, by the names that ``shapelib profile --list-metrics`` shows
        with their costs, such as ``["default", "gride"]``; see below.
    :param beginning: whether a beginning-of-sequence token stands before each window; None is the
        tokenizer's own way, as in `pool`.
    :param least_windows: read at least so many windows, and draw the vectors from all of them: of
        long windows a few would be enough, and say little of a text.
    :param device: as in `load`; so is `dtype`.
    :param dtype: precision of the model.
    :param memory: GiB above the loaded model that hidden states and the work on them may take. What
        does not fit goes to disk, and where that is too small as well, the text is read several
        times for some of the layers each; the numbers are the same.
    :param part: of an encoder-decoder, as in `load`: ``encoder`` or ``decoder``.
    :param progress: whether bars are shown.
    :param reuse: take a measurement with the same model files, text, parameters and code from the
        user's cache where it is there.
    :returns: a row for each layer, token set and metric; what was run, and on what, is in
        ``table.attrs["provenance"]``. The columns:

        ``model``, ``checkpoint``, ``step``, ``tokens_seen``
            The model's name; the checkpoint of a suite, else the commit on the hub, else ``final``;
            and how far a checkpoint was trained, in optimizer steps and in tokens, else missing.
        ``role``
            ``decoder`` where later tokens cannot change earlier ones, else ``encoder``.
        ``part``
            Which half of an encoder-decoder was measured; of other models missing.
        ``corpus``, ``window``, ``seed``
            The text's name; the length of a window with its unit, as ``512 characters``; the seed.
        ``dtype``, ``quantised``, ``tuned``
            Precision that the model ran in; of a GGUF file how many weights it holds in which type,
            else missing; ``base``, ``instruct`` or ``contrastive`` by the catalogue, else missing.
        ``bos``, ``beginning``
            Whether a special token stands before each window; which, else missing.
        ``layer``, ``depth``, ``after_norm``
            The layer's number, 0 for the embedding; that number divided by the last one, from 0 to
            1; whether its vectors have passed the model's final norm.
        ``tokens``, ``removed``
            The token set; the share of the layer's vectors that it leaves out, from 0 to 1.
        ``metric``, ``centered``
            What was measured: ``anisotropy`` and ``average_cosine``, each centered and not; the
            dimensions ``two_nn``, ``two_nn_lowest20``, ``mada_k20``, ``mom_k20`` and ``mom_k100``,
            for which ``centered`` is missing, as it is for all that is not among the default:
            ``mada_median_k20``, ``mle_k20``, ``homology`` (whose ``std`` is over draws of
            subsamples); ``gride_1`` to ``gride_64``; ``two_nn`` and
            ``mada_k20`` of chosen vectors, with ``_half``, ``_quarter``, ``_eighth``,
            ``_other_windows``, ``_token_types`` or ``_last_tokens`` behind; the shares
            ``same_token``, ``same_window`` and ``adjacent``; and of two layers ``overlap_next``,
            ``overlap_last_layer``, ``imbalance_next``, ``imbalance_from_next``,
            ``imbalance_last_layer`` and ``imbalance_from_last_layer``, in the row of the first.
        ``value``, ``std``
            Mean and standard deviation over batches, as in the paper; no unit. Of one batch ``std``
            is missing.
        ``stderr``, ``groups``
            Standard error of the mean over so many disjoint groups of whole articles (of whole
            windows where there are few articles), because tokens of one window depend on each
            other, and windows of one article; missing where fewer than 6 windows were read. What a
            batch happens to hold it does not see: with long windows, where few vectors are first in
            theirs, a ``std`` of many times ``stderr`` says that the mean over batches hangs on the
            draw. For a dimension, a group's value is that at its own points, their neighbours
            sought among the points of all groups.
        ``by_group``
            The value in each of these groups, in their order, apart by blanks; empty where there
            are too few windows for groups.
        ``batches``, ``batch_size``, ``n``
            Batches measured (of ``mom_k100`` one, since it costs twice as much, and of all that is
            not a dimension of 20 neighbours), vectors of one, and of all.
        ``duplicates``
            Exact copies that were removed before the neighbour searches of all batches.
    :raises ShapelibError: for anything that `load`, `load_corpus` or `pool` refuses, for fewer
        tokens than one batch, for a metric that there is not (the nearest are named) or that batch,
        windows or tokens are too few for, and for a layer that cannot be measured.
    """
    asked = Measuring(
        tokens=tokens, window=window, unit=unit, batch=batch, sets=sets, seed=seed,
        metrics=metrics, beginning=beginning, least_windows=least_windows,
    )  # fmt: skip
    text = text if isinstance(text, corpus.Corpus) else corpus.load_corpus(text)
    source = _source_of(model, part)

    def measure() -> pd.DataFrame:
        started = time.perf_counter()
        loaded = model if isinstance(model, loading.Model) else None
        loaded = loaded or loading.load(source, device=device, dtype=dtype, part=part)
        cut = corpus.windows(text, window, unit, tokenizer=loaded.tokenizer, seed=seed)
        return measured(loaded, text, cut, asked, started, memory, progress)

    # The weights of a loaded model may have changed since: only files can vouch for a kept table.
    if not reuse or isinstance(model, loading.Model):
        return measure()
    where = str(loading.pick_device(device))
    kept = key(source, text, asked, device=where, dtype=dtype, part=part)
    return tables.cached(cache.named(source.name, kept), measure)


def measured(
    model: loading.Model,
    text: corpus.Corpus,
    cut: Iterable[corpus.Window],
    asked: Measuring,
    started: float,
    memory: float = MEMORY,
    progress: bool = False,
) -> pd.DataFrame:
    """The table of `profile` for a loaded model that reads these windows of a text.

    cut: what `corpus.windows` gives for what is asked. started: by `time.perf_counter`.
    """
    rows: list[dict[str, object]] = []
    kept: dict[tuple[str, int], further.Kept] = {}
    facts: dict[str, int] = {}
    first: str | None = None
    for held in pool.passes(
        model, cut, asked.tokens, seed=asked.seed, memory=memory, beginning=asked.beginning,
        least_windows=asked.least_windows, progress=progress,
    ):  # fmt: skip
        facts, first = _counts(held, asked.tokens, asked.batch), held.beginning
        rows += _measure(held, model.name, asked, progress, kept)
        count = groups_of(held, asked.tokens, asked.batch)
        dealt = held.grouped(max(count, 1))
    rows += further.between(kept, dealt, count, asked.metrics)
    table = _table(rows, model, first, text, asked)
    table.attrs["provenance"] = [run_facts(model, text, facts, started, **asked.as_dict())]
    return table


def _source_of(
    model: str | Path | loading.Source | loading.Model, part: str | None
) -> loading.Source:
    """Where a model is, of which this part can be measured; its weights need not be there yet."""
    if isinstance(model, loading.Model):
        if part not in (None, model.part):
            raise ShapelibError(f"part is {part!r}, but {model.name} was loaded as {model.part!r}")
        return model.source
    source = model if isinstance(model, loading.Source) else loading.find(model, fetch=False)
    halves.check(part, source)
    return source


def key(
    source: loading.Source,
    text: corpus.Corpus,
    asked: Measuring,
    *,
    device: str,
    dtype: str,
    part: str | None,
) -> str:
    """A key of everything that a measurement depends on: equal keys, equal numbers."""
    return keys.key_of(
        source.name, source.fingerprint, source.checkpoint, source.step, source.tokens_seen,
        text.name, text.sha256, asked.as_dict(), part, dtype, device,
        keys.code_of(profile),
    )  # fmt: skip


def _counts(pooled: pool.Pool, tokens: int, batch: int) -> dict[str, int]:
    n = len(pooled.order)
    return {
        "windows": pooled.windows, "all": n, "content": len(pooled.rows("content")),
        "dropped_all": n - tokens // batch * batch,
    }  # fmt: skip


def _measure(
    pooled: pool.Pool,
    name: str,
    asked: Measuring,
    progress: bool,
    kept: dict[tuple[str, int], further.Kept] | None = None,
) -> list[dict[str, object]]:
    """Rows of layer, token set and metric with their values; for `kept` see `measure_layer`."""
    from tqdm import tqdm

    further.check(pooled, asked)
    kept = {} if kept is None else kept
    layers = list(pooled.states)
    at_once = torch.get_num_threads()
    rows: list[dict[str, object]] = []
    with tqdm(
        total=len(layers), unit="layer", desc=f"{name}: measuring",
        disable=None if progress else True,
    ) as bar:  # fmt: skip
        for start in range(0, len(layers), at_once):
            some = layers[start : start + at_once]

            def work(first: int, last: int, some: list[int] = some) -> list[dict[str, object]]:
                measured = (
                    measure_layer(pooled, each, name, asked, kept) for each in some[first:last]
                )
                return [row for layer in measured for row in layer]

            # Whole layers, a thread each: nothing waits for another thread but at the end.
            rows += [row for part in in_threads(len(some), work, 1) for row in part]
            bar.update(len(some))
    return rows


COLUMNS = {
    "model": "str", "checkpoint": "str", "step": "Int64", "tokens_seen": "Int64", "role": "str",
    "part": "str", "corpus": "str", "window": "str", "seed": "int64", "dtype": "str",
    "quantised": "str", "tuned": "str", "bos": "bool", "beginning": "str",
    "layer": "int64", "depth": "float64", "after_norm": "bool", "tokens": "str",
    "removed": "float64", "metric": "str",
    "centered": "boolean", "value": "float64", "std": "float64", "stderr": "float64",
    "by_group": "str",
    "batches": "int64", "batch_size": "int64", "groups": "int64", "n": "int64",
    "duplicates": "int64",
}  # fmt: skip
"""The columns of a shape table, in order, with their pandas types."""


def _table(
    rows: Iterable[dict[str, object]],
    model: loading.Model,
    beginning: str | None,
    text: corpus.Corpus,
    asked: Measuring,
) -> pd.DataFrame:
    table = pd.DataFrame(list(rows))
    table["model"] = model.name
    source = model.source
    table["checkpoint"] = source.checkpoint or source.revision or "final"
    table["step"] = pd.NA if source.step is None else source.step
    table["tokens_seen"] = pd.NA if source.tokens_seen is None else source.tokens_seen
    table["role"] = model.role
    table["part"] = model.part
    table["corpus"] = text.name
    table["window"] = f"{asked.window} {asked.unit}"
    table["seed"] = asked.seed
    table["dtype"] = model.dtype
    table["quantised"] = model.quantised
    table["tuned"] = source.tuned
    table["bos"], table["beginning"] = beginning is not None, beginning
    table["depth"] = table["layer"] / model.layers
    table["after_norm"] = (table["layer"] == model.layers) & model.after_norm
    table = table.sort_values(["tokens", "layer"], kind="stable", ignore_index=True)
    return table[list(COLUMNS)].astype(COLUMNS)
