"""What the package promises about itself: light to import, one source of dependencies."""

import re
import subprocess
import sys
from collections.abc import Iterable

import imports
import pytest
import yaml
from imports import PROJECT, ROOT

import shapelib


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
    return {imports.normal(each) for each in requirements}


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
    asked = names(PROJECT["dependencies"]) | extras("test")
    for module in imports.modules():
        used = {each.split(".")[0] for each in imports.of_module(module)} - {*imports.OWN}
        for package in used - sys.stdlib_module_names:
            assert imports.providers(package) & asked, (module, package)


def test_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == shapelib.__version__
    assert f"## {shapelib.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_readme_names_what_exists():
    readme = (ROOT / "README.md").read_text()
    targets = re.findall(r"^make (\w+)", readme, re.M)
    assert {"book", "test"} <= set(targets)
    done = subprocess.run(
        ["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for path in re.findall(r"\]\(((?!https?:)[^)#]+)\)", readme):
        assert (ROOT / path).exists(), path
