"""The commands of kept tables on real models: grid, going on, what is left out, what moved."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import torch
from made import model_folder
from scripts import script

from shapelib import profile
from shapelib.errors import ShapelibError
from shapelib.models import load
from shapelib.store import tables
from shapelib.text.corpus import load_corpus

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")
TINY: dict[str, Any] = {
    "tokens": 400, "batch": 200, "sets": ("all", "later"), "least_windows": 12,
    "metrics": ("anisotropy", "two_nn", "mom_k20"),
}  # fmt: skip


@pytest.fixture
def models(
    monkeypatch: pytest.MonkeyPatch, decoder_folder: Path, framed_tokenizer: Any, text_file: Path,
    tmp_path: Path,
) -> ModuleType:  # fmt: skip
    """The script with a tiny decoder and a tiny encoder, windows of which one is too long."""
    found = script("models", monkeypatch)
    encoder = model_folder(tmp_path / "bert", framed_tokenizer, "Bert", max_position_embeddings=64)
    framed = framed_tokenizer.__class__.from_pretrained(encoder)
    framed.model_max_length = 64
    framed.save_pretrained(encoder)
    monkeypatch.setattr(found, "MODELS", (str(encoder), str(decoder_folder)))
    monkeypatch.setattr(found, "WINDOWS", (40, 160))
    monkeypatch.setattr(found, "PRIMARY", 40)
    monkeypatch.setattr(found, "ASKED", TINY)
    monkeypatch.setattr(found, "HERE", tmp_path / "results")
    monkeypatch.setattr(found, "announce", lambda *_: None)
    monkeypatch.setattr(found, "_text", lambda news: load_corpus(text_file))
    monkeypatch.setattr(found.tables, "_commit", lambda: "0123456789ab")
    return found


def run(made: ModuleType, store: Path, *parts: str) -> None:
    made._model.cache_clear()
    made.main(["--go", "--store", str(store), *parts])


def test_every_cell_is_there_or_said_to_be_left_out(
    models: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run(models, tmp_path / "store", "trained")
    table = tables.read_table(tmp_path / "results" / "trained.parquet")
    found = table.groupby(["role", "window", "native"])["beginning"].first()
    assert set(found.index) == {
        *(("encoder", "40 characters", native) for native in (True, False)),
        *(("decoder", f"{length} characters", native) for length in (40, 160)
          for native in (True, False)),
    }  # fmt: skip
    for (role, _, native), token in found.items():
        assert token == "<s>" if (role == "encoder") == native else pd.isna(token)
    left_out = [run for run in table.attrs["provenance"] if "left_out" in run]
    assert [run["cell"].rpartition("/")[2] for run in left_out] == [
        f"bert, 160 characters, {which} beginning" for which in ("its own", "the other")
    ]
    assert all("reads at most 64" in run["left_out"] for run in left_out)
    assert "left out: ['trained: " in capsys.readouterr().out
    assert set(table["weights"]) == {"trained"}
    assert set(table["tokens"]) == {"all", "later"}
    assert (table["by_group"] != "").all()
    windows = {run["pooled"]["windows"] for run in table.attrs["provenance"] if "pooled" in run}
    assert min(windows) >= TINY["least_windows"]
    assert all(run["command"].endswith("--go trained") for run in table.attrs["provenance"])


def test_a_run_that_was_killed_goes_on(
    models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    measured, store = models.measured, tmp_path / "store"
    done: list[str] = []

    def killed(cell: Any) -> pd.DataFrame:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(cell.key)
        return measured(cell)

    monkeypatch.setattr(models, "measured", killed)
    with pytest.raises(KeyboardInterrupt):
        run(models, store, "trained")
    assert not (tmp_path / "results").exists()
    monkeypatch.setattr(models, "measured", lambda cell: done.append(cell.key) or measured(cell))
    run(models, store, "trained")
    assert done == [cell.key for cell in models.cells(["trained"])]
    first = tables.read_table(tmp_path / "results" / "trained.parquet")
    # Nothing is measured again, and another store has the same table.
    run(models, store, "trained")
    assert len(done) == 8
    run(models, tmp_path / "another", "trained")
    pd.testing.assert_frame_equal(
        first, tables.read_table(tmp_path / "results" / "trained.parquet"), check_exact=True
    )


def test_what_the_table_holds_is_not_measured_again(
    models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The hours in pieces: a model at a time, each from an empty store, as after a new clone."""
    encoder, decoder = models.MODELS
    monkeypatch.setattr(models, "WINDOWS", (40,))
    measured, done = models.measured, []
    monkeypatch.setattr(models, "measured", lambda cell: done.append(cell.model) or measured(cell))
    run(models, tmp_path / "first", "trained", "--model", encoder)
    path = tmp_path / "results" / "trained.parquet"
    assert set(tables.read_table(path)["role"]) == {"encoder"}
    run(models, tmp_path / "second", "trained")
    assert done == [encoder] * 2 + [decoder] * 2
    pieces = tables.read_table(path)
    run(models, tmp_path / "third", "trained", "--anew")
    assert done[4:] == [encoder] * 2 + [decoder] * 2
    pd.testing.assert_frame_equal(pieces, tables.read_table(path), check_exact=True)
    cells = [run["cell"] for run in pieces.attrs["provenance"]]
    assert cells == [cell.name for cell in models.cells(["trained"])]


def test_random_weights_are_another_network_of_one_seed(
    models: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    _, decoder = models.MODELS
    monkeypatch.setattr(models, "SEED", 1)  # the decoder was made with 0
    trained, random = (models._model(decoder, fresh, "float32") for fresh in (False, True))
    again = models._with_random_weights(trained)
    assert random.source.checkpoint == "random weights"
    assert random.source.caveat
    assert (random.role, random.layers, random.width) == (trained.role, trained.layers, 24)
    states = [dict(each.network.named_parameters()) for each in (trained, random, again)]
    assert states[0].keys() == states[1].keys()
    name = "layers.1.mlp.up_proj.weight"
    assert not torch.equal(states[0][name], states[1][name])
    assert all(torch.equal(states[1][each], states[2][each]) for each in states[1])


def test_the_hours_may_be_spent_in_pieces(models: ModuleType, tmp_path: Path):
    run(models, tmp_path / "store", "trained", "--own-beginning", "--window", "40")
    table = tables.read_table(models.HERE / "trained.parquet")
    assert [run["cell"] for run in table.attrs["provenance"]] == [
        cell.name for cell in models.cells(["trained"]) if cell.native and cell.window == 40
    ]


def test_the_largest_model_is_read_in_bfloat16_but_where_claims_are_judged(models: ModuleType):
    models.IN_BFLOAT16 = (models.MODELS[1],)
    read = {
        (cell.part, cell.window, cell.native): cell.dtype
        for cell in models.cells(models.PARTS) if cell.model == models.MODELS[1]
    }  # fmt: skip
    assert {place for place, dtype in read.items() if dtype == "float32"} == {
        ("trained", models.PRIMARY, True)
    }
    table = models.measured(next(c for c in models.cells(["random"]) if c.dtype == "bfloat16"))
    assert set(table["dtype"]) == {"bfloat16"}
    others = [c for c in models.cells(models.PARTS) if c.model == models.MODELS[0]]
    assert {cell.dtype for cell in others} == {"float32"}


def test_a_checkout_with_changes_is_refused(
    models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(models.tables, "_commit", lambda: "0123456789ab-dirty")
    with pytest.raises(SystemExit, match=r"the checkout has changes \(0123456789ab-dirty\)"):
        run(models, tmp_path / "store", "news")
    with pytest.raises(SystemExit, match="no such part: novels; known: trained, news, random"):
        models.main(["novels"])


def test_what_fails_is_said_at_the_end(
    models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(cell: Any) -> pd.DataFrame:
        raise ShapelibError("no")

    monkeypatch.setattr(models, "measured", broken)
    with pytest.raises(SystemExit, match=r"news: .*40 characters, its own beginning: no"):
        run(models, tmp_path / "store", "news")


def test_the_estimate_grows_with_what_is_read(monkeypatch: pytest.MonkeyPatch):
    real = script("models", monkeypatch)
    whole = real.cells(real.PARTS)
    assert len(whole) == 5 * 4 * 2 + 5 + 5 * 4 * 2
    assert len({cell.key for cell in whole}) == len(whole)
    assert len({cell.name for cell in whole}) == len(whole)
    by_model = {
        name: real.cost([each for each in whole if each.model == name], 1e11)
        for name in real.MODELS
    }
    small, base, *_, large = (each.seconds for each in by_model.values())
    assert small < base < large == max(each.seconds for each in by_model.values())
    # 32 windows of 8192 characters hold four times as many tokens as are measured.
    one, long = (
        real.cost([each], 1e11)
        for each in whole if each.model == "gemma-3-270m" and each.part == "random"
        and each.native and each.window in (512, 8192)
    )  # fmt: skip
    # Both expand the file and keep it; of the rest, the states of four times as many vectors.
    kept = 4 * 268098176 + one.fetched
    assert 3 < (long.disk - kept) / (one.disk - kept) < 4
    assert by_model["qwen2.5-coder-1.5b"].fetched == sum(
        part.size for part in real.assets.ASSETS["qwen2.5-coder-1.5b"].parts
    )
    assert by_model["qwen2.5-coder-1.5b"].memory > 4 * 1.5e9


def test_what_moved_is_in_units_of_the_plain_error(
    monkeypatch: pytest.MonkeyPatch, decoder_folder: Path, text_file: Path
):
    precision = script("precision", monkeypatch)
    asked: dict[str, Any] = {
        "tokens": 400, "batch": 200, "window": 40, "sets": ("all", "rest"), "progress": False,
    }  # fmt: skip
    plain, half = (
        profile(decoder_folder, text_file, dtype=dtype, **asked) for dtype in precision.DTYPES
    )
    found = precision.moved(plain, half, "bfloat16")
    assert len(found) == len(plain)
    assert (precision.moved(plain, plain, "again")["moved"].dropna() == 0).all()
    row = found[(found["layer"] == 2) & (found["metric"] == "two_nn") & (found["tokens"] == "all")]
    by_hand = [
        table[(table["layer"] == 2) & (table["metric"] == "two_nn") & (table["tokens"] == "all")]
        for table in (plain, half)
    ]
    change = by_hand[1]["value"].item() - by_hand[0]["value"].item()
    assert change != 0
    assert row["moved"].item() == pytest.approx(abs(change) / by_hand[0]["stderr"].item())
    with pytest.raises(ValueError, match=r"have \d+ in common"):
        precision.moved(plain, half[half["layer"] > 0], "bfloat16")
    monkeypatch.setattr(precision, "TOKENS", {"tiny-decoder": 400})
    wide = precision.by_metric(found.assign(model="tiny-decoder"), "max")
    assert wide["metric"].tolist()[:3] == [
        *("anisotropy, centered", "anisotropy", "average_cosine, centered"),
    ]
    assert wide.loc[wide["metric"] == "two_nn", "tiny-decoder"].item() == pytest.approx(
        found.loc[found["metric"] == "two_nn", "moved"].max()
    )


def test_weights_are_rounded_as_a_file_would_hold_them(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any, tmp_path: Path
):
    """Q8_0 by hand: 32 weights share a scale, the largest of them divided by 127, in 16 bits."""
    quantisation = script("quantisation", monkeypatch)
    model = load(model_folder(tmp_path / "wide", tokenizer, "Llama", hidden_size=64))
    before = {name: each.clone() for name, each in model.network.named_parameters()}
    count = quantisation.round_weights(model, "Q8_0")
    after = dict(model.network.named_parameters())
    name = "layers.1.self_attn.q_proj.weight"
    blocks = before[name].reshape(-1, 32)
    scale = blocks.abs().amax(1, keepdim=True) / 127
    expected = (blocks / scale).round() * scale.half().float()
    torch.testing.assert_close(after[name].reshape(-1, 32), expected, atol=2e-3, rtol=0)
    assert not torch.equal(after[name], before[name])
    # Norms, and matrices whose rows do not divide into blocks, stay.
    assert torch.equal(after["norm.weight"], before["norm.weight"])
    assert torch.equal(
        after["layers.1.mlp.down_proj.weight"], before["layers.1.mlp.down_proj.weight"]
    )
    assert count == sum(
        each.numel() for each in before.values() if each.ndim == 2 and each.shape[1] == 64
    )
    once = {name: each.clone() for name, each in after.items()}
    quantisation.round_weights(model, "Q8_0")
    for name, each in model.network.named_parameters():
        torch.testing.assert_close(each, once[name], atol=1e-4, rtol=1e-3)


def soiled(path: Path) -> list[str]:
    """What a kept table's runs say of themselves instead of a clean commit, or commits."""
    runs = tables.read_table(path).attrs["provenance"]
    said = [str(run.get("commit")) for run in runs] or ["no run"]
    return [each for each in said if not re.fullmatch(r"[0-9a-f]{12}(, [0-9a-f]{12})*", each)]


def test_every_kept_table_was_made_by_a_clean_commit():
    folder = ROOT / "results"
    kept = sorted([*folder.glob("*/*.parquet"), *folder.glob("*/*.csv")])
    found = {path.relative_to(folder).as_posix(): soiled(path) for path in kept}
    assert len(found) > 5
    assert {name: said for name, said in found.items() if said} == {}


@pytest.mark.parametrize(
    ("commits", "said"),
    [
        (["0123456789ab", "0123456789ab, ba9876543210"], []),
        (["0123456789ab", None], ["None"]),
        (["0123456789ab-dirty", "0123456789ab"], ["0123456789ab-dirty"]),
        (["0123456789ab, ba9876543210-dirty"], ["0123456789ab, ba9876543210-dirty"]),
        ([], ["no run"]),
    ],
)
def test_a_table_without_a_clean_commit_is_noticed(
    commits: list[str | None], said: list[str], tmp_path: Path
):
    table = pd.DataFrame({"value": [0.1]})
    table.attrs["provenance"] = [{"commit": each} for each in commits]
    assert soiled(tables.write_table(table, tmp_path / "t.parquet")) == said


def test_training_says_how_long_it_takes_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    made = script("training", monkeypatch)
    begun: list[str] = []
    monkeypatch.setattr(
        made.pretraining, "suites", lambda runs: begun.append(capsys.readouterr().out) or []
    )
    # No folder is given back, so nothing is kept; `zip` is strict and would say so.
    monkeypatch.setattr(made, "keep", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["training", "decoder-96-warmup50-seed0"])
    with pytest.raises(ValueError, match="zip"):
        made.main()
    few, wide = (
        made.minutes([made.RUNS[f"{kind}-{width}-warmup50-seed0"] for kind in kinds])
        for width, kinds in ((96, ["decoder"]), (192, ["decoder", "encoder"]))
    )
    assert begun == [f"1 runs, two at a time: about {few:.0f} minutes on two cores\n"]
    assert wide > 2 * few
