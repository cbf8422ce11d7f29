"""What make says where it cannot install, and that the next try goes on from there."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Stands for any Python: it keeps what it was asked, and fails where a file says so.
FAKE = """#!/bin/sh
echo "$@${{PYTHONDONTWRITEBYTECODE:+, and keeps nothing compiled}}" >> "{log}"
for word in {failing}; do
  case "$*" in *"$word"*) echo "ERROR: $word failed" >&2; exit 1;; esac
done
case "$*" in
  "-m venv"*) mkdir -p "$4/bin"; cp "{healthy}" "$4/bin/python";;
esac
"""
OFFLINE = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1",
}  # fmt: skip

HANDED_DOWN = ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "VENV", "PYTHON", "ROOM")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What make reads of a checkout; a Python of no fault at ``healthy``."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python(tmp_path, "healthy")
    return tmp_path


def python(checkout: Path, name: str, *failing: str) -> Path:
    """A Python that fails at what has one of these words in it."""
    file = checkout / name
    words = " ".join(f"'{word}'" for word in failing)
    file.parent.mkdir(parents=True, exist_ok=True)
    healthy, log = checkout / "healthy", checkout / "log"
    file.write_text(FAKE.format(log=log, failing=words, healthy=healthy))
    file.chmod(0o755)
    return file


def make(checkout: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # What make hands down to a make within it, as to `make test VENV=…`, is not this one's.
    own = {name: value for name, value in os.environ.items() if name not in HANDED_DOWN}
    return subprocess.run(
        ["make", "--no-print-directory", *words], cwd=checkout, capture_output=True, text=True,
        env={**own, **environment}, check=False,
    )  # fmt: skip


def said(run: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of a failed run that are not make's own."""
    return [line for line in run.stderr.splitlines() if not line.startswith("make:")]


def test_an_old_python_is_refused_before_anything_is_made(checkout: Path):
    old = checkout / "old"
    real = shutil.which("python3")
    old.write_text(
        "#!/bin/sh\n"
        f"exec {real} -c 'import sys; sys.version_info = (3, 10, 4); "
        'sys.version = "3.10.4 (main)"; exec(sys.argv[1])\' "$2"\n'
    )
    old.chmod(0o755)
    run = make(checkout, ".venv/.book", f"PYTHON={old}")
    assert run.returncode != 0
    (line,) = said(run)
    assert line.startswith("Python 3.11 or later is needed, this is 3.10.4")
    assert not (checkout / ".venv").exists()


def test_no_network_is_said_at_once_and_leaves_no_stamp(checkout: Path):
    started = time.monotonic()
    run = make(checkout, ".venv/.book", **OFFLINE)
    assert run.returncode != 0
    (line,) = said(run)
    assert "the package index does not answer, and nothing was installed" in line
    assert not (checkout / ".venv" / ".book").exists()
    # Half of it makes the environment; pip's own patience would be minutes.
    assert time.monotonic() - started < 60


def test_a_full_disk_is_said_before_anything_is_installed(checkout: Path):
    """As much room is asked for as no disk has, in place of a disk that has none."""
    made = checkout / ".venv" / "bin" / "python"
    made.parent.mkdir(parents=True)
    made.symlink_to(shutil.which("python3") or "")
    run = make(checkout, ".venv/.book", "ROOM=10000000")
    assert run.returncode != 0
    (line,) = said(run)
    assert line.startswith("the packages take 10000000 GB, and ")
    assert not (checkout / ".venv" / ".book").exists()


def test_what_pip_could_not_install_is_no_stamp_and_the_next_try_goes_on(checkout: Path):
    bad = python(checkout, "bad", "--editable")
    shutil.copy(bad, checkout / "healthy")
    run = make(checkout, ".venv/.book", f"PYTHON={bad}")
    assert run.returncode != 0
    assert said(run)[-1].startswith("not everything was installed")
    assert not (checkout / ".venv" / ".book").exists()
    python(checkout, ".venv/bin/python")
    assert make(checkout, ".venv/.book").returncode == 0
    assert (checkout / ".venv" / ".book").exists()
    assert make(checkout, "--question", ".venv/.book").returncode == 0


def test_an_environment_that_was_half_made_is_made_again(checkout: Path):
    python(checkout, ".venv/bin/python", "pip --version")
    run = make(checkout, ".venv/.book", f"PYTHON={checkout / 'healthy'}")
    assert run.returncode == 0, run.stderr
    assert "-m venv --clear .venv" in (checkout / "log").read_text()


def test_an_environment_of_the_users_own_is_kept(checkout: Path):
    """Such as one with another build of PyTorch in it."""
    python(checkout, ".venv/bin/python")
    assert make(checkout, ".venv/.test").returncode == 0
    assert "venv --clear" not in (checkout / "log").read_text()


def test_what_python_compiles_is_kept_whatever_the_environment_says(checkout: Path):
    """pip is told to compile nothing, so that each process would compile what it imports."""
    python(checkout, ".venv/bin/python")
    run = make(checkout, "test", PYTHONDONTWRITEBYTECODE="1")
    assert run.returncode == 0, run.stderr
    asked = (checkout / "log").read_text()
    assert "-m pytest" in asked
    assert "keeps nothing compiled" not in asked


def test_the_readme_gives_the_lines_that_make_runs():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    (program,) = re.findall(r"^book: .*\n\t\$\(BIN\)/(.*)$", makefile, re.M)
    assert f".venv/bin/{program}\n" in readme
    assert "--constraint constraints.txt --editable '.[models,book]'" in readme
