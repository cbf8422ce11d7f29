"""Where a model goes and in which type of numbers: by its size, and by what is free."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shapelib.errors import ShapelibError, foreign, nearest
from shapelib.processor import bfloat16_units

if TYPE_CHECKING:
    import torch

_log = logging.getLogger("shapelib")
DTYPES = ("auto", "float32", "bfloat16", "float16")
LARGE = 2_000_000_000
"""Parameters above which ``dtype="auto"`` takes half precision on an accelerator."""
# The share of a device's free memory that weights may take: hidden states need room as well.
_SHARE = 0.8


@dataclass(frozen=True)
class Placement:
    """What was decided for one model."""

    device: "torch.device"
    dtype: str
    need: int
    """Bytes of its weights in that type."""
    share: dict[int | str, int] | None
    """Bytes that may be taken of every device, where it is spread over them."""


def place(folder: Path, name: str, device: str, dtype: str) -> Placement:
    """Decide for the weights in a folder; `device` and `dtype` as in `load`.

    Raises `ShapelibError` for an unknown device or dtype, and for weights that cannot be read.
    """
    import torch

    if dtype not in DTYPES:
        raise ShapelibError(f"no such dtype: {dtype!r}; {nearest(dtype, list(DTYPES))}")
    where = pick_device(device)
    size = count(folder, name)
    dtype = choose_dtype(dtype, size, where)
    warn_if_slow(name, dtype, where.type)
    need, free = size * getattr(torch, dtype).itemsize, room()
    here = free.get((where.index or 0) if where.type == "cuda" else "cpu", 0)
    if device != "spread" and (device != "auto" or need <= here * _SHARE):
        return Placement(where, dtype, need, None)
    _log.info(
        "%s takes %.1f GB in %s and %.1f GB are free on %s: it is spread out, which is slower",
        name, need / 1e9, dtype, here / 1e9, where,
    )  # fmt: skip
    share = {each: int(size * _SHARE) for each, size in free.items()}
    return Placement(where, dtype, need, share)


def warn_if_slow(name: str, dtype: str, where: str) -> None:
    """Tell of a model that is to run in bfloat16 on a processor without units for it."""
    if dtype == "bfloat16" and where == "cpu" and not bfloat16_units():
        _log.warning(
            "%s: this processor has no units for bfloat16, and may read several times slower in "
            "it than in float32", name,
        )  # fmt: skip


def pick_device(device: str) -> "torch.device":
    """The torch device of a name; ``auto`` is the first accelerator there is, else the CPU, and
    a model that is ``spread`` starts there."""
    import torch

    if device in ("auto", "spread"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise ShapelibError(
            f"device {device!r} cannot be used here ({first}); accepted: auto, spread, cpu, "
            "cuda, cuda:1, …"
        ) from error
    return chosen


def choose_dtype(dtype: str, parameters: int, device: "torch.device") -> str:
    """What ``auto`` means for a model of so many parameters on a device.

    On a processor float32, units or not: `results/precision.py` measures what bfloat16 changes.
    """
    if dtype != "auto":
        return dtype
    return "bfloat16" if device.type != "cpu" and parameters > LARGE else "float32"


def device_of(network: Any) -> "torch.device":
    """Where a network's inputs belong: of one that is spread out, the first accelerator."""
    import torch

    placed = getattr(network, "hf_device_map", None)
    if not placed:
        device: torch.device = _tensor(network).device
        return device
    return torch.device(next((d for d in placed.values() if d not in ("cpu", "disk")), "cpu"))


def dtype_of(network: Any) -> "torch.dtype":
    """The type of a network's numbers, by its first weight."""
    dtype: torch.dtype = _tensor(network).dtype
    return dtype


def _tensor(network: Any) -> Any:
    """A network's first parameter, or first buffer where it has none."""
    found = next(network.parameters(), None)
    found = next(network.buffers(), None) if found is None else found
    if found is None:
        raise ShapelibError(f"{type(network).__name__} has no weights: it cannot be measured")
    return found


def room() -> dict[int | str, int]:
    """Free bytes of every accelerator, by number, and of main memory (``cpu``)."""
    from accelerate.utils import get_max_memory

    return dict(get_max_memory())


def count(folder: Path, name: str) -> int:
    """Parameters in a folder's weight files, from their headers: no weight is read."""
    import torch
    from safetensors import safe_open

    total = 0
    safe = list(folder.glob("*.safetensors"))
    for file in safe or folder.glob("pytorch_model*.bin"):
        with foreign(f"{name} cannot be loaded: {file.name}"):
            if safe:
                with safe_open(file, "pt") as tensors:
                    shapes = [tensors.get_slice(key).get_shape() for key in tensors.keys()]  # noqa: SIM118
            else:
                stored = torch.load(file, map_location="meta", weights_only=True)
                shapes = [each.shape for each in stored.values() if torch.is_tensor(each)]
        total += sum(math.prod(shape) for shape in shapes)
    return total
