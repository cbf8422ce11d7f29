"""The command of the book as a reader meets it: right, and wrong on purpose."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from forked import forks

pytestmark = pytest.mark.usefixtures("own_cache")
MAIN = "from shapebook.run import main; main()"


def shapebook(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, words)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "120", **environment},
    )  # fmt: skip


def quick(*words: object) -> "subprocess.CompletedProcess[str]":
    """The same in a fork of a process that has imported the heavy packages."""
    return forks().run(*words, code=MAIN, environment={**os.environ, "COLUMNS": "120"})


def refused(*words: object) -> str:
    done = quick(*words)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_run_checks_parameters(tmp_path: Path):
    notebook = Path(__file__).parents[2] / "notebooks" / "profiles.ipynb"
    out = tmp_path / "out.ipynb"
    message = refused("run", notebook, "-p", "token=5", "--out", out)
    assert "has no parameter 'token'; did you mean 'tokens'" in message
    assert "known: tokens, " in message
    assert "is not name=value" in refused("run", notebook, "-p", "tokens", "--out", out)
    message = refused("run", notebook, "-p", "tokens=1e3x", "--out", out)
    assert "accepted: a whole number, such as -p tokens=" in message
    assert "no such notebook" in refused("run", tmp_path / "none.ipynb", "--out", out)
    message = refused("run", "profiles", "--out", out)
    assert "no such notebook: 'profiles'; did you mean 'notebooks/profiles.ipynb'?" in message
    assert "validation, what-makes-the-bell" in refused("run", "none", "--out", out)
    twice = ("-p", "tokens=5", "-p", "tokens=6")
    assert "-p gives tokens twice: 5 and 6" in refused("run", notebook, *twice, "--out", out)
    assert not out.exists()


def test_run_runs(decoder_folder: Path, text_file: Path, tmp_path: Path):
    notebook = Path(__file__).parents[2] / "notebooks" / "profiles.ipynb"
    out = tmp_path / "out.ipynb"
    done = shapebook(
        "run", notebook, "-p", f"models=['{decoder_folder}']", "-p", f"corpus={text_file}",
        "-p", "tokens=400", "-p", "batch=128", "-p", "window=60", "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "encoders are uniform: not testable here" in done.stdout
    assert f"written to {out} and {out.with_suffix('.html')}" in done.stdout
    assert out.is_file()
    assert "<svg" not in out.with_suffix(".html").read_text()
    assert "data:image/svg+xml;base64," in out.with_suffix(".html").read_text()
    assert "Anisotropy, layer by layer" in done.stderr
    assert "without encryption" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_nothing(number: signal.Signals, tmp_path: Path):
    """Nothing hidden beside the output, no kernel, and no traceback: while a cell runs, and while
    the kernel is starting."""
    import nbformat

    cells = [
        nbformat.v4.new_code_cell("seconds = 60", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            "import os, pathlib, time\npathlib.Path('kernel').write_text(str(os.getpid()))\n"
            "time.sleep(seconds)"
        ),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "slow.ipynb")
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", heard + MAIN, "run", "slow.ipynb", "--out", "out.ipynb"]
    for begun in (".run-*", "kernel"):
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=os.environ,
            cwd=tmp_path,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not any(tmp_path.glob(begun)) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 128 + number, said
        assert "Traceback" not in said
        assert ("interrupted; no notebook was written" in said) == (number == signal.SIGINT)
    left = {each.name for each in tmp_path.iterdir()} - {"cache"}
    assert left == {"slow.ipynb", "kernel"}
    assert not psutil.pid_exists(int((tmp_path / "kernel").read_text()))


def test_what_cannot_be_written_is_told_before_anything_runs(tmp_path: Path):
    notebook = Path(__file__).parents[2] / "notebooks" / "profiles.ipynb"
    (tmp_path / "book.ipynb").mkdir()
    message = refused("run", notebook, "--out", tmp_path / "book.ipynb")
    assert "book.ipynb' is a folder; give a file's name" in message
    (tmp_path / "page.html").mkdir()
    message = refused("run", notebook, "--out", tmp_path / "page.ipynb")
    assert "page.html' is a folder; give a file's name" in message
    message = refused("run", notebook, "--out", tmp_path / "none" / "page.ipynb")
    assert "none' does not exist; make it first" in message
    assert "must end in .ipynb" in refused("run", notebook, "--out", tmp_path / "page.html.md")
    if Path("/proc").is_dir():
        # Not even root writes here, though its permissions say so.
        message = refused("run", notebook, "--out", "/proc/p.ipynb")
        assert "the folder '/proc' cannot be written" in message


@pytest.mark.parametrize("words", [(), ("run",), ("build",), ("html",), ("record",)])
def test_help(words: tuple[str, ...]):
    done = quick(*words, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


@pytest.mark.parametrize("command", ["build", "record"])
def test_outside_a_checkout(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert "shapebook: no pages" in refused(command)


def test_show_makes_a_page_or_says_why_not(tmp_path: Path):
    made = own_profile(tmp_path / "mine.csv")
    page = tmp_path / "mine.html"
    done = quick("show", made, "--html", page)
    assert done.returncode == 0, done.stderr
    assert "mine (decoder): of the 4 layers that count, layer 2 is the highest" in done.stdout
    assert f"written to {page}" in done.stdout
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert "no such table" in refused("show", tmp_path / "none.csv")
    assert "must end in .html" in refused("show", made, "--html", tmp_path / "mine.pdf")
    (tmp_path / "other.csv").write_text("step,loss\n1,2\n")
    assert "is no table of shapelib profile: it has no column 'model'" in refused(
        "show", tmp_path / "other.csv", "--html", tmp_path / "other.html"
    )
    assert not (tmp_path / "other.html").exists()


def own_profile(path: Path) -> Path:
    """A profile as a hand could write it: four layers that count, one metric."""
    head = (
        "model,role,layer,depth,after_norm,tokens,removed,metric,centered,value,std,stderr,groups"
    )
    values = (0.3, 0.4, 0.9, 0.5, 0.4, 0.2)
    rows = [
        f"mine,decoder,{layer},{layer / 5},{layer == 5},all,0,anisotropy,True,{value},0.01,0.01,8"
        for layer, value in enumerate(values)
    ]
    path.write_text("\n".join([head, *rows, ""]))
    return path
