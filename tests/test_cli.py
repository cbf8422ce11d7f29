"""The command line as a user meets it: right, and wrong on purpose."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shapelib import read_table

MAIN = "from shapelib.cli import main; main()"
SHAPELIB = [sys.executable, "-c", MAIN]


def shapelib(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SHAPELIB, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "120", **environment},
        check=False,
    )


def refused(*words: object, **environment: str) -> str:
    done = shapelib(*words, **environment)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


@pytest.fixture(autouse=True)
def separate_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What these runs keep goes away with them; weights and text come from the user's cache."""
    monkeypatch.setenv("SHAPELIB_CACHE", str(cache_with_assets(tmp_path)))


SMALL = ("--tokens", 400, "--batch", 128, "--window", 60)


def test_profile_writes_and_prints(decoder_folder: Path, text_file: Path, tmp_path: Path):
    out = tmp_path / "p.parquet"
    done = shapelib("profile", decoder_folder, "--corpus", text_file, *SMALL, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "tiny-decoder (decoder), story.txt, all tokens, 3 batches of 128" in done.stdout
    assert "3 after norm" in done.stdout
    table = read_table(out)
    assert table["layer"].max() == 3
    assert table.attrs["provenance"][0]["tokens"] == 400


def test_profile_as_csv(decoder_folder: Path, text_file: Path, tmp_path: Path):
    out = tmp_path / "p.csv"
    done = shapelib("profile", decoder_folder, "--corpus", text_file, *SMALL, "--out", out)
    assert done.returncode == 0, done.stderr
    assert out.read_text().startswith("model,checkpoint,")
    assert (tmp_path / "p.provenance.json").is_file()


def test_profile_refuses(decoder_folder: Path, text_file: Path, tmp_path: Path):
    out = tmp_path / "p.parquet"
    model, corpus = (decoder_folder,), ("--corpus", text_file)
    assert "did you mean 'minilm-l6'" in refused("profile", "minilm", "--out", out)
    message = refused("profile", "EleutherAI/pythia-70m", "--revision", "step7", "--out", out)
    assert "at revision 'step7'" in message
    assert "the hub could not be reached" in message
    assert "smollm2-135m" in message
    assert "must end in one of" in refused("profile", *model, "--out", tmp_path / "p.xlsx")
    message = refused("profile", *model, "--corpus", tmp_path / "none.xml", "--out", out)
    assert "no corpus and no file named" in message
    message = refused("profile", *model, *corpus, "--out", out)
    assert "tiny-decoder reads at most 128; use a shorter window" in message
    message = refused("profile", *model, *corpus, "--window", 60, "--tokens", 90000, "--out", out)
    assert "tokens of tiny-decoder after the first of each, and 90000 are needed" in message
    message = refused("profile", *model, *corpus, *SMALL, "--device", "cuda:99", "--out", out)
    assert "device 'cuda:99' cannot be used here" in message
    message = refused("profile", *model, *corpus, *SMALL, "--dtype", "half", "--out", out)
    assert "no such dtype: 'half'" in message
    empty = tmp_path / "empty.txt"
    empty.touch()
    assert "empty" in refused("profile", *model, "--corpus", empty, "--out", out)
    assert "Missing option" in refused("profile", *model)
    assert "Invalid value" in refused("profile", *model, "--unit", "words", "--out", out)
    assert not out.exists()


def test_ctrl_c_leaves_the_old_table_whole(text_file: Path, tmp_path: Path):
    out = tmp_path / "p.parquet"
    out.write_bytes(b"the old table")
    # What a script starts with & ignores Ctrl-C, and so does all that it starts, these tests too.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", heard + MAIN, "profile", "minilm-l6"]
    command += ["--corpus", str(text_file), "--out", str(out)]
    command += ["--tokens", "5000", "--batch", "2500", "--window", "60", "--memory", "0"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=os.environ
    )
    spill = tmp_path / "own" / "spill"
    deadline = time.monotonic() + 60
    while not spill.is_dir() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "interrupted; no table was written" in said
    assert out.read_bytes() == b"the old table"
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".p.")] == []
    assert list(spill.iterdir()) == []


def cache_with_assets(folder: Path) -> Path:
    """A cache of its own that shares the user's weights and text."""
    from shapelib import assets

    own = folder / "own" / "assets"
    own.mkdir(parents=True)
    for name in ("minilm-l6", "enwiki-sample"):
        fetched = assets.fetch(name)
        entry = fetched if fetched.is_dir() else fetched.parent
        (own / entry.name).symlink_to(entry, target_is_directory=True)
    return own.parent


def test_models_lists_and_filters():
    code = "import sys; from shapelib.cli import app; app(['models'], standalone_mode=False); "
    code += "print([m for m in ('torch', 'transformers', 'pandas') if m in sys.modules])"
    wide = {**os.environ, "COLUMNS": "120"}
    done = subprocess.run(
        [*SHAPELIB[:2], code], capture_output=True, text=True, check=True, env=wide
    )
    for shown in ("smollm2-135m", "134.5 M", "llama-2-13b", "gated", "pythia-2.8b", "154"):
        assert shown in done.stdout
    assert done.stdout.endswith("[]\n"), "a listing needs nothing heavy"
    encoders = shapelib("models", "--role", "encoder").stdout
    assert "roberta-base" in encoders
    assert "gpt2" not in encoders
    suites = shapelib("models", "--suites", "--family", "gpt-neox").stdout
    assert "pythia-14m" in suites
    assert "bloom" not in suites
    assert "no such role: 'coder'" in refused("models", "--role", "coder")
    assert "no such family: 'Bloo'; did you mean 'BLOOM'" in refused("models", "--family", "Bloo")
    assert "No model" in shapelib("models", "--role", "encoder", "--suites").stdout


def test_models_tells_of_one():
    wide = shapelib("models", "bloom-560m").stdout
    for shown in ("559 214 592", "BigScience RAIL", "bigscience/bloom-560m-interm", "global_step"):
        assert shown in wide
    assert "bloom-560m@step600000: reported to be wrong" in wide
    narrow = shapelib("models", "bloom-560m", COLUMNS="48").stdout
    table, _, caveats = narrow.rpartition("┘")
    assert max(map(len, table.splitlines())) <= 48
    assert "bloom-560m@step659500" in table
    assert "reported to be wrong" in caveats
    listed = shapelib("models", COLUMNS="48").stdout
    assert max(map(len, listed.rpartition("┘")[0].splitlines())) <= 48
    message = refused("models", "pythia-2.7b")
    assert "no such model: 'pythia-2.7b'; did you mean 'pythia-2.8b'" in message


def test_corpus():
    done = shapelib("corpus", "enwiki-sample")
    assert done.returncode == 0, done.stderr
    assert "distinct bytes" in done.stdout
    assert "distinct characters" in done.stdout


def test_cache_lists_and_clears(own_cache: Path):
    from shapelib import cache

    cache.entry("tables", "some", lambda folder: (folder / "file").write_text("x" * 3_000_000))
    assert "some" in shapelib("cache").stdout
    assert "3.0 MB in" in shapelib("cache").stdout
    assert "did you mean 'tables'" in refused("cache", "clear", "table")
    assert "1 entries deleted, 3.0 MB" in shapelib("cache", "clear", "tables").stdout
    assert "0.0 MB in" in shapelib("cache").stdout
    assert "no such asset: 'minilm'" in refused("cache", "fetch", "minilm")


def test_run_checks_parameters(tmp_path: Path):
    notebook = Path(__file__).parent.parent / "notebooks" / "profiles.ipynb"
    out = tmp_path / "out.ipynb"
    message = refused("run", notebook, "-p", "token=5", "--out", out)
    assert "has no parameter 'token'; did you mean 'tokens'" in message
    assert "models, corpus, tokens, window, batch, sets, seed, device" in message
    assert "is not name=value" in refused("run", notebook, "-p", "tokens", "--out", out)
    message = refused("run", notebook, "-p", "tokens=1e3x", "--out", out)
    assert "accepted: a whole number, such as -p tokens=" in message
    assert "no such notebook" in refused("run", tmp_path / "none.ipynb", "--out", out)
    assert not out.exists()


def test_run_runs(decoder_folder: Path, text_file: Path, tmp_path: Path):
    notebook = Path(__file__).parent.parent / "notebooks" / "profiles.ipynb"
    out = tmp_path / "out.ipynb"
    done = shapelib(
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


@pytest.mark.parametrize("words", [(), ("profile",), ("sweep",), ("run",), ("cache",), ("corpus",)])
def test_help(words: tuple[str, ...]):
    done = shapelib(*words, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


def test_pretrain_trains_in_segments(text_file: Path, tmp_path: Path):
    out, words = tmp_path / "suite", tmp_path / "words.txt"
    draw = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words.write_text(" ".join("".join(draw.choices(letters, k=5)) for _ in range(20_000)))
    small = ("pretrain", "--size", "nano-48", "--steps", 2, "--warmup", 1, "--out", out)
    # Half a page has no thousand different tokens; and the folder stays free.
    assert "is too short for a vocabulary of 1024" in refused(*small, "--corpus", text_file)
    first = shapelib(*small, "--corpus", words, "--minutes", 1e-9)
    assert first.returncode == 0, first.stderr
    assert "stopped at step 1 of 2: the same command goes on from there" in first.stderr
    assert f"1 of 2 checkpoints in {out}; held-out perplexity" in first.stdout
    second = shapelib(*small, "--corpus", words)
    assert "going on from step 1" in second.stderr
    assert f"2 of 2 checkpoints in {out}" in second.stdout
    other = refused(*small, "--corpus", words, "--kind", "encoder")
    assert "kind is 'decoder' there and 'encoder' here" in other
    assert "no such size: 'nan'; did you mean 'nano'?" in refused(*small, "--size", "nan")
