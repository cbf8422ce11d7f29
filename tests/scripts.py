"""The scripts of ``results/`` as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script, as a module; those beside it can be imported by it."""
    monkeypatch.syspath_prepend(str(ROOT / "results"))
    spec = importlib.util.spec_from_file_location(f"made_{name}", ROOT / "results" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, found)
    monkeypatch.setattr(sys, "argv", [name])
    spec.loader.exec_module(found)
    return found
