"""A folder of checkpoints: which of them count, in which order, how far trained, read by whom."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from shapelib.errors import ShapelibError
from shapelib.models import catalogue, suites
from shapelib.models.loading import load
from shapelib.models.sources import has_tokenizer, tokenizer_hash
from shapelib.models.suites import sources


def add(suite: Path, name: str, model: Path, **files: object) -> Path:
    """A checkpoint made of a model's files, and of further ones as JSON."""
    shutil.copytree(model, suite / name)
    for file, content in files.items():
        (suite / name / f"{file}.json").write_text(json.dumps(content))
    return suite / name


@pytest.fixture
def suite(decoder_folder: Path, tmp_path: Path) -> Path:
    """Steps from each of the places that can tell them."""
    folder = tmp_path / "run"
    ours = {"step": 20, "tokens_seen": 10_240, "loss": 3.1, "learning_rate": 1e-3}
    add(folder, "a", decoder_folder, training=ours)
    trainer = {"global_step": 500, "num_input_tokens_seen": 256_000, "log_history": []}
    add(folder, "checkpoint-500", decoder_folder, trainer_state=trainer)
    add(folder, "step1000", decoder_folder)
    return folder


def test_each_checkpoint_says_how_far_it_was_trained(suite: Path):
    found = [(each.checkpoint, each.step, each.tokens_seen) for each in sources(suite)]
    assert found == [("a", 20, 10_240), ("checkpoint-500", 500, 256_000), ("step1000", 1000, None)]
    assert {each.name for each in sources(suite)} == {"run"}
    assert suites.is_folder(suite)
    assert not suites.is_folder(suite / "a")


def test_what_training_says_goes_before_the_trainer_and_the_name(suite: Path, decoder_folder: Path):
    add(
        suite, "step7", decoder_folder,
        training={"step": 3, "tokens_seen": 30}, trainer_state={"global_step": 5},
    )  # fmt: skip
    # The Trainer writes 0 tokens where it was not told to count them.
    add(
        suite, "step8", decoder_folder,
        trainer_state={"global_step": 6, "num_input_tokens_seen": 0},
    )  # fmt: skip
    found = [(each.checkpoint, each.step, each.tokens_seen) for each in sources(suite)]
    assert found[:3] == [("step7", 3, 30), ("step8", 6, None), ("a", 20, 10_240)]


def test_chosen_steps(suite: Path):
    assert [each.step for each in sources(suite, [1000, 20])] == [20, 1000]
    message = (
        "run has no checkpoint of step 400; the nearest: 20, 500, 1000; it has 3, from step 20 to"
    )
    with pytest.raises(ShapelibError, match=message):
        sources(suite, [20, 400])
    with pytest.raises(ShapelibError, match="checkpoints is 'last'; 'all', 'log:12'"):
        sources(suite, "last")
    with pytest.raises(ShapelibError, match="a step is a whole number, got '20'"):
        sources(suite, ["20"])  # type: ignore[list-item]
    with pytest.raises(ShapelibError, match="empty list"):
        sources(suite, [])


def test_so_many_steps_evenly_over_their_logarithm():
    known = [each.step for each in catalogue.suite("pythia-2.8b").checkpoints]
    found = suites.choose("pythia-2.8b", "log:12", known)
    assert found == [0, 1, 4, 8, 32, 128, 512, 1000, 4000, 13000, 44000, 143000]
    assert suites.choose("pythia-2.8b", "log:2", known) == [0, 143000]
    assert suites.choose("pythia-2.8b", "log:200", known) == known
    assert suites.choose("run", "log:3", [7, 5, 1000, 70]) == [5, 70, 1000]
    assert suites.choose("run", "70,5", [7, 5, 1000, 70]) == [5, 70]
    for wrong in ("log:1", "log:", "log:-3", "logs", "0,", "-5"):
        with pytest.raises(ShapelibError, match=f"checkpoints is '{wrong}'"):
            suites.choose("run", wrong, known)


def test_the_nearest_steps_are_named():
    known = [2**n for n in range(10)]
    with pytest.raises(ShapelibError, match="the nearest: 32, 64, 128; it has 10, from step 1 to"):
        suites.choose("run", [90], known)


def test_half_written_checkpoints_are_left_out_and_said(
    suite: Path, decoder_folder: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "shapelib")
    cut = add(suite, "step2000", decoder_folder) / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-100])
    early = add(suite, "step2001", decoder_folder) / "model.safetensors"
    early.write_bytes(early.read_bytes()[:20])
    (add(suite, "step3000", decoder_folder) / "model.safetensors").unlink()
    (add(suite, "step4000", decoder_folder) / "config.json").write_text('{"hidden_size": ')
    sharded = add(suite, "step5000", decoder_folder)
    index = {"weight_map": {"one": "model-1-of-2.safetensors", "two": "model.safetensors"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    add(suite, "best", decoder_folder)
    (suite / "logs").mkdir()
    assert [each.step for each in sources(suite)] == [20, 500, 1000]
    for said in (
        "step2000 is left out: its model.safetensors is half written",
        "step2001 is left out: its model.safetensors is half written",
        "step3000 is left out: it has no weights",
        "step4000 is left out: its config.json cannot be read",
        "step5000 is left out: its model-1-of-2.safetensors is half written",
        "best is left out: it does not say its step",
    ):
        assert said in caplog.text
    assert "logs" not in caplog.text


def test_no_suite_and_two_of_one_step(suite: Path, decoder_folder: Path, tmp_path: Path):
    with pytest.raises(ShapelibError, match="is not a suite: no folder in it holds a whole"):
        sources(tmp_path / "none")
    add(suite, "other-1000", decoder_folder)
    with pytest.raises(ShapelibError, match="other-1000 and step1000 are both of step 1000"):
        sources(suite)


def without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def test_a_missing_tokenizer_is_the_last_checkpoints(suite: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "shapelib")
    before = sources(suite)
    without_tokenizer(suite / "a")
    after = sources(suite)
    assert "run: no tokenizer in a: that of step1000 is used" in caplog.text
    assert [each.tokenizer for each in after] == [suite / "step1000", None, None]
    assert after[0].fingerprint != before[0].fingerprint
    assert after[1] == before[1]
    ids = load(before[1]).tokenizer("A cat may sit")["input_ids"]
    assert load(after[0]).tokenizer("A cat may sit")["input_ids"] == ids


@pytest.mark.parametrize(
    ("file", "there"),
    [
        ("tokenizer.json", True),
        ("vocab.txt", True),
        ("bpe.vocab.json", True),
        ("spiece.model", True),
        ("merges.txt", False),
        ("tokenizer_config.json", False),
    ],
)
def test_a_tokenizer_is_there_where_a_vocabulary_is(file: str, there: bool, tmp_path: Path):
    assert not has_tokenizer(tmp_path)
    (tmp_path / file).mkdir()
    assert not has_tokenizer(tmp_path), "a folder of that name is none"
    (tmp_path / file).rmdir()
    (tmp_path / file).write_text("{}")
    assert has_tokenizer(tmp_path) == there
    assert list(tokenizer_hash(tmp_path)) == [file]


def test_a_missing_tokenizer_is_the_suites_own(
    suite: Path, decoder_folder: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "shapelib")
    for each in ("a", "checkpoint-500", "step1000"):
        without_tokenizer(suite / each)
    with pytest.raises(ShapelibError, match="a has no tokenizer, nor has the suite's folder"):
        sources(suite)
    for file in decoder_folder.glob("tokenizer*"):
        shutil.copy(file, suite)
    found = sources(suite)
    assert "run: no tokenizer in a, checkpoint-500, step1000: that of the suite's" in caplog.text
    assert load(found[2]).tokenizer.vocab_size == 320
    prints = {each.fingerprint for each in found}
    # Another tokenizer is another measurement.
    tokenizer = suite / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    assert not prints & {each.fingerprint for each in sources(suite)}


def test_the_weights_decide_the_fingerprint(suite: Path):
    network = load(sources(suite)[2]).network
    with torch.no_grad():
        network.layers[0].mlp.up_proj.weight.mul_(2)
    before = [each.fingerprint for each in sources(suite)]
    network.save_pretrained(suite / "step1000")
    after = [each.fingerprint for each in sources(suite)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False]


def test_a_model_with_parts_in_folders_is_a_model(
    suite: Path, decoder_folder: Path, tmp_path: Path
):
    """sentence-transformers writes each of its steps into a folder, with a config.json."""
    model = shutil.copytree(decoder_folder, tmp_path / "sentences")
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    shutil.copytree(decoder_folder, model / "2_Dense")
    assert not suites.is_folder(model)
    assert [each.name for each in suites.models_and_suites(model)] == ["sentences"]
    # A run that saved its last model above its checkpoints is a suite all the same.
    for file in decoder_folder.iterdir():
        shutil.copy(file, suite)
    assert suites.is_folder(suite)
    assert [each.step for each in suites.models_and_suites(suite)] == [20, 500, 1000]
