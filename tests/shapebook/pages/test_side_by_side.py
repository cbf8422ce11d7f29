"""Commands side by side: in order where they must be, told of by name, ended when one fails."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from shapebook.pages import side_by_side
from shapebook.pages.side_by_side import Job, run
from shapelib.errors import ShapelibError

CORES = side_by_side.cores()


def job(name: str, code: str, after: str | None = None, weight: float = 0.0) -> Job:
    return Job(name, (sys.executable, "-c", textwrap.dedent(code)), after, weight)


def noted(folder: Path, name: str, after: str | None = None, weight: float = 0.0) -> Job:
    """A job that writes down that it began, waits a moment, and writes down that it ended."""
    code = f"""
        import time
        def note(word):
            with open({str(folder / "notes")!r}, "a") as file:
                file.write(f"{{word}} {name}\\n")
        note("began")
        time.sleep(0.4)
        note("ended")
    """
    return job(name, code, after, weight)


def notes(folder: Path) -> list[str]:
    return (folder / "notes").read_text().splitlines()


def test_two_run_at_a_time_and_no_more(tmp_path: Path):
    run([noted(tmp_path, name) for name in "abcd"], 2)
    running = most = 0
    for line in notes(tmp_path):
        running += 1 if line.startswith("began") else -1
        most = max(most, running)
    assert most == 2
    assert running == 0


def test_what_shares_is_run_after_what_it_shares_with(tmp_path: Path):
    run([noted(tmp_path, "late", after="first"), noted(tmp_path, "first")], 2)
    assert notes(tmp_path) == ["began first", "ended first", "began late", "ended late"]


def test_what_was_done_before_is_not_waited_for(tmp_path: Path):
    run([noted(tmp_path, "late", after="done-before")], 2)
    assert notes(tmp_path) == ["began late", "ended late"]


def test_what_others_wait_for_goes_first_then_the_heaviest(tmp_path: Path):
    jobs = [noted(tmp_path, "light"), noted(tmp_path, "heavy", weight=9.0)]
    jobs += [noted(tmp_path, "source"), noted(tmp_path, "late", after="source", weight=1.0)]
    run(jobs, 1)
    began = [line.split()[1] for line in notes(tmp_path) if line.startswith("began")]
    assert began == ["source", "heavy", "late", "light"]


def test_a_circle_is_refused():
    with pytest.raises(ShapelibError, match="each waits for another: a for b, b for a"):
        run([job("a", "", "b"), job("b", "", "a")], 2)


def test_lines_come_with_their_name_and_whole():
    told: list[str] = []
    code = "for n in range(50): print('line', n, flush=True)"
    run([job("a", code), job("b", code)], 2, told.append)
    assert sorted(told) == sorted(f"{name}: line {n}" for name in "ab" for n in range(50))


def test_each_has_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    code = "import os; print(os.environ['OMP_NUM_THREADS'])"
    run([job("a", code)], 2, told.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    run([job("a", code)], 2, told.append)
    assert told == [f"a: {max(1, CORES // 2)}", "a: 7"]


def test_one_that_fails_ends_the_run_and_others_finish(tmp_path: Path):
    bad = job("bad", "import sys; sys.exit('shapebook: page.ipynb failed in cell 3')", weight=9.0)
    jobs = [bad, noted(tmp_path, "beside", weight=8.0), noted(tmp_path, "later")]
    with pytest.raises(ShapelibError, match=r"^bad: page\.ipynb failed in cell 3$"):
        run(jobs, 2)
    assert notes(tmp_path) == ["began beside", "ended beside"]


def test_what_it_said_is_kept_where_it_is_no_message_of_ours():
    with pytest.raises(ShapelibError, match=r"(?s)bad: it ended with 1.*ZeroDivisionError"):
        run([job("bad", "1 / 0")], 1)


def test_a_signal_ends_what_runs(tmp_path: Path):
    """As Ctrl-C in a script that is no terminal's: none is left behind."""
    child = tmp_path / "pid"
    code = f"""
        import sys
        from shapebook.notebooks import kernel
        from shapebook.pages import side_by_side
        work = "import os, time; open({str(child)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
        job = side_by_side.Job("long", (sys.executable, "-c", work))
        with kernel.stoppable():
            side_by_side.run([job], 1)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    until = time.monotonic() + 60
    while not (child.exists() and child.read_text()) and time.monotonic() < until:
        assert process.poll() is None, "it ended before anything ran"
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    pid = int(re.sub(r"\D", "", child.read_text()))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
