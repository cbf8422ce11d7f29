"""What a load tells: whether weights and network belong together, and what needs no word.

Hidden states need the base network alone: a head in the file is left over, a pooler that it lacks
is made anew, and neither is used, but transformers warns of both. What else a report tells is kept,
and so is every report of loads that are not this package's.
"""

import logging
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shapelib.errors import ShapelibError

_log = logging.getLogger("shapelib")
_LOGGER = "transformers.modeling_utils"
# Tensors that older versions stored and newer ones compute.
_COMPUTED = re.compile(r"(?:inv_freq|masked_bias|attn\.bias|attention\.bias|position_ids)$")
_ROW = re.compile(
    r"^(\S+)\s+\|\s+(?:\x1b\[[\d;]*m)*(UNEXPECTED|MISSING|MISMATCH|CONVERSION)\b", re.M
)


def install() -> None:
    """Filter transformers' logger, imported or not; a second call changes nothing."""
    logger = logging.getLogger(_LOGGER)
    if not any(isinstance(each, _Expected) for each in logger.filters):
        logger.addFilter(_Expected())


class _Expected(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not (expected(record.getMessage()) and _loads_here())


def expected(message: str) -> bool:
    """Whether a message is a report of a load that tells of heads and poolers alone."""
    rows = _ROW.findall(message)
    return (
        "LOAD REPORT" in message
        and bool(rows)
        and all(
            status == "UNEXPECTED" or (status == "MISSING" and "pooler" in key)
            for key, status in rows
        )
    )


def _loads_here() -> bool:
    """Whether this package's code is what called."""
    frame = sys._getframe()
    while found := frame.f_back:
        name = str(found.f_globals.get("__name__", ""))
        if name.startswith("shapelib.") and name != __name__:
            return True
        frame = found
    return False


def check(network: Any, info: Any, name: str, part: str | None = None) -> None:
    """Raise `ShapelibError` where weights and network do not belong together, whatever read them.

    A network whose weights are partly missing would be measured with random ones, and one that is
    smaller than its weights as another model. Heads are no part of the network: what they leave
    over is no fault. A pooler is one too, and does not touch hidden states.
    """
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    if part == "encoder":
        missing = [key for key in missing if not key.startswith("decoder.")]
    if missing:
        raise ShapelibError(
            f"{name}: its files lack {len(missing)} weights of the network, the first {missing[0]}"
        )
    if mismatched := sorted(str(key) for key in info.get("mismatched_keys") or ()):
        raise ShapelibError(
            f"{name}: {len(mismatched)} weights have another shape than its config asks for, the "
            f"first {mismatched[0]}"
        )
    strangers, inside = _left_over(network, info["unexpected_keys"])
    if strangers:
        raise ShapelibError(
            f"{name}: its files hold {len(strangers)} weights of layers that its config does not "
            f"count, the first {strangers[0]}"
        )
    if inside:
        _log.warning(
            "%s: %d weights of its files have no place in the layers of %s, the first %s: is its "
            "config the right one?", name, len(inside), type(network).__name__, inside[0],
        )  # fmt: skip


def _left_over(network: Any, keys: Iterable[str]) -> tuple[list[str], list[str]]:
    """Of weights that found no place: those of layers beyond the network's, and those that would
    lie in its layers."""
    from torch import nn

    lists = {
        path: len(module)
        for path, module in network.named_modules()
        if isinstance(module, nn.ModuleList)
    }
    if not lists:
        return [], []
    base = re.escape(getattr(network, "base_model_prefix", "") or "-")
    paths = "|".join(re.escape(path) for path in sorted(lists, key=len, reverse=True))
    place = re.compile(rf"(?:{base}\.)?({paths})\.(\d+)\.")
    beyond: list[str] = []
    inside: list[str] = []
    for key in sorted(map(str, keys)):
        found = place.match(key)
        if found and not _COMPUTED.search(key):
            (beyond if int(found[2]) >= lists[found[1]] else inside).append(key)
    return beyond, inside


def check_whole(file: Path) -> None:
    """Raise `ShapelibError` for a GGUF file that is one part of several: the others would be made
    up."""
    import gguf

    parts = gguf.GGUFReader(file).get_field("split.count")
    count = int(parts.contents()) if parts else 1
    if count > 1:
        raise ShapelibError(
            f"{file.name} is one of {count} parts of a GGUF file; merge them into one first, with "
            "llama-gguf-split --merge of llama.cpp"
        )
