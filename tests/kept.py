"""What a store of cells holds, as tests look at it from outside."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path


def finished(output: Path) -> dict[str, tuple[int, int]]:
    """Each finished cell, and what changes when it is written again; others may write meanwhile."""
    found = {}
    for each in (output / "cells").glob("[!.]*.parquet"):
        with contextlib.suppress(FileNotFoundError):
            found[each.name] = (each.stat().st_ino, each.stat().st_mtime_ns)
    return found


@contextlib.contextmanager
def without_a_cell(whole: Path, output: Path) -> Iterator[None]:
    """`output` is a copy of a store without one of its cells; in the end that one alone is new."""
    shutil.copytree(whole, output)
    before = finished(output)
    (output / "cells" / min(before)).unlink()
    yield
    after = finished(output)
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == [min(before)]
