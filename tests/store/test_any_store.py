"""A store of which any byte may have changed: what was written, or one error; and never half."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stress import often

from shapelib.errors import ShapelibError
from shapelib.store import cache, tables
from shapelib.store.cells import Cells, open_store

KEYS = ("first", "second")


def table(model: str) -> pd.DataFrame:
    made = pd.DataFrame(
        {
            "model": [model] * 4, "layer": [0, 0, 1, 2], "step": pd.array([1, None, 3, 4], "Int64"),
            "value": [0.1, float("nan"), 1e-30, 3.5], "centered": [True, None, False, None],
            "by_group": ["0.1 0.2", "", "x", "0.3"],
        }
    )  # fmt: skip
    made["centered"] = made["centered"].astype("boolean")
    made.attrs["provenance"] = [tables.provenance(model=model, seed=0)]
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a store of two cells and their table, by their names."""
    folder = tmp_path_factory.mktemp("stores") / "whole"
    kept = open_store(folder, "shape")
    for key in KEYS:
        kept.write(key, table(key))
    found = [each for key in KEYS if (each := kept.read(key)) is not None]
    tables.write_table(tables.combine(found), folder / "table.parquet")
    tables.write_table(found[0], folder / "table.csv")
    return {
        str(each.relative_to(folder)): each.read_bytes()
        for each in sorted(folder.rglob("*"))
        if each.is_file() and each.suffix != ".lock"
    }


@pytest.fixture
def folder(tmp_path: Path, whole: dict[str, bytes]) -> Path:
    (tmp_path / "cells").mkdir()
    return tmp_path


def spoiled(content: bytes, share: float, flip: int, kind: str) -> bytes:
    at = min(int(share * len(content)), len(content) - 1)
    if kind == "cut":
        return content[:at]
    if kind == "more":
        return content[:at] + bytes([flip]) + content[at:]
    return content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :]


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected)
    assert found.attrs["provenance"] == expected.attrs["provenance"]


@settings(
    max_examples=often(100, 10_000), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data(), st.floats(0, 1), st.integers(1, 255), st.sampled_from(["flipped", "cut", "more"]))
def test_a_store_with_a_byte_changed(
    folder: Path, whole: dict[str, bytes], data: st.DataObject, share: float, flip: int, kind: str
) -> None:
    name = data.draw(st.sampled_from(sorted(whole)))
    for each, content in whole.items():
        changed = spoiled(content, share, flip, kind) if each == name else content
        (folder / each).write_bytes(changed)
    store = Cells(folder)
    for key in KEYS:
        if (found := store.read(key)) is not None:
            same(found, table_of(whole, key))
    for file in ("table.parquet", "table.csv"):
        try:
            found = tables.read_table(folder / file)
        except ShapelibError as error:
            said = str(error)
        else:
            said = "table"
            if file == "table.parquet":
                both = tables.combine([table_of(whole, key) for key in KEYS])
                same(found, both)
        assert "table" in said
        assert said == "table" or name.startswith("table"), "what is whole is read"
    try:
        opened = open_store(folder, "shape")
    except ShapelibError:
        assert name == "store.json"
        return
    # What was damaged is written anew, whole, and nothing else is left.
    opened.write(KEYS[0], table_of(whole, KEYS[0]))
    again = opened.read(KEYS[0])
    assert again is not None
    same(again, table_of(whole, KEYS[0]))
    assert [each.name for each in folder.rglob(".*")] == []


_TABLES: dict[str, pd.DataFrame] = {}


def table_of(whole: dict[str, bytes], key: str) -> pd.DataFrame:
    """A cell as it was written, read once from what is whole."""
    if key not in _TABLES:
        import tempfile

        with tempfile.TemporaryDirectory() as place:
            (Path(place) / "cells").mkdir()
            store = Cells(Path(place))
            store.path(key).write_bytes(whole[f"cells/{key}.parquet"])
            found = store.read(key)
        assert found is not None
        _TABLES[key] = found
    return _TABLES[key]


@settings(
    max_examples=often(60, 10_000), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data(), st.floats(0, 1), st.integers(1, 255), st.sampled_from(["flipped", "cut", "more"]))
def test_an_entry_of_the_cache_with_a_byte_changed(
    tmp_path: Path, data: st.DataObject, share: float, flip: int, kind: str
) -> None:
    """It is what was kept, or made again: never what somebody else has written over it."""

    def build(place: Path) -> None:
        (place / "inside").mkdir()
        (place / "inside" / "a.txt").write_text("what was kept")
        (place / "b.txt").write_text("more of it" * 9)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHAPELIB_CACHE", str(tmp_path / "cache"))
        patch.setattr(cache, "_verified", set())
        path = cache.entry("tables", "key", build)
        files = sorted(each for each in path.rglob("*") if each.is_file())
        file = data.draw(st.sampled_from([each.relative_to(path) for each in files]))
        (path / file).write_bytes(spoiled((path / file).read_bytes(), share, flip, kind))
        cache._verified.clear()
        again = cache.entry("tables", "key", build)
        assert (again / "inside" / "a.txt").read_text() == "what was kept"
        assert (again / "b.txt").read_text() == "more of it" * 9
        left = {each.name for each in again.parent.iterdir()}
        assert left == {"key", ".key.lock"}
