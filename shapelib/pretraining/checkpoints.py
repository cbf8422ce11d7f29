"""The checkpoints of a training run: ordinary safetensors folders, each whole or not there."""

import itertools
import json
import logging
import pickle
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shapelib.models import loading, suites

RECORD = "training.json"
"""What a checkpoint says of itself."""
WORK = ".state"
"""The folder of what is no checkpoint: folders being written, and the newest state."""
_LATEST = "latest-"
_OPTIMIZER, _LOSSES = "optimizer.pt", "losses.npy"
_NAME = re.compile(r"step-(\d+)")
_log = logging.getLogger("shapelib")


def folder_of(step: int) -> str:
    """The folder name of a step, which sorts as steps do."""
    return f"step-{step:08d}"


def damage(folder: Path) -> str | None:
    """Why a folder is not a whole checkpoint, or None where it is one."""
    try:
        record(folder)["step"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"it has no {RECORD} that can be read"
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        if not (folder / name).is_file():
            return f"it has no {name}"
    if not suites.is_whole(folder / "model.safetensors"):
        return "its model.safetensors is cut off or damaged"
    return None


def whole(output: Path, say: bool = False) -> dict[int, Path]:
    """The whole checkpoints of a run by step, without half-written ones; `say` names those."""
    found = {}
    for folder in sorted(output.glob("step-*")):
        named = _NAME.fullmatch(folder.name)
        if named is None or not folder.is_dir():
            continue
        wrong = damage(folder)
        if wrong is None:
            found[int(named[1])] = folder
        elif say:
            _log.warning("%s is ignored: %s", folder, wrong)
    return found


def latest_of(step: int) -> Path:
    """The place of the newest state, which may lie between two checkpoints."""
    return Path(WORK, f"{_LATEST}{folder_of(step)}")


def begun(output: Path) -> bool:
    """Whether anything was trained in a folder, be it whole or not."""
    return any(output.glob("step-*")) or any(output.glob(f"{WORK}/{_LATEST}*"))


def save(
    output: Path,
    folder: str | Path,
    model: Any,
    tokenizer: Any,
    optimizer: torch.optim.Optimizer,
    losses: list[tuple[float, int]],
    facts: dict[str, Any],
) -> None:
    """Write a checkpoint from which training can go on, all of it or nothing.

    `folder`: its place below `output`. `losses`: mean loss and loss-bearing positions of each
    step so far.
    """
    building = Path(tempfile.mkdtemp(prefix="building-", dir=work(output)))
    folder = output / folder
    try:
        with loading.quiet():
            model.save_pretrained(building)
        tokenizer.save_pretrained(building)
        torch.save(optimizer.state_dict(), building / _OPTIMIZER)
        np.save(building / _LOSSES, np.array(losses, dtype=np.float64).reshape(-1, 2))
        (building / RECORD).write_text(json.dumps(facts, indent=1), "utf-8")
        # mkdtemp makes the folder private; a checkpoint is as readable as any new folder.
        building.chmod(0o755)
        # No folder can be renamed over a full one; a full one of this step is here only where it
        # is made again, being damaged.
        shutil.rmtree(folder, ignore_errors=True)
        building.replace(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def clear_leftovers(output: Path) -> None:
    """Delete what killed writers left; for the one process that trains in `output`."""
    for stale in work(output).glob("building-*"):
        shutil.rmtree(stale, ignore_errors=True)


def work(output: Path) -> Path:
    """The folder of what is no checkpoint, made if it is missing."""
    (output / WORK).mkdir(exist_ok=True)
    return output / WORK


def latest(output: Path) -> dict[int, Path]:
    """The newest state by its step, or nothing where there is none whole.

    A run that goes on may delete a state while another process looks; that one sees the next.
    """
    found = {}
    for folder in output.glob(f"{WORK}/{_LATEST}*"):
        try:
            if damage(folder) is None:
                found[record(folder)["step"]] = folder
        except FileNotFoundError:
            continue
    return dict([max(found.items())]) if found else {}


def drop_latest(output: Path, before: int | None = None) -> None:
    """Delete the states kept between checkpoints: those of steps before this one, or all."""
    for folder in output.glob(f"{WORK}/{_LATEST}*"):
        if before is None or folder.name < latest_of(before).name:
            shutil.rmtree(folder, ignore_errors=True)


def record(folder: Path) -> dict[str, Any]:
    """What a whole checkpoint says of itself."""
    found: dict[str, Any] = json.loads((folder / RECORD).read_text("utf-8"))
    return found


def risen(output: Path, steps: Sequence[int]) -> int | None:
    """The first of these steps at which held-out perplexity is above that at the one before it,
    among those whose checkpoints are whole; None where it rises at none."""
    kept = whole(output) if steps else {}
    exams = [(step, record(kept[step])["perplexity"]) for step in sorted(steps) if step in kept]
    return next(
        (late for (_, before), (late, after) in itertools.pairwise(exams) if after > before), None
    )


def losses(folder: Path) -> list[tuple[float, int]]:
    """Mean loss and loss-bearing positions of each step up to a checkpoint; none if not kept."""
    try:
        return [(float(loss), int(bearing)) for loss, bearing in np.load(folder / _LOSSES)]
    except (OSError, ValueError):
        return []


def restore(
    folder: Path, model: Any, optimizer: torch.optim.Optimizer
) -> list[tuple[float, int]] | None:
    """Fill model and optimizer from a checkpoint; its losses, or None where nothing could be read.

    The files beside the weights may have been deleted to save space.
    """
    device = next(model.parameters()).device
    known = losses(folder)
    try:
        moments = torch.load(folder / _OPTIMIZER, weights_only=True, map_location=device)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        _log.warning("training cannot go on from %s (%s)", folder, error)
        return None
    if len(known) != record(folder)["step"]:
        _log.warning("training cannot go on from %s (no %s of all steps)", folder, _LOSSES)
        return None
    # transformers' own way: names in its files differ from those in the network.
    with loading.quiet():
        model.load_state_dict(type(model).from_pretrained(folder).state_dict())
    optimizer.load_state_dict(moments)
    return known
