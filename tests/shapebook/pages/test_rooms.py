"""The page on how it is built says what is so, and its examples are changes that work."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shapebook.claims import judge
from shapebook.notebooks import notebook
from shapebook.pages import build, rooms
from shapelib.models import catalogue

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "book" / "house.md").read_text()
ENVIRONMENT = dict(os.environ)
README = (ROOT / "README.md").read_text()
EXAMPLES = dict(
    re.findall(r"^### (.+?)\n.*?^```(?:diff|python)\n(.*?)^```", PAGE, re.M | re.S)
)  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("shapelib", "shapebook", "tests"):
        # The loops that are compiled already come along: they take half a minute.
        ignored = shutil.ignore_patterns("*.pyc")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def applied(checkout: Path, example: str) -> None:
    command = ["git", "apply", "--recount", "-C1", "-"]
    done = subprocess.run(
        command, input=EXAMPLES[example], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_estimator(checkout: Path):
    applied(checkout, "An estimator")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["tests/geometry/test_metrics.py", "-k", "LocalMLE or every_metric"]
    done = subprocess.run(
        command, cwd=checkout, env={**ENVIRONMENT, "PYTHONPATH": str(checkout)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert re.search(r"^1[0-9] passed", done.stdout, re.M), done.stdout


def test_a_model(checkout: Path):
    applied(checkout, "A model")
    found = catalogue.read(checkout / "shapelib" / "models" / "catalogue.yml")
    assert found["my-model"].caveat == "trained on code alone"
    assert set(found) - set(catalogue.models()) == {"my-model"}


def test_a_claim(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    before = judge.claims()
    applied(checkout, "A claim")
    monkeypatch.setattr(judge, "PATH", checkout / "shapebook" / "claims" / "claims.yml")
    claims = judge.claims.__wrapped__()
    assert set(claims) - set(before) == {"decoders-agree"}
    added = claims["decoders-agree"]
    assert added.rule in judge.RULES[added.table]
    assert f'judge("{added.id}", table)' in PAGE


def test_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("notebooks", "params"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES["A page"], "house.md", "exec"), {})
    (page,) = build.pages(tmp_path)
    assert (page.name, page.parameters) == ("mine", {"tokens": 8192})
    assert notebook.check(page.notebook, {"tokens": 600})["models"] == ["minilm-l6"]
    assert "shapelib.states.profile" in build.code(notebook.read(page.notebook)).modules


def test_the_page_tells_of_every_room():
    told = PAGE.split("## The rooms")[1].split("## How a table travels")[0]
    alone = ("run.py",)
    for room in rooms.rooms(ROOT):
        assert (
            f"`{room.name.removesuffix('.py')}`" in told
            or f"`{room.name}`" in told
            or (room.name in alone)
        ), room.name
    shown = re.search(r"^:alt: (.*)$", PAGE, re.M)
    assert shown is not None
    for room in rooms.rooms(ROOT):
        assert room.name.lower() in shown[1].lower(), room.name


def test_a_room_stands_on_what_it_uses():
    built = [each for each in rooms.rooms(ROOT) if each.package == "shapelib"]
    order = [{each.name for each in floor} for floor in rooms.floors(built)]
    assert order[0] == {"errors.py", "face.py", "processor.py", "threads.py"}
    assert order[-1] == {"cli"}
    for number, floor in enumerate(order):
        below = {name.removesuffix(".py") for each in order[:number] for name in each}
        for room in built:
            if room.name in floor:
                assert room.uses - {"figures"} <= below | {"figures"}


def test_the_picture_holds_every_room_with_its_lines():
    drawn = rooms.picture(ROOT)
    for room in rooms.rooms(ROOT):
        assert f">{room.name}</text>" in drawn
        assert f">{room.lines} lines</text>" in drawn
    assert drawn.count("#cfe3f2") == len(rooms.TO_TRUST)


def test_the_readme_says_how_much_there_is_to_read():
    """To within a twentieth: a readme is no place for a number of every commit."""
    told = re.search(r"`geometry`, `text`, `models`, `states`: (\d+) lines of (\d+)", README)
    assert told is not None
    counted = {row[0]: int(row[3]) for row in rooms.rows(ROOT)}
    for said, label in zip(
        told.groups(), ("geometry, text, models, states together", "all of shapelib"), strict=True
    ):
        assert int(said) == pytest.approx(counted[label], rel=0.05)
