"""GGUF files: expanded to float32 once, and how each of their tensors was quantised."""

import contextlib
import functools
import io
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shapelib.errors import foreign
from shapelib.models import reports
from shapelib.store import cache, keys

_log = logging.getLogger("shapelib")
_NOTE = "quantised.txt"


def expanded(file: Path, name: str, fingerprint: str) -> Path:
    """The folder of a safetensors copy in float32, made once.

    Raises `ShapelibError` for a file that is damaged, is one part of several, or does not hold all
    weights of its network, and where the cache has no room for the copy.
    """
    import torch
    import transformers

    def build(target: Path) -> None:
        _log.info("dequantising %s to float32 once; later runs reuse it", name)
        # Its parser answers a damaged file in many ways.
        with foreign(f"{file.name} cannot be read as GGUF"), _bars_on_terminals_only(), _once():
            reports.check_whole(file)
            counts = weights_by_type(file)
            cache.check(4 * sum(counts.values()))
            network, info = transformers.AutoModel.from_pretrained(
                file.parent, gguf_file=file.name, dtype=torch.float32, output_loading_info=True
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        reports.check(network, info, file.name)
        # transformers refuses to save while it believes the weights are still quantised.
        del network.config.quantization_config
        network.hf_quantizer = None
        with _bars_on_terminals_only():
            network.save_pretrained(target)
        tokenizer.save_pretrained(target)
        (target / _NOTE).write_text(told(counts), encoding="utf-8")

    key = keys.key_of(fingerprint, "float32, types noted", transformers.__version__)
    return cache.entry("models", cache.named(name, key), build)


def quantised(folder: Path) -> str:
    """How the file was quantised that `expanded` made a folder of, as `told` tells it."""
    return (folder / _NOTE).read_text(encoding="utf-8")


def weights_by_type(file: Path) -> dict[str, int]:
    """How many weights a GGUF file holds in which type, such as ``Q4_K``: from its tensors."""
    import gguf

    counts: Counter[str] = Counter()
    for tensor in gguf.GGUFReader(file).tensors:
        counts[tensor.tensor_type.name] += int(tensor.n_elements)
    return dict(counts)


def told(counts: Mapping[str, int]) -> str:
    """Weights by type in words, the most first.

    >>> from shapelib.models.files.gguf_file import told
    >>> told({"F32": 56_000, "Q5_0": 63_406_080, "Q8_0": 169_246_720})
    '169 M in Q8_0, 63 M in Q5_0, 0.06 M in F32'
    """
    ordered = sorted(counts.items(), key=lambda each: -each[1])
    return ", ".join(
        f"{count / 1e6:.{0 if count >= 1e6 else 2}f} M in {kind}" for kind, count in ordered
    )


@contextlib.contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    """Progress bars for a step that takes half a minute, but none in a notebook or a log."""
    if sys.stderr.isatty():
        yield
    else:
        # Some of its bars heed no setting.
        with contextlib.redirect_stderr(io.StringIO()), quiet():
            yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars: a load takes about a second."""
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _once() -> Iterator[None]:
    """Within it, a GGUF file is parsed once, and the table of its tensors' names is made once.

    transformers does the first for the config, the weights and the tokenizer each, and the second
    for every part of the network; together that takes longer than all the rest.
    """
    import gguf

    found: Any = gguf
    reader, names = found.GGUFReader, gguf.get_tensor_name_map
    found.GGUFReader, found.get_tensor_name_map = functools.cache(reader), functools.cache(names)
    try:
        yield
    finally:
        found.GGUFReader, found.get_tensor_name_map = reader, names
