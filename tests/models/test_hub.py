"""Models from a hub: the real client against a local server, going right and going wrong."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub import TOKEN, Client, Hub

WEIGHTS = "model.safetensors"


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    yield server
    server.close()


@pytest.fixture
def client(hub: Hub, tmp_path: Path) -> Client:
    return Client(hub, tmp_path / "home")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A repository's files; what is not read as a model here need not be one."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / WEIGHTS).write_bytes(bytes(range(256)) * 4000)
    (folder / "README.md").write_text("not needed")
    (folder / "pytorch_model.bin").write_bytes(b"not needed beside safetensors")
    return folder


def changed(folder: Path, content: bytes) -> Path:
    (folder / WEIGHTS).write_bytes(content)
    return folder


def test_files_by_revision(hub: Hub, client: Client, files: Path):
    early = hub.push("some/model", changed(files, b"early"), "step1")
    late = hub.push("some/model", changed(files, b"late"))
    wanted = [(late, b"late"), (early, b"early"), (early, b"early"), (early, b"early")]
    calls = [("some/model",), ("some/model", "step1"), ("some/model@step1",), ("some/model", early)]
    for answer, (commit, content) in zip(client.find_each(calls), wanted, strict=True):
        found = answer.value
        assert found["revision"] == found["fingerprint"] == commit
        assert (Path(found["folder"]) / WEIGHTS).read_bytes() == content
        assert found["files"] == ["config.json", WEIGHTS, "tokenizer.json"]
        assert found["torch"] is False


def test_a_catalogue_name_is_its_repository(hub: Hub, client: Client, files: Path):
    commit = hub.push("openai-community/gpt2", files)
    short, full = client.find_each([("gpt2",), ("openai-community/gpt2",)])
    assert (short.value["name"], short.value["revision"]) == ("gpt2", commit)
    assert "family='GPT-2'" in short.value["known"]
    assert full.value["known"] == short.value["known"]


def test_a_checkpoint_of_a_suite(hub: Hub, client: Client, files: Path):
    commit = hub.push("EleutherAI/pythia-70m", files, "step512")
    spellings = [
        ("pythia-70m@step512",),
        ("pythia-70m@512",),
        ("pythia-70m", "step512"),
        ("EleutherAI/pythia-70m", "step512"),
        ("EleutherAI/pythia-70m@step512",),
    ]
    wrong = [("pythia-70m@700",), ("pythia-2.7b@step1",)]
    *right, step, suite = client.find_each(spellings + wrong)
    for each in right:
        assert (each.value["name"], each.value["checkpoint"]) == ("pythia-70m", "step512")
        assert (each.value["step"], each.value["tokens_seen"]) == (512, 512 * 2097152)
        assert each.value["revision"] == commit
    assert "the nearest are 'step512' and 'step1000'" in step.error
    assert "no suite of checkpoints 'pythia-2.7b'" in suite.error


def test_a_cut_off_download_resumes(hub: Hub, client: Client, files: Path):
    # The client keeps whole chunks, of 10 MiB, of what breaks off.
    hub.push("some/model", changed(files, bytes(range(251)) * 45_000))
    hub.cut[WEIGHTS] = 11_000_000
    found = client.find("some/model")
    whole = (files / WEIGHTS).read_bytes()
    assert (Path(found.value["folder"]) / WEIGHTS).read_bytes() == whole
    first, second = hub.asked(WEIGHTS)
    assert (first.range, first.status) == (None, 200)
    assert (second.range, second.status) == (f"bytes={10 << 20}-", 206)


def test_content_other_than_announced_is_fetched_again(hub: Hub, client: Client, files: Path):
    hub.push("some/model", files)
    hub.wrong[WEIGHTS] = 1
    found = client.find("some/model")
    assert "model.safetensors in the hub's cache is damaged: fetching it again" in found.log
    whole = (files / WEIGHTS).read_bytes()
    assert (Path(found.value["folder"]) / WEIGHTS).read_bytes() == whole
    assert len(hub.asked(WEIGHTS)) == 2


def test_content_that_stays_other_than_announced(hub: Hub, client: Client, files: Path):
    hub.push("some/model", files)
    hub.wrong[WEIGHTS] = 2
    error = client.find("some/model").error
    assert "what the hub sends as model.safetensors is not what it announces" in error
    assert list(client.home.rglob(WEIGHTS)) == []
    assert client.find("some/model").error == ""


def test_a_damaged_cache_is_noticed_and_mended(hub: Hub, client: Client, files: Path):
    hub.push("some/model", files)
    folder = Path(client.find("some/model").value["folder"])
    asked = len(hub.asked(WEIGHTS))
    for name in (WEIGHTS, "config.json"):
        before = (folder / name).read_bytes()
        (folder / name).resolve().write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        again = client.find("some/model")
        assert f"{name} in the hub's cache is damaged: fetching it again" in again.log
        assert (folder / name).read_bytes() == before
    assert len(hub.asked(WEIGHTS)) == asked + 1


def test_a_damaged_cache_that_cannot_be_mended(hub: Hub, client: Client, files: Path):
    hub.push("some/model", files)
    folder = Path(client.find("some/model").value["folder"])
    (folder / WEIGHTS).resolve().write_bytes(b"damaged")
    error = client.find("some/model", HF_HUB_OFFLINE="1").error
    assert "model.safetensors in the hub's cache is damaged, and it could not be fetched" in error


def test_no_network_and_a_warm_cache(hub: Hub, client: Client, files: Path):
    commit = hub.push("some/model", files, "step1")
    client.find("some/model", "step1")
    asked = len(hub.requests)
    assert client.find("some/model", "step1", HF_HUB_OFFLINE="1").value["revision"] == commit
    assert len(hub.requests) == asked
    hub.close()
    assert client.find("some/model", "step1").value["revision"] == commit
    error = client.find("some/model").error
    assert "'some/model' is not in the hub's cache here, and the hub could not be reached" in error
    assert "qwen2.5-coder-1.5b, mpnet-base, minilm-l6 need no hub" in error
    # Older clients keep no list of a repository's files.
    shutil.rmtree(next(client.home.rglob("trees")))
    assert client.find("some/model", "step1", HF_HUB_OFFLINE="1").value["revision"] == commit


def test_no_such_revision_or_repository(hub: Hub, client: Client, files: Path):
    hub.push("some/model", files)
    hub.push("EleutherAI/pythia-70m", files)
    revision, repository, checkpoint = client.find_each(
        [("some/model", "step7"), ("some/modell",), ("pythia-70m@step1",)]
    )
    assert "the hub has 'some/model', but no revision 'step7'" in revision.error
    assert "the hub has no model 'some/modell' (or it is private)" in repository.error
    shown = "'pythia-70m@step1' (EleutherAI/pythia-70m on the hub), but no revision 'step1'"
    assert shown in checkpoint.error


def test_a_gated_model(hub: Hub, client: Client, files: Path):
    hub.push("meta-llama/Llama-2-7b-hf", files, gated=True)
    error = client.find("llama-2-7b").error
    assert "'llama-2-7b' (meta-llama/Llama-2-7b-hf on the hub) is gated" in error
    assert "https://huggingface.co/meta-llama/Llama-2-7b-hf" in error
    assert "no token is set; after that run: hf auth login, or set HF_TOKEN" in error
    error = client.find("llama-2-7b", HF_TOKEN="hf_of_somebody_else").error
    assert "the token that is set has no access to it" in error
    assert client.find("llama-2-7b", HF_TOKEN=TOKEN).value["name"] == "llama-2-7b"


def pickled(folder: Path) -> Path:
    (folder / WEIGHTS).unlink()
    return folder


def test_pickles_are_refused_before_they_are_fetched(hub: Hub, client: Client, files: Path):
    commit = hub.push("facebook/opt-125m", pickled(files))
    error = client.find("opt-125m").error
    assert "'opt-125m' holds no safetensors weights (it has pytorch_model.bin: pickles can" in error
    assert "allow_pickle=True or --allow-pickle" in error
    assert hub.asked("pytorch_model.bin") == []
    found = client.find("opt-125m", allow_pickle=True).value
    assert found["pickled"] is True
    assert found["revision"] == commit
    assert "pytorch_model.bin" in found["files"]


def test_weights_may_wait_until_they_are_loaded(
    hub: Hub, client: Client, decoder_folder: Path, tmp_path: Path
):
    """A plan of many checkpoints needs their commits, and not yet their weights."""
    early = hub.push("EleutherAI/pythia-70m", decoder_folder, "step512")
    code = (
        "from shapelib import models; "
        "source = models.find('EleutherAI/pythia-70m', 'step512', fetch=False); "
        "print(source.revision, source.fingerprint, [each.name for each in "
        "source.folder.glob('*.safetensors')]); "
        f"open({str(tmp_path / 'found')!r}, 'w').close(); "
        "model = models.load(source); print(model.source.pending, model.layers)"
    )
    # Another commit is pushed between the two: what was found is what is loaded.
    process = client.start(code)
    while not (tmp_path / "found").exists() and process.poll() is None:
        time.sleep(0.01)
    hub.push("EleutherAI/pythia-70m", changed(tmp_path, b"late"), "step512")
    said, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    assert said == f"{early} {early} []\nNone 3\n"


def test_a_repository_without_weights(hub: Hub, client: Client, files: Path):
    (files / "pytorch_model.bin").unlink()
    hub.push("some/model", pickled(files))
    assert "'some/model' holds no weights" in client.find("some/model").error
    (files / "config.json").unlink()
    hub.push("some/other", files)
    assert "'some/other': its repository holds no config.json" in client.find("some/other").error


def test_a_checkpoint_without_tokenizer_gets_its_suites(hub: Hub, client: Client, files: Path):
    final = hub.push("bigscience/bloom-560m", files)
    (files / "tokenizer.json").unlink()
    commit = hub.push("bigscience/bloom-560m-intermediate", pickled(files), "global_step1000")
    found = client.find("bloom-560m@step1000", allow_pickle=True)
    assert (
        "bloom-560m@step1000 ships no tokenizer: using that of bigscience/bloom-560m" in found.log
    )
    assert found.value["tokenizer_hub"] == "bigscience/bloom-560m"
    assert Path(found.value["tokenizer"]).name == final
    assert found.value["fingerprint"] == f"{commit}+{final}"
    assert found.value["step"] == 1000
    # Only its tokenizer was fetched, not the final model.
    asked = [each.path for each in hub.asked(WEIGHTS) if "/bloom-560m/" in each.path]
    assert asked == []


def test_the_listing_says_what_is_here(hub: Hub, client: Client, files: Path):
    hub.push("EleutherAI/pythia-70m", files, "step512")
    hub.push("openai-community/gpt2", files)
    hub.push("facebook/opt-125m", pickled(files))
    # A refused model leaves its configuration behind, and is not here.
    client.find_each([("pythia-70m@512",), ("gpt2",), ("opt-125m",)])
    listed = client.shapelib("models", "--cached").stdout
    rows = {row.split()[1]: row for row in listed.splitlines() if row.startswith("│")}
    assert "no, 1 of" in rows["pythia-70m"]
    assert " yes " in rows["gpt2"]
    assert "opt-125m" not in rows
    lines = client.shapelib("models", "pythia-70m").stdout.splitlines()
    here = {line.split()[1]: "│ yes" in line for line in lines if "pythia-70m@" in line}
    assert [name for name, kept in here.items() if kept] == ["pythia-70m@step512"]
    assert len(here) == 154


def test_a_reported_damage_is_said(hub: Hub, client: Client, files: Path):
    hub.push("bigscience/bloom-1b1-intermediate", files, "global_step400000")
    found = client.find("bloom-1b1@400000")
    assert "bloom-1b1@step400000: believed to be a damaged upload" in found.log
    assert "believed to be a damaged upload" in found.value["caveat"]


def test_a_checkpoint_of_pickles_is_measured(
    hub: Hub, client: Client, tokenizer: Any, text_file: Path, tmp_path: Path
):
    import torch
    from transformers import BloomConfig, BloomForCausalLM

    from shapelib import read_table

    torch.manual_seed(0)
    config = BloomConfig(vocab_size=320, hidden_size=24, n_layer=2, n_head=2)
    network = BloomForCausalLM(config)
    folder = tmp_path / "bloom"
    network.save_pretrained(folder)
    # As the real repositories: weights of the network with its head, in 16 bits, as a pickle.
    (folder / WEIGHTS).unlink()
    torch.save(network.half().state_dict(), folder / "pytorch_model.bin")
    commit = hub.push("bigscience/bloom-560m-intermediate", folder, "global_step1000")
    tokenizer.save_pretrained(tmp_path / "final")
    shutil.copy(folder / "config.json", tmp_path / "final")
    hub.push("bigscience/bloom-560m", tmp_path / "final")
    out = tmp_path / "p.parquet"
    command = [
        *("profile", "bloom-560m@step1000", "--allow-pickle", "--corpus", text_file, "--out", out),
        *("--tokens", 200, "--batch", 100, "--window", 60),
    ]
    done = client.shapelib(*command, SHAPELIB_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert "using that of bigscience/bloom-560m" in done.stderr
    table = read_table(out)
    first = table.iloc[0]
    assert (first["model"], first["checkpoint"], first["role"]) == (
        *("bloom-560m", "step1000", "decoder"),
    )
    assert (first["step"], first["tokens_seen"]) == (1000, 393216000)
    assert table["layer"].max() == 2
    provenance = table.attrs["provenance"][0]
    assert provenance["revision"] == commit
    assert provenance["tokenizer"] == "bigscience/bloom-560m"
    assert json.dumps(provenance)
