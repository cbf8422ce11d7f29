"""Workers of this machine: what they start with."""

import importlib
import subprocess
import sys

import pytest

from shapelib.errors import ShapelibError
from shapelib.finetuning import plan
from shapelib.states import sweep
from shapelib.store import workers


@pytest.mark.parametrize("name", [*sweep._SLOW, *plan._SLOW])
def test_what_workers_start_with_is_there(name: str):
    """The process that they fork from swallows the error of a module that is not."""
    assert importlib.import_module(name).__name__ == name


def test_a_module_that_is_not_there_is_told():
    pytest.importorskip("distributed")
    with (
        pytest.raises(ModuleNotFoundError, match=r"no module shapelib\.loop to preload"),
        workers._start_method(["shapelib.loop"]),
    ):
        pytest.fail("workers were started")


@pytest.mark.skipif(sys.platform != "linux", reason="workers fork on Linux alone")
def test_workers_fork_from_a_process_that_has_imported_what_they_need():
    """The module that measures among it, which nobody names."""
    pytest.importorskip("distributed")
    code = (
        "from shapelib.store import grid, workers\n"
        "from shapelib.finetuning import plan\n"
        "asked = []\n"
        "class Context:\n"
        "    def set_forkserver_preload(self, names): asked.extend(names)\n"
        "    def Process(self, target): raise SystemExit(' '.join(asked))\n"
        "import distributed.utils\n"
        "distributed.utils.get_mp_context = Context\n"
        "cell = type('Cell', (), {'where': 'cpu'})()\n"
        "names = (plan._measured.__module__, *plan._SLOW)\n"
        "with grid._engine([cell, cell], lambda _: 0, 2, None, names): pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    named = done.stderr.split()
    assert named == ["distributed", "shapelib.finetuning.plan", *plan._SLOW], done.stderr


def test_workers_that_do_not_start_are_told(monkeypatch: pytest.MonkeyPatch):
    """As when one is killed while it starts: whatever the engine raises then."""
    distributed = pytest.importorskip("distributed")

    def killed(**_: object) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "LocalCluster", killed)
    with (
        pytest.raises(ShapelibError, match=r"workers did not start, and the same .*: Nanny failed"),
        workers.local(2, 0, "cpu"),
    ):
        pytest.fail("workers were started")
