"""Keys are true: what changes a number changes its key, and nothing else does."""

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from stress import some

from shapelib.store import keys

ROOT = Path(__file__).parents[2]


def test_keys_depend_on_content_only():
    assert keys.key_of({"a": 1, "b": 2}) == keys.key_of({"b": 2, "a": 1})
    assert keys.key_of({"a": 1}) != keys.key_of({"a": 2})


CODE = '''"""What it is for."""
from __future__ import annotations

LONG = "kept"


class Point:
    """Where."""

    x: float
    """Across, in metres."""


def moved(point):
    """Another point."""
    step = 2
    x = point.x
    return x + step


async def later():
    """Soon."""
'''


@pytest.fixture
def hash_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The hash of a module with this source."""
    monkeypatch.setattr(keys, "_ROOT", tmp_path)

    def hashed(source: str) -> str:
        (tmp_path / "written.py").write_text(source)
        return keys.hash_of(keys.closure(["written"], ["written"]))

    return hashed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("What it is for.", "What else it is for."),
        ("Where.", "Where it lies."),
        ('"""Where."""', ""),
        ("Across, in metres.", "Across."),
        ("Another point.", "A point further on."),
        ("Soon.", "In a while."),
        ("step = 2", "step = 2  # to the right"),
        ("step = 2", "\n    step  =  (2)"),
        ("step = 2", '"not a docstring, and not run"\n    step = 2'),
    ],
)
def test_words_do_not_change_the_hash_of_code(
    hash_of: Callable[[str], str], before: str, after: str
):
    assert before in CODE
    assert hash_of(CODE) == hash_of(CODE.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("step = 2", "step = 3"),
        ("step = 2", "step = 2.0"),
        ("step = 2\n    x = point.x", "x = point.x\n    step = 2"),
        ('LONG = "kept"', 'LONG = "lost"'),
        ("from __future__ import annotations", ""),
        ("x: float", "x: int"),
        ("return x + step", "return x - step"),
        ("async def", "def"),
        ("step = 2", "step = 2; print()"),
    ],
)
def test_code_changes_its_hash(hash_of: Callable[[str], str], before: str, after: str):
    assert before in CODE
    assert hash_of(CODE) != hash_of(CODE.replace(before, after))


# ---- the code that measures, found along its imports

MEASURING = {
    "profile": "shapelib.states.profile",
    "fine-tuning": "shapelib.finetuning.one_run",
    "pre-training": "shapelib.pretraining.training",
    "cleaning": "shapelib.text.cleaning",
    "dissection": "shapebook.experiments.dissect",
    "interventions": "shapebook.experiments.interventions",
    "validation": "shapebook.experiments.validation",
}


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of both packages that keys are made of."""
    for name in ("shapelib", "shapebook"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    monkeypatch.setattr(keys, "_ROOT", tmp_path)
    return tmp_path


def closure(module: str) -> keys.Code:
    return keys.closure([module], [module.split(".")[0]])


def moved(copy: Path, hashed: Callable[[], str]) -> set[str]:
    """The modules whose change by a line changes a hash."""
    before, found = hashed(), set()
    for package in ("shapelib", "shapebook"):
        for file in (copy / package).rglob("*.py"):
            source = file.read_text()
            file.write_text(f"{source}\nCHANGED = 1\n")
            if hashed() != before:
                name = ".".join(file.relative_to(copy).with_suffix("").parts)
                found.add(name.removesuffix(".__init__"))
            file.write_text(source)
    assert hashed() == before
    return found


@pytest.mark.parametrize("name", some(MEASURING, 2))
def test_a_key_follows_every_module_that_is_run_and_no_other(copy: Path, name: str):
    code = closure(MEASURING[name])
    found = moved(copy, lambda: keys.hash_of(closure(MEASURING[name])))
    assert found == set(code.modules)
    assert MEASURING[name] in found
    for outside in ("shapelib", "shapelib.cli.app", "shapelib.figures", "shapebook.pages.build"):
        assert outside not in found


def test_keys_hold_what_lists_typed_by_hand_missed():
    found = {name: set(closure(module).modules) for name, module in MEASURING.items()}
    # What decides the groups of SAID, and the loops of the projections.
    assert {"shapelib.subspace.trainable", "shapelib.subspace.hadamard"} < found["fine-tuning"]
    # What cuts the training windows, and the held-out ones.
    assert {"shapelib.text.corpus", "shapelib.text.held_out"} < found["pre-training"]
    assert "shapelib.models.masks" in found["dissection"] & found["validation"]
    assert {"shapelib.geometry.points", "shapelib.states.layer"} < found["interventions"]


def test_imports_are_followed_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keys, "_ROOT", tmp_path)
    package = tmp_path / "shapelib"
    package.mkdir()
    table = '{"late": "lazy", "never": "unused"}'
    (package / "__init__.py").write_text(f"_HOME = {table}\n")
    for name in ("top", "inside", "lazy", "preloaded", "idle", "unused", "relative"):
        (package / f"{name}.py").write_text(f"from shapelib import {name}\nimport numpy.linalg\n")
    (package / "start.py").write_text(
        "import shapelib.top\nfrom typing import TYPE_CHECKING\nfrom . import relative\n"
        "if TYPE_CHECKING:\n    from shapelib import idle\n"
        "def measure():\n    from shapelib.inside import x\n    from shapelib import late\n"
        "SLOW = ('shapelib.preloaded', 'shapelib.nothing')\n"
    )
    code = keys.closure(["shapelib.start"])
    reached = ("inside", "lazy", "preloaded", "relative", "start", "top")
    assert list(code.modules) == [f"shapelib.{each}" for each in reached]
    assert code.packages == {"numpy"}
    (package / "start.py").write_text("from shapelib.gone import x\n")
    with pytest.raises(ModuleNotFoundError, match=r"no module shapelib\.gone"):
        keys.closure(["shapelib.start"])


# ---- the versions of what it computes with


@pytest.mark.parametrize("package", ["torch", "transformers", "tokenizers", "numpy"])
def test_keys_hold_versions(package: str, monkeypatch: pytest.MonkeyPatch):
    code = keys.closure(["shapelib.states.profile"])
    before, real = keys.hash_of(code), keys._version
    newer = lambda name: f"{real(name)}{'.post1' if name == package else ''}"  # noqa: E731
    monkeypatch.setattr(keys, "_version", newer)
    assert keys.hash_of(code) != before


def test_packages_that_only_carry_numbers_do_not_count(monkeypatch: pytest.MonkeyPatch):
    code = keys.closure(["shapelib.states.profile"])
    assert {"tqdm", "pandas"} < code.packages
    assert {"tqdm", "pandas"}.isdisjoint(keys.versions(code.packages))


def test_what_transformers_takes_up_by_itself_counts_where_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
):
    real = importlib.util.find_spec

    def there(name: str) -> object:
        return real("numpy") if name == "peft" else real(name)

    def absent(name: str) -> object:
        return None if name == "peft" else real(name)

    for find, counted in ((there, True), (absent, False)):
        monkeypatch.setattr(importlib.util, "find_spec", find)
        assert ("peft" in keys.versions(["transformers"])) == counted
        assert "peft" not in keys.versions(["numpy"])


def test_a_package_is_known_by_what_it_is_imported_as():
    assert keys.versions(["skdim", "nobody_has_this"]) == {
        "nobody_has_this": "not installed",
        "skdim": importlib.metadata.version("scikit-dimension"),
    }
