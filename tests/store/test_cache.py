"""Entries are whole or absent: killed builds leave nothing, damage is noticed and rebuilt."""

import errno
import logging
import multiprocessing
import shutil
import time
from pathlib import Path

import pytest

from shapelib.errors import ShapelibError
from shapelib.store import cache

pytestmark = pytest.mark.usefixtures("own_cache")


def write(text: str):
    def build(folder: Path) -> None:
        (folder / "inside").mkdir()
        (folder / "inside" / "file.txt").write_text(text)

    return build


def refuse(folder: Path) -> None:
    raise AssertionError("this entry must not be built again")


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process: nothing was verified yet."""
    monkeypatch.setattr(cache, "_verified", set())


def test_an_entry_is_built_once():
    first = cache.entry("tables", "key", write("one"))
    assert (first / "inside" / "file.txt").read_text() == "one"
    assert cache.entry("tables", "key", refuse) == first


@pytest.mark.parametrize("damage", ["content", "missing", "added", "manifest"])
def test_a_damaged_entry_is_noticed_and_built_again(damage: str, caplog: pytest.LogCaptureFixture):
    path = cache.entry("tables", "key", write("one"))
    cache._verified.clear()
    file = path / "inside" / "file.txt"
    if damage == "content":
        file.write_text("0ne")
    elif damage == "missing":
        file.unlink()
    elif damage == "added":
        (path / "more").touch()
    else:
        (path / cache.MANIFEST).write_text("{")
    with caplog.at_level(logging.WARNING, "shapelib"):
        again = cache.entry("tables", "key", write("two"))
    assert (again / "inside" / "file.txt").read_text() == "two"
    assert not (again / "more").exists()
    assert "tables/key is damaged" in caplog.text


def test_a_failed_build_leaves_nothing(own_cache: Path):
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.entry("tables", "key", fail)
    assert [each for each in (own_cache / "tables").iterdir() if each.suffix != ".lock"] == []
    assert (cache.entry("tables", "key", write("whole")) / "inside").is_dir()


def test_what_a_killed_build_left_is_swept_away(own_cache: Path):
    left = own_cache / "tables" / ".key.building-dead"
    left.mkdir(parents=True)
    cache.entry("tables", "key", write("whole"))
    assert not left.exists()


def _slow(folder: Path) -> None:
    time.sleep(0.5)
    (folder / "file").write_text(str(time.time_ns()))


def _ask(queue) -> None:
    queue.put((cache.entry("tables", "key", _slow) / "file").read_text())


def test_two_processes_build_one_entry_once():
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    both = [context.Process(target=_ask, args=(queue,)) for _ in range(2)]
    for each in both:
        each.start()
    results = {queue.get(timeout=60) for _ in both}
    for each in both:
        each.join()
    assert len(results) == 1


def test_list_and_clear():
    cache.entry("tables", "one", write("1"))
    cache.entry("models", "two", write("22"))
    assert {(each.kind, each.key) for each in cache.entries()} == {
        ("tables", "one"),
        ("models", "two"),
    }
    assert all(each.size > 0 for each in cache.entries())
    assert cache.clear(["tables"])[0] == 1
    assert [each.key for each in cache.entries()] == ["two"]
    cache.entry("tables", "one", write("again"))


def test_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ShapelibError, match="'table'; did you mean 'tables'"):
        cache.folder("table")
    (tmp_path / "file").touch()
    monkeypatch.setenv("SHAPELIB_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(ShapelibError, match="SHAPELIB_CACHE"):
        cache.folder("tables")


def test_a_cache_that_cannot_be_written_is_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("SHAPELIB_CACHE", str(file / "cache"))
    with pytest.raises(ShapelibError, match=r"file/cache cannot be written .*set SHAPELIB_CACHE"):
        cache.check()
    monkeypatch.setenv("SHAPELIB_CACHE", "/proc")
    with pytest.raises(ShapelibError, match="the cache folder /proc cannot be written"):
        cache.check()


def test_a_disk_that_is_nearly_full_is_said_before_anything_runs(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage(own_cache.parent)._replace(free=10**9)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage)
    cache.check(room=10**9)
    with pytest.raises(ShapelibError, match=r"has 1\.0 GB left and 1\.5 GB are needed; free some"):
        cache.check(room=15 * 10**8)


def test_a_cache_that_may_be_read_alone(own_cache: Path, monkeypatch: pytest.MonkeyPatch):
    """What it holds whole is taken; what it lacks cannot be made there, and that is said."""
    import filelock

    def read_only(_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    kept = cache.entry("tables", "kept", write("one"))
    damaged = cache.entry("tables", "damaged", write("one"))
    (damaged / "inside" / "file.txt").write_text("0ne")
    cache._verified.clear()
    monkeypatch.setattr(filelock.FileLock, "acquire", read_only)
    assert cache.entry("tables", "kept", refuse) == kept
    for key in ("damaged", "missing"):
        with pytest.raises(
            ShapelibError, match=r"cannot be written \(Read-only file system\); set"
        ):
            cache.entry("tables", key, refuse)


def test_a_disk_that_fills_up_while_an_entry_is_built(own_cache: Path):
    def build(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ShapelibError, match=r"No space left on device\); free some of its disk"):
        cache.entry("tables", "key", build)
    assert {each.name for each in (own_cache / "tables").iterdir()} == {".key.lock"}
