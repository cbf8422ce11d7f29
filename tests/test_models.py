"""Finding and loading models: what is accepted, what is found by effect, what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from shapelib import cache, catalogue, models
from shapelib.errors import ShapelibError
from shapelib.models import find, load, pick_device


def test_the_catalogue_is_true_of_the_files():
    for name in ("smollm2-135m", "minilm-l6"):
        known, model = catalogue.models()[name], load(name)
        assert (model.role, model.layers, model.width) == (
            known.role,
            known.layers,
            known.hidden_size,
        )
        assert model.parameters == known.parameters
        assert model.source.known == known
        assert not model.network.training
        assert model.dtype == "float32"
        assert next(model.network.parameters()).dtype == torch.float32


def test_a_final_norm_is_seen():
    assert load("smollm2-135m").after_norm
    assert not load("minilm-l6").after_norm


@pytest.mark.parametrize(
    ("family", "options", "role", "after_norm"),
    [
        ("GPT2", {"n_embd": 24, "n_layer": 2, "n_head": 2}, "decoder", True),
        ("GPTNeoX", {}, "decoder", True),
        ("OPT", {"ffn_dim": 48, "word_embed_proj_dim": 24}, "decoder", True),
        ("Bloom", {"n_layer": 2, "n_head": 2}, "decoder", True),
        ("Roberta", {}, "encoder", False),
        ("Albert", {"embedding_size": 12}, "encoder", False),
        ("ModernBert", {"pad_token_id": 0}, "encoder", True),
        ("Qwen2", {"num_key_value_heads": 2}, "decoder", True),
    ],
)
def test_role_and_norm_are_found_by_effect(
    family: str, options: dict[str, Any], role: str, after_norm: bool, tokenizer: Any,
    tmp_path: Path,
):  # fmt: skip
    import transformers

    size = {
        "vocab_size": 320, "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 128,
    }  # fmt: skip
    config = getattr(transformers, f"{family}Config")(**{**size, **options})
    getattr(transformers, f"{family}Model")(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = load(tmp_path)
    assert (model.role, model.after_norm, model.layers, model.width) == (role, after_norm, 2, 24)


def test_a_gguf_file_is_the_short_name_it_came_from():
    from shapelib import assets

    by_file, by_name = find(assets.fetch("smollm2-135m")), find("smollm2-135m")
    assert by_file.folder == by_name.folder
    assert by_file.name.startswith("SmolLM2-135M")


def test_the_fingerprint_follows_the_weights(decoder_folder: Path, tmp_path: Path):
    copy = shutil.copytree(decoder_folder, tmp_path / "copy")
    before = find(copy).fingerprint
    assert before == find(decoder_folder).fingerprint
    weights = copy / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert find(copy).fingerprint != before


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smolm2-135m", "did you mean 'smollm2-135m'"),
        ("pythia-2.8b@step1000", "smollm2-135m and minilm-l6 need no hub"),
        ("EleutherAI/pythia-70m", "hub could not be reached"),
        ("./missing", "no such folder or file: './missing'"),
        ("missing.gguf", "no such folder or file: 'missing.gguf'"),
        ("two words", "cannot be a hub name"),
    ],
)
def test_an_unknown_name(name: str, message: str):
    with pytest.raises(ShapelibError) as caught:
        find(name)
    assert message in str(caught.value)
    assert "a folder with config.json" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("RevisionNotFoundError", "no revision 'step7'"),
        ("RepositoryNotFoundError", "the hub has no model 'a/b'"),
        ("GatedRepoError", "is gated"),
    ],
)
def test_what_the_hub_refuses(error: str, message: str, monkeypatch: pytest.MonkeyPatch):
    import httpx2 as httpx
    import huggingface_hub

    response = httpx.Response(404, request=httpx.Request("GET", "http://hub"))

    def refuse(*_: object, **__: object) -> None:
        raise getattr(huggingface_hub.errors, error)("refused", response=response)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ShapelibError, match=message):
        find("a/b", "step7")


def test_a_revision_of_what_is_not_on_the_hub(decoder_folder: Path):
    with pytest.raises(ShapelibError, match="revision 'main' was given, but 'minilm-l6'"):
        find("minilm-l6", "main")
    with pytest.raises(ShapelibError, match="is not a hub name"):
        find(decoder_folder, "main")


def test_pickles_are_refused(decoder_folder: Path, tmp_path: Path):
    folder = shutil.copytree(decoder_folder, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ShapelibError, match=r"no safetensors weights \(it has pytorch_model.bin"):
        find(folder)


def test_a_folder_that_is_no_model(tmp_path: Path):
    with pytest.raises(ShapelibError, match=r"no config\.json"):
        find(tmp_path)
    (tmp_path / "file.bin").touch()
    with pytest.raises(ShapelibError, match=r"neither a folder nor a \.gguf file"):
        find(tmp_path / "file.bin")


def test_missing_weights_are_not_made_up(decoder_folder: Path, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(decoder_folder, tmp_path / "partial")
    weights = load_file(folder / "model.safetensors")
    del weights["layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ShapelibError, match=r"lack 1 weights of the network, the first layers\.1"):
        load(folder)


def test_a_damaged_file(decoder_folder: Path, tmp_path: Path):
    folder = shutil.copytree(decoder_folder, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ShapelibError, match="cut cannot be loaded"):
        load(folder)
    (tmp_path / "bad.gguf").write_bytes(b"GGUF nothing")
    with pytest.raises(ShapelibError, match=r"bad\.gguf cannot be read as GGUF"):
        load(tmp_path / "bad.gguf")
    assert not any(each.key.startswith("bad-") for each in cache.entries(["models"]))


def test_remote_code_does_not_run_unasked(decoder_folder: Path, tmp_path: Path):
    folder = shutil.copytree(decoder_folder, tmp_path / "remote")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ShapelibError, match="cannot be loaded"):
        load(folder)
    assert not (tmp_path / "ran").exists()


def test_encoder_decoders_are_refused(tokenizer: Any, tmp_path: Path):
    from transformers import T5Config, T5Model

    T5Model(T5Config(vocab_size=320, d_model=16, d_kv=4, d_ff=16, num_layers=1)).save_pretrained(
        tmp_path
    )
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ShapelibError, match="encoder-decoder"):
        load(tmp_path)


def test_no_tokenizer(decoder_folder: Path, tmp_path: Path):
    folder = shutil.copytree(decoder_folder, tmp_path / "mute")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ShapelibError, match="mute has no tokenizer"):
        load(folder)


def test_a_mask_that_was_lost_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models, "_probe", lambda *_: ("encoder", True))
    with pytest.raises(ShapelibError, match="encoder by effect, but is listed as decoder"):
        load("smollm2-135m")


def test_devices_and_dtypes(decoder_folder: Path):
    assert pick_device("cpu") == torch.device("cpu")
    for device in ("gpu", "cuda:99"):
        with pytest.raises(ShapelibError, match=f"device '{device}' cannot be used"):
            pick_device(device)
    with pytest.raises(ShapelibError, match="did you mean 'float32'"):
        load(decoder_folder, dtype="float23")
    half = load(decoder_folder, dtype="bfloat16")
    assert next(half.network.parameters()).dtype == torch.bfloat16
