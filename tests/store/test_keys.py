"""Keys are true: what changes a number changes its key, and nothing else does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shapelib.store import keys


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
def hash_of(tmp_path: Path) -> Callable[[str], str]:
    """The hash of a module with this source."""

    def hashed(source: str) -> str:
        (tmp_path / "written.py").write_text(source)
        return keys.hash_of(keys.closure(["written"], tmp_path))

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
