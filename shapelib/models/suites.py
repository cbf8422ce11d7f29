"""A suite: the checkpoints of one training run, from the catalogue or from one's own folder."""

import json
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from shapelib.errors import ShapelibError, is_whole_number
from shapelib.models import catalogue
from shapelib.models.sources import Source, find, has_tokenizer, tokenizer_hash
from shapelib.store import keys

_log = logging.getLogger("shapelib")
_ACCEPTED = (
    "'all', 'log:12' (so many, evenly over log step), '0,1000' or a list of steps is accepted"
)
Steps = str | Sequence[int]
"""``all``, ``log:12`` (so many, spread evenly over log step, the first and the last among them), or
steps: ``0,1000``, or a list of them."""


@dataclass(frozen=True)
class Checkpoint:
    """One folder of a suite, and how far it was trained."""

    folder: Path
    step: int
    tokens_seen: int | None


def is_folder(name: str | Path) -> bool:
    """Whether `name` is a folder of checkpoints: some folder in it holds a config.json.

    A folder that is a model itself is one, unless a whole checkpoint with a step lies in it: the
    parts of a sentence-transformers model have a config.json each.
    """
    path = Path(name).expanduser()
    inside = [each.parent for each in path.glob("*/config.json")] if path.is_dir() else []
    if not (path / "config.json").is_file() or _unfit(path):
        return bool(inside)
    return any(not _unfit(each) and _progress(each) for each in inside)


def is_suite(name: str | Path) -> bool:
    """Whether `name` means several checkpoints: a suite of the catalogue, or a folder of them."""
    return str(name) in catalogue.suites() or is_folder(name)


def sources(name: str | Path, steps: Steps = "all", *, allow_pickle: bool = False) -> list[Source]:
    """The chosen checkpoints of a suite, by step; each says its step and tokens seen.

    :param name: a suite of the catalogue, whose weights are fetched when they are loaded, or a
        folder, see `models.in_folder`.
    :param steps: ``all``, ``log:12`` (so many, spread evenly over log step), or a list of them.
    :param allow_pickle: as in `load`.
    :returns: a source for each, which `load` and `profile` take.
    :raises ShapelibError: for a step that is not there (the nearest are named), and for what
        `models.find` or `models.in_folder` refuses.
    """
    if str(name) not in catalogue.suites():
        return in_folder(name, steps, allow_pickle=allow_pickle)
    points = catalogue.suite(str(name)).checkpoints
    # A checkpoint without a step is the final one, or told by its tokens alone.
    known = [each.step for each in points if each.step is not None]
    wanted = None if steps == "all" else set(choose(str(name), steps, known))
    return [
        find(f"{name}@{each.name}", allow_pickle=allow_pickle, fetch=False)
        for each in points
        if wanted is None or each.step in wanted
    ]


Names = str | Path | Sequence[str | Path | Source]
"""A model, a suite or a folder of checkpoints, or several; a source is one found already."""


def models_and_suites(
    names: Names, steps: Steps = "all", *, allow_pickle: bool = False
) -> list[Source]:
    """The models of these names, and the chosen checkpoints of every suite among them, in order."""
    found: list[Source] = []
    for name in several(names):
        if isinstance(name, Source):
            found.append(name)
        elif is_suite(name):
            found += sources(name, steps, allow_pickle=allow_pickle)
        else:
            found.append(find(name, allow_pickle=allow_pickle))
    # Workers of a cluster may stand in another folder.
    return [replace(each, folder=each.folder.resolve()) for each in found]


_N = TypeVar("_N")


def several(given: str | Path | Sequence[_N]) -> list[str | Path | _N]:
    """A name or several of them as a list."""
    return [given] if isinstance(given, str | Path) else list(given)


def in_folder(
    folder: str | Path, steps: Steps = "all", *, allow_pickle: bool = False
) -> list[Source]:
    """The chosen checkpoints of one's own folder, by step; each says its step and tokens seen.

    Every folder in `folder` that holds a config.json and whole weights is a checkpoint. Its step
    comes from ``training.json`` (``step``, ``tokens_seen``), else from the ``trainer_state.json``
    of transformers' Trainer, else from the digits that end the folder's name (``step1000``,
    ``checkpoint-500``). One that is half written, or has no step, is left out and said by log. A
    checkpoint without a tokenizer takes the one of the suite's folder, else that of its last
    checkpoint that has one.

    :param folder: the folder of the checkpoints' folders.
    :param steps: as in `sources`.
    :param allow_pickle: as in `load`.
    :returns: a source for each, which `load` and `profile` take.
    :raises ShapelibError: for a folder without checkpoints, for two of one step, and for a step
        that is not there (the nearest are named).
    """
    path = Path(folder).expanduser()
    found = checkpoints(path)
    name = path.resolve().name
    if (path / "config.json").is_file():
        _log.info("%s: the model beside its checkpoints has no step and is left out", name)
    wanted = set(choose(name, steps, [each.step for each in found]))
    lender = _tokenizer(path, found)
    borrowers = []
    given = []
    for each in found:
        if each.step not in wanted:
            continue
        source = find(each.folder, allow_pickle=allow_pickle)
        if not has_tokenizer(each.folder):
            if lender is None:
                raise ShapelibError(
                    f"{name}: {each.folder.name} has no tokenizer, nor has the suite's folder or "
                    f"any other checkpoint; save one into {path} with save_pretrained"
                )
            borrowers.append(each.folder.name)
            both = keys.key_of(source.fingerprint, tokenizer_hash(lender))
            source = replace(source, tokenizer=lender, fingerprint=both)
        given.append(
            replace(
                source, name=name, checkpoint=each.folder.name, step=each.step,
                tokens_seen=each.tokens_seen,
            )
        )  # fmt: skip
    if borrowers:
        assert lender is not None
        whose = "the suite's folder" if lender == path else lender.name
        _log.info("%s: no tokenizer in %s: that of %s is used", name, _some(borrowers), whose)
    return given


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Every whole checkpoint in a suite's folder, by step."""
    found: dict[int, Checkpoint] = {}
    for config in sorted(folder.glob("*/config.json")):
        each = config.parent
        unfit = _unfit(each)
        progress = None if unfit else _progress(each)
        if unfit or progress is None:
            _log.info("%s is left out: %s", each.name, unfit or "it does not say its step")
            continue
        step, tokens_seen = progress
        if step in found:
            raise ShapelibError(
                f"{folder}: {found[step].folder.name} and {each.name} are both of step {step}; "
                "move one away"
            )
        found[step] = Checkpoint(each, step, tokens_seen)
    if not found:
        raise ShapelibError(
            f"{str(folder)!r} is not a suite: no folder in it holds a whole checkpoint with a "
            "config.json, safetensors weights and a step (in training.json, trainer_state.json or "
            "at the end of its name, as step1000)"
        )
    return [found[step] for step in sorted(found)]


def choose(name: str, steps: Steps, known: Sequence[int]) -> list[int]:
    """The steps asked for, in order: all that are known, so many of them, or a list of which each
    must be."""
    if isinstance(steps, str):
        if steps == "all":
            return sorted(known)
        count = re.fullmatch(r"log:(\d+)", steps)
        if count and int(count[1]) > 1:
            return spread(known, int(count[1]))
        if not re.fullmatch(r"\d+( *, *\d+)*", steps):
            raise ShapelibError(f"checkpoints is {steps!r}; {_ACCEPTED}")
        steps = [int(each) for each in steps.split(",")]
    if not steps:
        raise ShapelibError(f"checkpoints is an empty list; {_ACCEPTED}")
    for step in steps:
        if not is_whole_number(step):
            raise ShapelibError(f"a step is a whole number, got {step!r}")
        if step not in known:
            near = sorted(sorted(known, key=lambda each: abs(each - step))[:3])
            raise ShapelibError(
                f"{name} has no checkpoint of step {step}; the nearest: "
                f"{', '.join(map(str, near))}; it has {len(known)}, "
                f"from step {min(known)} to {max(known)}"
            )
    return sorted(set(steps))


def spread(known: Sequence[int], count: int) -> list[int]:
    """So many of some steps, evenly over log step as far as there are any: the first and the last
    always, step 0 besides the first that follows it. All of them where there are no more.

    >>> spread([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000], 5)
    [0, 1, 8, 128, 1000]
    """
    left = sorted(set(known))
    if len(left) <= count:
        return left
    taken = {left[-1], *(left[:1] if left[0] == 0 or count < 3 else ())}
    left = [step for step in left if step not in taken]
    first, last, wanted = math.log(max(left[0], 1)), math.log(max(taken)), count - len(taken)
    for place in range(wanted):
        aim = first + (last - first) * place / wanted
        nearest = min(left, key=lambda step: abs(math.log(step) - aim))
        taken.add(nearest)
        left.remove(nearest)
    return sorted(taken)


def _progress(folder: Path) -> tuple[int, int | None] | None:
    """Step and tokens seen, or None where nothing tells them."""
    ours = _json(folder / "training.json")
    if isinstance(step := ours.get("step"), int):
        seen = ours.get("tokens_seen")
        return step, seen if isinstance(seen, int) else None
    trainer = _json(folder / "trainer_state.json")
    if isinstance(step := trainer.get("global_step"), int):
        # The Trainer writes 0 where it was not told to count.
        return step, trainer.get("num_input_tokens_seen") or (0 if step == 0 else None)
    digits = re.search(r"(\d+)$", folder.name)
    return (int(digits[1]), None) if digits else None


def _unfit(folder: Path) -> str | None:
    """Why a folder is not a whole checkpoint, or None where it is one."""
    if (folder / "adapter_config.json").is_file():
        return "it holds an adapter: merge it first"
    if not _json(folder / "config.json"):
        return "its config.json cannot be read"
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = set(_json(index).get("weight_map", {}).values())
        files = [folder / each for each in sorted(shards)]
        if not files:
            return f"its {index.name} cannot be read"
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files:
        # Whether pickles may be read is decided where weights are loaded.
        return None if any(folder.glob("*.bin")) else "it has no weights"
    broken = [each.name for each in files if not is_whole(each)]
    return f"its {broken[0]} is half written" if broken else None


def is_whole(file: Path) -> bool:
    """Whether a safetensors file is there and as long as its header says; no weight is read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np"):
            return True
    except (OSError, SafetensorError):
        return False


def _tokenizer(suite: Path, found: list[Checkpoint]) -> Path | None:
    """Where a checkpoint without a tokenizer takes one from."""
    places = [suite, *(each.folder for each in reversed(found))]
    return next((each for each in places if has_tokenizer(each)), None)


def _json(file: Path) -> dict[str, Any]:
    """The mapping in a JSON file, empty where there is none that can be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{len(names)} checkpoints"
