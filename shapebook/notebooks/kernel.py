"""Execute a notebook in a kernel of its own: encrypted, cell by cell, and with what it cost."""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from shapelib.errors import ShapelibError, heard, said

INSTALL = 'run: pip install "shapelib[models,book]", or in a checkout: pip install ".[models,book]"'
"""What to do where a package is missing that notebooks need."""
Told = Callable[[str], object]
"""Takes a piece of text about progress; lines end with a line break of their own."""


class CellFailed(ShapelibError):
    """A cell of a notebook failed; `of` is what it raised, where it is an error with fields."""

    def __init__(self, message: str, of: ShapelibError | None) -> None:
        super().__init__(message)
        self.of = of


def execute(
    notebook: Path, output: Path, given: Mapping[str, Any], told: Told | None = None
) -> int | None:
    """Execute a notebook with papermill; gives the kernel's peak memory in bytes.

    The memory is what the page's own process held at most (resident, files it maps included),
    without processes that it starts. Where the system keeps no such peak (it is Linux that does),
    the most seen at the end of a cell. None where no code cell ran.
    `told`: gets each code cell's place, section and seconds. Raises `ShapelibError` where papermill
    is not installed, and where a cell fails.
    """
    try:
        import papermill
        from traitlets.config import Config
    except ImportError as error:
        raise ShapelibError(f"running notebooks needs papermill; {INSTALL}") from error

    watch = _Watch(_sections(notebook, bool(given)), told)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(output),
            parameters=dict(given),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            log_output=False,
            # Messages to a kernel travel over local TCP; unless its manager hands out keys, the
            # kernel warns on stderr that they are not encrypted.
            config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            # The kernel's own log is of its sockets, which an interrupted run closes in the midst
            # of an answer; what a cell has to say, its errors too, comes as messages.
            extra_arguments=["--IPKernelApp.log_level=50"],
            on_cell_execute=watch.start,
            on_cell_executed=watch.executed,
        )
    except papermill.PapermillExecutionError as error:
        raise CellFailed(
            f"{notebook.name} failed in cell {error.exec_count}: {error.ename}: {error.evalue}",
            heard(error.ename, error.evalue),
        ) from error
    except Exception as error:  # a kernel that dies, or never starts: each client has its own
        if type(error).__name__ == "DeadKernelError":
            why = "its kernel died, as it does where memory runs out"
        else:
            why = said(error)
        raise ShapelibError(f"{notebook.name} failed {watch.place}: {why}") from error
    return watch.peak


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a run as an interrupt and an exit do: what is open is closed.

    The clients of a kernel that is still starting answer an interrupt with errors of their own
    (ZMQError), which say nothing to whoever pressed Ctrl-C. A signal that is ignored, or that
    somebody else handles, is left to them; outside the main thread nothing is changed.
    """
    stops: list[BaseException] = []

    def stop(number: int, _: object) -> None:
        # What was under way ends in errors that nobody is left to ask for.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        interrupt = number == signal.SIGINT
        stops.append(KeyboardInterrupt() if interrupt else SystemExit(128 + number))
        raise stops[-1]

    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {
        number: signal.signal(number, stop)
        for number, handler in usual.items()
        if threading.current_thread() is threading.main_thread()
        and signal.getsignal(number) == handler
    }
    try:
        yield
    except Exception:
        if stops:
            raise stops[0] from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Watch:
    """Follows a run from cell to cell: tells of each, and looks at the kernel's memory after it.

    papermill's own bar counts cells, and says neither which section one is of nor what it took; a
    log of pages that are made side by side needs lines, and not a bar.
    """

    def __init__(self, sections: dict[int, str], told: Told | None) -> None:
        self.sections, self.told = sections, told or (lambda text: None)
        self.peak: int | None = None
        self._done, self._since = 0, 0.0

    @property
    def place(self) -> str:
        """Where a run is, in words."""
        return f"in cell {self._done}" if self._done else "before its first cell"

    def start(self, cell_index: int, **_: object) -> None:
        self._done, self._since = self._done + 1, time.perf_counter()
        section = self.sections.get(cell_index, "")
        self.told(f"  cell {self._done} of {len(self.sections)}, {section}: ")

    def executed(self, execute_reply: Mapping[str, Any], **_: object) -> None:
        done = execute_reply["content"]["status"] == "ok"
        self.told(f"{time.perf_counter() - self._since:.1f} s\n" if done else "failed\n")
        if seen := _peak_of_kernel():
            self.peak = max(seen, self.peak or 0)


def _sections(notebook: Path, parameterised: bool) -> dict[int, str]:
    """The heading above each code cell that is not empty, by the place papermill gives it."""
    import nbformat

    heading, sections = notebook.name, {}
    place = 0
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code" and cell.source.strip():
            sections[place] = heading
            if parameterised and "parameters" in cell.metadata.get("tags", []):
                # papermill puts what was given into a cell of its own below the defaults.
                place += 1
                sections[place] = heading
        elif cell.cell_type == "markdown":
            titles = [line for line in cell.source.splitlines() if line.startswith("#")]
            heading = titles[-1].lstrip("# ") if titles else heading
        place += 1
    return sections


def _peak_of_kernel() -> int | None:
    import psutil

    for process in psutil.Process().children():
        try:
            if not any("ipykernel" in word for word in process.cmdline()):
                continue
            try:
                status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
                return int(status.split("VmHWM:")[1].split()[0]) * 1024
            except (OSError, IndexError):
                return int(process.memory_info().rss)
        except psutil.Error:
            continue
    return None
