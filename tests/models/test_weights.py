"""Weights and network belong together, by whichever way they come."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made import model_folder

from shapelib.errors import NoTokenizer, ShapelibError
from shapelib.models import find, load
from shapelib.store import cache

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


def as_gguf(folder: Path, target: Path, tokenizer: Any, parts: int = 1, without: str = "-") -> Path:
    """A Llama of a folder as a GGUF file of float32, some of its tensors left out."""
    import gguf
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    out = gguf.GGUFWriter(target, "llama")
    heads = config["num_attention_heads"]
    for add, value in (
        (out.add_block_count, config["num_hidden_layers"]),
        (out.add_context_length, config["max_position_embeddings"]),
        (out.add_embedding_length, config["hidden_size"]),
        (out.add_feed_forward_length, config["intermediate_size"]),
        (out.add_head_count, heads), (out.add_head_count_kv, config["num_key_value_heads"]),
        (out.add_layer_norm_rms_eps, config["rms_norm_eps"]), (out.add_vocab_size, 320),
        (out.add_rope_dimension_count, config["hidden_size"] // heads),
    ):  # fmt: skip
        add(value)
    if parts > 1:
        out.add_uint16("split.count", parts)
        out.add_uint16("split.no", 0)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    words = sorted(backend["vocab"], key=backend["vocab"].get)
    out.add_tokenizer_model("gpt2")
    out.add_token_list(words)
    out.add_token_types([3 if word.startswith("<") and len(word) > 2 else 1 for word in words])
    merges = [each if isinstance(each, str) else " ".join(each) for each in backend["merges"]]
    out.add_token_merges(merges)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_pad_token_id(0)
    names = {"embed_tokens": "token_embd", "norm": "output_norm", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
             "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
             "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}  # fmt: skip
    for name, value in load_file(folder / "model.safetensors").items():
        path = name.removesuffix(".weight")
        if without in name:
            continue
        if path.startswith("layers."):
            _, number, inner = path.split(".", 2)
            path = f"blk.{number}.{names[inner]}"
        else:
            path = names[path]
        array = value.float().numpy()
        if path.endswith(("attn_q", "attn_k")):
            n = heads if path.endswith("q") else config["num_key_value_heads"]
            shape = (n, 2, array.shape[0] // n // 2, array.shape[1])
            array = array.reshape(shape).swapaxes(1, 2).reshape(array.shape)
        out.add_tensor(f"{path}.weight", np.ascontiguousarray(array))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return target


def test_a_gguf_file_is_whole_or_refused(decoder_folder: Path, tokenizer: Any, tmp_path: Path):
    whole = load(as_gguf(decoder_folder, tmp_path / "whole.gguf", tokenizer))
    plain = load(decoder_folder)
    assert (whole.quantised, plain.quantised) == ("0.02 M in F32", None)
    ids = torch.tensor([[5, 70, 9, 11]])
    with torch.inference_mode():
        one, two = (each.network(ids).last_hidden_state for each in (whole, plain))
    torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
    with pytest.raises(ShapelibError, match=r"part\.gguf: its files lack \d+ weights of the netw"):
        load(as_gguf(decoder_folder, tmp_path / "part.gguf", tokenizer, without="layers.2."))
    first = as_gguf(decoder_folder, tmp_path / "a-00001-of-00002.gguf", tokenizer, 2, "layers.2.")
    with pytest.raises(ShapelibError, match="is one of 2 parts of a GGUF file; merge them"):
        load(first)
    assert {each.key.partition("-")[0] for each in cache.entries(["models"])} == {"whole"}


def test_a_disk_without_room_for_the_copy(
    decoder_folder: Path, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = as_gguf(decoder_folder, tmp_path / "whole.gguf", tokenizer)
    full = shutil._ntuple_diskusage(10**9, 10**9, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(ShapelibError, match=r"0\.0 GB left and 0\.0 GB are needed"):
        load(file)


@pytest.mark.stress
@pytest.mark.parametrize("name", ["smollm2-135m"])
def test_the_catalogue_tells_the_types_of_the_file(name: str, monkeypatch: pytest.MonkeyPatch):
    from shapelib.models.catalogue import models
    from shapelib.models.files.gguf_file import told, weights_by_type
    from shapelib.store import assets

    monkeypatch.delenv("SHAPELIB_CACHE")
    assert told(weights_by_type(assets.fetch(name))) == models()[name].quantised


def changed(folder: Path, target: Path, **settings: Any) -> Path:
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **settings}))
    return target


def test_weights_of_more_layers_than_the_config_counts(decoder_folder: Path, tmp_path: Path):
    folder = changed(decoder_folder, tmp_path / "cut", num_hidden_layers=2)
    with pytest.raises(
        ShapelibError, match=r"cut: its files hold 9 weights of layers .* layers\.2"
    ):
        load(folder)


def test_weights_without_a_place_are_said(
    tokenizer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = model_folder(tmp_path / "biased", tokenizer, "Llama", attention_bias=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attention_bias": False}))
    load(folder)
    assert "biased: 8 weights of its files have no place in the layers of LlamaModel" in caplog.text


def test_heads_are_no_strangers(tokenizer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    load(model_folder(tmp_path / "lm", tokenizer, "Llama", "ForCausalLM"))
    load(model_folder(tmp_path / "mlm", tokenizer, "Bert", "ForMaskedLM"))
    assert "no place" not in caplog.text


def test_weights_of_another_shape(decoder_folder: Path, tmp_path: Path):
    folder = changed(decoder_folder, tmp_path / "wide", intermediate_size=64)
    with pytest.raises(ShapelibError, match=r"^wide"):
        load(folder)


@pytest.mark.parametrize("beside", [True, False])
def test_an_adapter_is_merged_first(decoder_folder: Path, tmp_path: Path, beside: bool):
    folder = tmp_path / "tuned"
    if beside:
        shutil.copytree(decoder_folder, folder)
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (folder / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ShapelibError, match=r"tuned' holds an adapter .* merge it first"):
        find(folder)
    suite = tmp_path / "runs"
    shutil.copytree(folder, suite / "checkpoint-5")
    (suite / "checkpoint-5" / "config.json").unlink(missing_ok=True)
    with pytest.raises(ShapelibError, match=r"checkpoint-5' holds an adapter .* merge it first"):
        find(suite)


def test_a_tokenizer_of_another_version(decoder_folder: Path, tmp_path: Path):
    folder = shutil.copytree(decoder_folder, tmp_path / "newer")
    file = folder / "tokenizer.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "model": {**told["model"], "type": "Future"}}))
    with pytest.raises(ShapelibError, match=r"newer has no tokenizer that loads: ") as caught:
        load(folder)
    assert not isinstance(caught.value, NoTokenizer), "it holds one, so none is asked for"


@pytest.mark.parametrize("left", ["tokenizer_config.json", ""])
@pytest.mark.parametrize("family", ["decoder_folder", "encoder_folder"])
def test_a_folder_without_a_tokenizer(
    family: str, left: str, request: pytest.FixtureRequest, tmp_path: Path
):
    folder = shutil.copytree(request.getfixturevalue(family), tmp_path / "bare")
    for file in folder.glob("*token*"):
        if file.name != left:
            file.unlink()
    with pytest.raises(NoTokenizer, match="bare"):
        load(folder)


def test_a_name_longer_than_a_file_may_have(decoder_folder: Path, text_file: Path, tmp_path: Path):
    from shapelib import profile

    name = "ä" * 120
    folder = shutil.copytree(decoder_folder, tmp_path / name)
    table = profile(folder, text_file, tokens=200, batch=100, window=40, progress=False)
    assert set(table["model"]) == {name}
    assert cache.named("short", "key") == "short-key"
    long = cache.named(name, "key")
    assert long.endswith("-key")
    assert len(long.encode()) < 200
    assert find(folder).name == name
