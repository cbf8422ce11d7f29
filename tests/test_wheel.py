"""The wheel: it holds the two packages and nothing else, and works away from the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOR_PAGES = (
    *("papermill", "nbformat", "IPython", "ipykernel", "traitlets", "plotly", "jupyter_book"),
    *("sphinx", "docutils", "markdown_it", "mdit_py_plugins", "skdim", "sklearn"),
    *("distributed", "dask", "datasets"),
)
# No finder of an editable install, and no checkout, may stand in for the wheel.
ISOLATED = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built with what is installed and without a network."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("shapelib", "shapebook", "tests", "notebooks", "book"):
        ignored = shutil.ignore_patterns("__pycache__", "executed")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(output), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (file,) = output.glob("shapelib-*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel, as pip would lay it."""
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    # The loops are those of the checkout: what is compiled of them, in half a minute, comes along.
    for file in (ROOT / "shapelib").rglob("__pycache__/*.nb[ic]"):
        source = file.parent.with_name(f"{file.name.split('.')[0]}.py")
        same = folder / source.relative_to(ROOT)
        if same.is_file():
            shutil.copystat(source, same)
            (same.parent / "__pycache__").mkdir(exist_ok=True)
            shutil.copy(file, same.parent / "__pycache__")
    return folder


def python(installed: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code where only the wheel is shapelib; dependencies come from this environment."""
    first = f"import sys; sys.path.insert(0, {str(installed)!r}); "
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", first + code],
        capture_output=True, text=True, cwd=installed, env=ISOLATED, check=False,
    )  # fmt: skip


def test_it_holds_the_packages_and_nothing_else(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    kept = {
        str(file.relative_to(ROOT)) for package in ("shapelib", "shapebook")
        for file in (ROOT / package).rglob("*.*") if file.parent.name != "__pycache__"
    }  # fmt: skip
    data = ("shapebook/claims/claims.yml", "shapelib/models/catalogue.yml", "shapelib/py.typed")
    assert {*data, "shapebook/py.typed", "shapebook/experiments/published.csv"} <= kept
    own = {name for name in names if ".dist-info/" not in name}
    assert own == kept
    assert any(name.endswith("licenses/LICENSE") for name in names)
    metadata = next(name for name in names if name.endswith("METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    asked = [line for line in text.splitlines() if line.startswith("Requires-Dist")]
    plain = " ".join(line for line in asked if "extra ==" not in line)
    assert "torch" in plain
    for notebooks_only in ("papermill", "jupyter", "sphinx", "ipykernel", "nbval"):
        assert notebooks_only not in plain


def test_it_measures_and_draws_away_from_the_checkout(
    installed: Path, decoder_folder: Path, text_file: Path, tmp_path: Path
):
    """As after `pip install "shapelib[models]"`: without what notebooks and clusters need, but for
    what transformers brings itself."""
    code = (
        f"sys.modules.update(dict.fromkeys({FOR_PAGES!r}))\n"
        "import shapelib, numpy as np\n"
        "from shapelib import figures, profile\n"
        "from shapelib.models import catalogue\n"
        f"table = profile({str(decoder_folder)!r}, {str(text_file)!r}, tokens=200, batch=100, "
        "window=60, reuse=False, progress=False)\n"
        f"figures.anisotropy_profile(table).savefig({str(tmp_path / 'mine.svg')!r})\n"
        "x = np.random.default_rng(0).standard_normal((500, 16), np.float32)\n"
        "print(shapelib.__file__, round(shapelib.two_nn(x)) > 5, shapelib.anisotropy(x) < 0.2)\n"
        "print('gpt2' in catalogue.models())"
    )
    done = python(installed, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{installed}/shapelib/__init__.py True True\nTrue\n"
    assert "<svg" in (tmp_path / "mine.svg").read_text()


def test_its_claims_are_read_away_from_the_checkout(installed: Path):
    code = "from shapebook.claims import judge; print('decoder-bell' in judge.claims())"
    done = python(installed, code)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_it_asks_for_the_extra_that_a_command_lacks(installed: Path, tmp_path: Path):
    code = (
        "sys.modules['papermill'] = None\n"
        f"sys.argv = ['shapebook', 'run', {str(ROOT / 'notebooks/profiles.ipynb')!r}, "
        f"'--out', {str(tmp_path / 'out.ipynb')!r}]\n"
        "from shapebook.run import main; main()"
    )
    done = python(installed, code)
    assert done.returncode == 2
    assert 'running notebooks needs papermill; run: pip install "shapelib[models,book]"' in (
        " ".join(done.stderr.split())
    )


def test_importing_is_silent_and_takes_under_half_a_second(installed: Path):
    code = (
        "import time; start = time.process_time(); import shapelib; "
        "print(time.process_time() - start)"
    )
    runs = [python(installed, code) for _ in range(3)]
    assert [run.stderr for run in runs] == ["", "", ""]
    # Time of this process alone, the best of three: a busy machine is no fault of the package.
    assert min(float(run.stdout) for run in runs) < 0.5


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands(installed: Path, shell: str):
    shown = python(
        installed, "sys.argv = ['shapelib', '--help']; from shapelib.cli import main; main()"
    )
    assert "--install-completion" in shown.stdout
    environment = {
        **ISOLATED, "_SHAPELIB_COMPLETE": f"complete_{shell}", "COMP_WORDS": "shapelib pro",
        "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "shapelib pro",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args", "PYTHONPATH": str(installed),
    }  # fmt: skip
    code = (
        "import sys; sys.argv = ['shapelib']; "
        "from shapelib.cli.app import app; app(prog_name='shapelib')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert "profile" in done.stdout, done.stderr
    assert "sweep" not in done.stdout
