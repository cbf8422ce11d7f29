"""Every trial by its name: what is done to a command, how often, and what was lost by it."""

import functools
import random
from collections.abc import Callable
from pathlib import Path

from disturbed.commands import PAGE, SWEEP, TRAINING, TUNING, Row
from disturbed.kills import killed
from disturbed.starved import elsewhere, full, read_only, together

_KILLS = {
    "run": (PAGE, "`shapebook run`, killed"),
    "sweep": (SWEEP, "`shapelib sweep`, killed"),
    "training": (TRAINING, "a training run, killed"),
    "tuning": (TUNING, "`shapelib d90`, killed"),
}
ALL: dict[str, Callable[[Path, int, random.Random], Row | None]] = {
    **{
        name: functools.partial(killed, command, tried)
        for name, (command, tried) in _KILLS.items()
    },
    "workers": functools.partial(
        killed, SWEEP, "workers of `shapelib sweep --workers 2`, killed", workers=True
    ),
    "full disk": functools.partial(full, "a disk that is full at a random byte", disk=True),
    "full file": functools.partial(full, "a file that may not grow past a random byte", disk=False),
    "together": functools.partial(together, "two runs on one store"),
    "read-only": functools.partial(read_only, "a cache that cannot be written"),
    "elsewhere": functools.partial(elsewhere, "a cache on another file system"),
}  # fmt: skip
