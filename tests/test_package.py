"""What the package promises about itself: light to import, one source of dependencies."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

import shapelib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.parametrize(
    "code",
    [
        *("import shapelib", "import shapelib.cli.app", "dir(shapelib)", "import shapebook.run"),
        *(
            "import shapelib.geometry, shapelib.store",
            "import shapelib.models; dir(shapelib.models)",
        ),
    ],
)
def test_importing_pulls_in_nothing_heavy(code: str):
    heavy = "('torch', 'transformers', 'numpy', 'pandas', 'matplotlib', 'scipy')"
    done = python(f"import sys, shapelib; {code}; print([m for m in {heavy} if m in sys.modules])")
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_every_name_is_importable():
    for name in shapelib.__all__:
        assert getattr(shapelib, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'anisotropi'"):
        shapelib.anisotropi  # noqa: B018


def test_environment_yml_is_true():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [each for each in environment["dependencies"] if isinstance(each, str)]
    pip = next(each["pip"] for each in environment["dependencies"] if isinstance(each, dict))
    python_line = next(each for each in conda if each.startswith("python"))
    assert python_line == f"python{PROJECT['requires-python']}"
    assert "pip" in conda
    assert f"--constraint {(ROOT / 'constraints.txt').name}" in pip
    editable = next(each for each in pip if each.startswith("--editable"))
    extras = re.search(r"\[(.*)\]", editable)
    assert extras is not None
    assert set(extras[1].split(",")) == set(PROJECT["optional-dependencies"])


def names(requirements: Iterable[str]) -> set[str]:
    """What requirements ask for, by the names that an index knows."""
    found = (re.match(r"[\w.-]+", each) for each in requirements)
    return {re.sub(r"[-_.]+", "-", each[0]).lower() for each in found if each}


def extras(*left_out: str) -> set[str]:
    given = PROJECT["optional-dependencies"]
    return {each for extra in given if extra not in left_out for each in names(given[extra])}


def test_constraints_pin_every_dependency():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = names(line for line in lines if not line.startswith("#"))
    assert (names(PROJECT["dependencies"]) | extras()) - pinned == set()
    assert "nvidia" not in (ROOT / "constraints.txt").read_text()


def test_what_the_library_imports_is_asked_for():
    """By itself, and not by something else that happens to bring it."""
    known = importlib.metadata.packages_distributions()
    asked = names(PROJECT["dependencies"]) | extras("test")
    ours = ("shapelib", "shapebook")
    for file in (file for package in ours for file in (ROOT / package).rglob("*.py")):
        for each in ast.walk(ast.parse(file.read_text())):
            used = [each.module] if isinstance(each, ast.ImportFrom) else []
            used += [name.name for name in each.names] if isinstance(each, ast.Import) else []
            for package in {name.split(".")[0] for name in used if name} - {
                "shapelib",
                "shapebook",
            }:
                if package not in sys.stdlib_module_names:
                    assert names(known.get(package, [package])) & asked, (file.name, package)


def test_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == shapelib.__version__
    assert f"## {shapelib.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_readme_names_what_exists():
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", readme, re.M)
    assert {"book", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M), target
    for path in re.findall(r"\]\(((?!https?:)[^)#]+)\)", readme):
        assert (ROOT / path).exists(), path
