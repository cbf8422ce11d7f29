"""The commands that are disturbed, how to look at their stores, and a row of the table."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kept import finished

from disturbed import material
from disturbed.processes import SHAPELIB, Run, apart, prepare

RUN = "from shapebook.run import main; main()"
Found = dict[str, tuple[int, int]]


@dataclasses.dataclass
class Row:
    """A row of the table; None where a count has no meaning."""

    tried: str
    times: int = 0
    lost: int | None = 0
    """Finished work that was gone, and results that differ from those of an undisturbed run."""
    twice: int | None = 0
    """Finished work that was done again."""
    unnamed: int = 0
    """Ends with a traceback, or in silence."""

    def kept(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


@functools.cache
def ready(base: Path) -> Path:
    """The folder of the material, made once."""
    folder = base / "material"
    folder.mkdir()
    prepare()
    apart(lambda: material.make(folder))
    return folder


@dataclasses.dataclass
class Command:
    """A command that fills a store, and how to look at one."""

    code: str
    words: Callable[[Path, Path], list[object]]
    """From the material and the store."""
    done: Callable[[Path], Found]
    """Each finished part of a store, and what changes when it is made again."""
    same: Callable[[Path, Path], bool]
    """Whether two stores hold the same result, the second undisturbed."""
    clean: Callable[[Path], bool] = lambda _: True
    """Whether nothing half done is left in a store."""

    def start(
        self, at: Path, output: Path, most: int | None = None, cache: Path | None = None
    ) -> Run:
        (output / "store").mkdir(parents=True, exist_ok=True)
        said = output.parent / f"{output.name}.said"
        return Run(
            self.code, self.words(at, output / "store"), said, cache or output / "cache", most
        )


def _same_table(name: str, leaving: tuple[str, ...] = ()) -> Callable[[Path, Path], bool]:
    def same(one: Path, two: Path) -> bool:
        import pandas as pd

        from shapelib.store import tables

        found, expected = (
            tables.read_table(each / "store" / name).drop(columns=list(leaving), errors="ignore")
            for each in (one, two)
        )
        try:
            pd.testing.assert_frame_equal(found, expected, atol=1e-5)
        except AssertionError as error:
            print(f"{one}: another result: {error}", flush=True)
            return False
        return True

    return same


def _same_page(one: Path, two: Path) -> bool:
    import nbformat

    pages = [nbformat.read(each / "store" / "out.ipynb", as_version=4) for each in (one, two)]
    texts = [[each.get("text") for each in page.cells[-1].outputs] for page in pages]
    return texts[0] == texts[1] and bool(texts[0])


def _cells_only(output: Path) -> bool:
    return all(each.suffix == ".parquet" for each in (output / "store" / "cells").iterdir())


def _inodes(folder: Path, pattern: str) -> Found:
    return {
        str(each.relative_to(folder)): (each.stat().st_ino, each.stat().st_mtime_ns)
        for each in folder.glob(pattern)
    }


def _sweep(at: Path, out: Path) -> list[object]:
    return ["sweep", at / "suite", "--corpus", at / "story.txt", "--output", out, *material.SWEEP]


SWEEP = Command(
    SHAPELIB, _sweep, lambda output: finished(output / "store"), _same_table("table.parquet"),
    _cells_only,
)  # fmt: skip
SHORT = dataclasses.replace(
    SWEEP, words=lambda at, out: [*_sweep(at, out), "--checkpoints", "0,100,200,300"]
)
TUNING = Command(
    SHAPELIB,
    lambda at, out: ["d90", at / "encoder", at / "animals.csv", "--output", out, *material.TUNE],
    lambda output: finished(output / "store"), _same_table("table.parquet", ("seconds",)),
    _cells_only,
)  # fmt: skip
TRAINING = Command(
    material.TRAIN, lambda at, out: [at / "recipe", out],
    lambda output: _inodes(output / "store", "step-*/model.safetensors"),
    _same_table("training.parquet", ("seconds",)),
)  # fmt: skip
PAGE = Command(
    RUN,
    lambda at, out: ["run", at / "roots.ipynb", "--out", out / "out.ipynb"],
    lambda output: _inodes(output / "cache" / "tables", "square-root-*[0-9]/manifest.json"),
    _same_page,
)  # fmt: skip


def whole_run(command: Command, at: Path, folder: Path) -> Path:
    """The store of a run that nobody disturbs."""
    output = folder / "whole"
    if command.start(at, output).wait():
        raise RuntimeError((folder / "whole.said").read_text())
    return output
