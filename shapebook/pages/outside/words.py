"""Which words of verdicts a book that was made anew has otherwise than the recorded one."""

import json
from collections.abc import Iterable
from pathlib import Path

from shapebook.claims.records import Record, verdict
from shapelib.errors import ShapelibError

FILE = "claims.json"


def changed(recorded: Path, anew: Path) -> list[str]:
    """A line for each claim whose word, or what stands beside it, is another; none where all agree.

    :param recorded: a folder of executed pages; so is `anew`.
    :raises ShapelibError: where one of them has no records.
    """
    before, after = (_words(_read(folder)) for folder in (recorded, anew))
    named = dict.fromkeys([*before, *after])
    return [
        f"{claim}: {before.get(claim, 'not there')}, now {after.get(claim, 'not there')}"
        for claim in named
        if before.get(claim) != after.get(claim)
    ]


def _words(records: Iterable[Record]) -> dict[str, str]:
    return {f"{each['number']}. {each['title']}": verdict(each) for each in records}


def _read(folder: Path) -> list[Record]:
    file = folder / FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ShapelibError(
            f"{str(file)!r} holds no records of verdicts ({error}); shapebook build makes it"
        ) from error
    return list(found)
