"""Finding and loading models: what is accepted, what is found by effect, what is refused."""

import gc
import json
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from shapelib.errors import ShapelibError
from shapelib.models import catalogue, loading, placement
from shapelib.models.loading import Source, find, load, pick_device
from shapelib.models.probe import Found
from shapelib.store import cache


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
    from shapelib.store import assets

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
        ("pythia-2.8b@step1000", "qwen2.5-coder-1.5b, mpnet-base, minilm-l6 need no hub"),
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


def test_a_revision_of_what_is_not_on_the_hub(decoder_folder: Path):
    with pytest.raises(ShapelibError, match="revision 'main' was given, but 'minilm-l6'"):
        find("minilm-l6", "main")
    with pytest.raises(ShapelibError, match="is not a hub name"):
        find(decoder_folder, "main")


def as_pickle(folder: Path, target: Path, shards: int = 1) -> Path:
    """A copy of a folder with its weights as pickles, as older repositories have them."""
    from safetensors.torch import load_file

    shutil.copytree(folder, target)
    weights = load_file(target / "model.safetensors")
    (target / "model.safetensors").unlink()
    torch.save({"not": "weights"}, target / "training_args.bin")
    if shards == 1:
        torch.save(weights, target / "pytorch_model.bin")
        return target
    names = sorted(weights)
    index = {}
    for number in range(shards):
        file = f"pytorch_model-{number + 1:05}-of-{shards:05}.bin"
        part = {name: weights[name] for name in names[number::shards]}
        torch.save(part, target / file)
        index |= dict.fromkeys(part, file)
    text = json.dumps({"metadata": {}, "weight_map": index})
    (target / "pytorch_model.bin.index.json").write_text(text)
    return target


def test_a_folder_of_a_catalogue_name_does_not_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "minilm-l6").mkdir()
    assert find("minilm-l6").known is not None
    assert "for the folder here write ./minilm-l6" in caplog.text
    with pytest.raises(ShapelibError, match=r"holds no config\.json"):
        find("./minilm-l6")


def test_pickles_are_refused_unless_allowed(decoder_folder: Path, tmp_path: Path):
    folder = as_pickle(decoder_folder, tmp_path / "pickled")
    with pytest.raises(
        ShapelibError, match=r"no safetensors weights \(it has pytorch_model.bin: pi"
    ):
        find(folder)
    with pytest.raises(ShapelibError, match="--allow-pickle"):
        load(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ShapelibError, match="holds no weights"):
        find(folder, allow_pickle=True)


@pytest.mark.parametrize("shards", [1, 3])
def test_allowed_pickles_are_the_same_weights(shards: int, decoder_folder: Path, tmp_path: Path):
    folder = as_pickle(decoder_folder, tmp_path / "pickled", shards)
    ours, theirs = load(folder, allow_pickle=True), load(decoder_folder)
    assert ours.source.pickled
    assert placement.count(folder, "pickled") == theirs.parameters
    for one, two in zip(ours.network.parameters(), theirs.network.parameters(), strict=True):
        assert torch.equal(one, two)
    pickle_file = next(folder.glob("pytorch_model*.bin"))
    before = ours.source.fingerprint
    pickle_file.write_bytes(pickle_file.read_bytes() + b"0")
    assert find(folder, allow_pickle=True).fingerprint != before


class Harmful:
    """Pickled, it writes a file when it is read without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.write_text, (self.target, "ran")


def test_a_malicious_pickle_does_not_run(decoder_folder: Path, tmp_path: Path):
    harm = tmp_path / "harm"
    folder = as_pickle(decoder_folder, tmp_path / "pickled")
    file = folder / "pytorch_model.bin"
    for save in (
        lambda bad: file.write_bytes(pickle.dumps(bad, protocol=2)),
        lambda bad: torch.save(bad, file),
    ):
        save({"norm.weight": Harmful(harm)})
        # The trap works where somebody reads it without care.
        torch.load(file, weights_only=False) if zipfile.is_zipfile(file) else pickle.loads(
            file.read_bytes()
        )
        assert harm.read_text() == "ran"
        harm.unlink()
        with pytest.raises(
            ShapelibError, match=r"pickled cannot be loaded: pytorch_model\.bin: .*"
        ):
            load(folder, allow_pickle=True)
        with pytest.raises(ShapelibError, match="pickled cannot be loaded"):
            loading._network(folder, find(folder, allow_pickle=True), "float32", False, None)
        assert not harm.exists()


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


def test_encoder_decoders_of_the_catalogue_are_refused_before_they_are_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    source = Source("t5-small", tmp_path, "", known=catalogue.models()["t5-small"], pending="x/y")
    with pytest.raises(ShapelibError, match="t5-small is an encoder-decoder model"):
        load(source)


def test_no_tokenizer(decoder_folder: Path, tmp_path: Path):
    folder = shutil.copytree(decoder_folder, tmp_path / "mute")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ShapelibError, match="mute has no tokenizer"):
        load(folder)


def test_a_mask_that_was_lost_is_noticed(monkeypatch: pytest.MonkeyPatch):
    lost = Found("encoder", True, False, 30, 576)
    monkeypatch.setattr(loading, "_probe", lambda *_: lost)
    with pytest.raises(ShapelibError, match="encoder by effect, but is listed as decoder"):
        load("smollm2-135m")


def test_devices_and_dtypes(decoder_folder: Path):
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("spread") == pick_device("auto")
    for device in ("gpu", "cuda:99"):
        with pytest.raises(ShapelibError, match=f"device '{device}' cannot be used"):
            pick_device(device)
    with pytest.raises(ShapelibError, match="did you mean 'float32'"):
        load(decoder_folder, dtype="float23")
    half = load(decoder_folder, dtype="bfloat16")
    assert next(half.network.parameters()).dtype == torch.bfloat16


def test_the_type_of_numbers_follows_size_and_device(
    decoder_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    assert load(decoder_folder).dtype == "float32"
    assert placement.choose_dtype("auto", 3 * placement.LARGE, torch.device("cpu")) == "float32"
    assert placement.choose_dtype("auto", placement.LARGE, torch.device("cuda")) == "float32"
    assert placement.choose_dtype("auto", placement.LARGE + 1, torch.device("cuda")) == "bfloat16"
    assert placement.choose_dtype("float16", 10, torch.device("cpu")) == "float16"


@pytest.mark.parametrize("pickles", [False, True])
def test_a_model_larger_than_its_device_is_spread(
    pickles: bool, decoder_folder: Path, own_cache: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    """On a machine whose memory is (as far as the loader is told) smaller than the weights."""
    folder = as_pickle(decoder_folder, tmp_path / "pickled") if pickles else decoder_folder
    whole = load(folder, allow_pickle=pickles)
    monkeypatch.setattr(placement, "room", lambda: {"cpu": 90_000})
    with caplog.at_level("INFO", "shapelib"):
        spread = load(folder, allow_pickle=pickles)
    assert "it is spread out, which is slower" in caplog.text
    assert set(spread.network.hf_device_map.values()) == {"cpu", "disk"}
    assert spread.device == torch.device("cpu")
    assert (spread.role, spread.after_norm) == (whole.role, whole.after_norm)
    assert spread.parameters == whole.parameters
    ids = torch.tensor([[5, 70, 9, 11]])
    with torch.inference_mode():
        one, two = (m.network(ids, output_hidden_states=True) for m in (whole, spread))
    for a, b in zip(one.hidden_states, two.hidden_states, strict=True):
        torch.testing.assert_close(a, b)
    # What was written for it goes away with it.
    spill = own_cache / "spill"
    assert len(list(spill.iterdir())) == 1
    del spread, two
    gc.collect()
    assert list(spill.iterdir()) == []


def test_spread_over_one_device_that_holds_it(decoder_folder: Path):
    model = load(decoder_folder, device="spread")
    assert model.device == torch.device("cpu")
    assert {each.device.type for each in model.network.parameters()} == {"cpu"}


def test_a_device_that_is_full(decoder_folder: Path, monkeypatch: pytest.MonkeyPatch):
    class Full:
        def to(self, device: torch.device) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loading, "_network", lambda *_: Full())
    with pytest.raises(ShapelibError, match="more than cpu has free: use device spread, or half"):
        load(decoder_folder, device="cpu")


def test_a_projection_after_the_last_block_is_left_to_the_head(tokenizer: Any, tmp_path: Path):
    """transformers gives opt-350m's last entry in the width of its embedding."""
    from transformers import OPTConfig, OPTModel

    config = OPTConfig(
        vocab_size=320, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, ffn_dim=32,
        max_position_embeddings=64, word_embed_proj_dim=16, do_layer_norm_before=False,
    )  # fmt: skip
    network = OPTModel(config)
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    ids = torch.tensor([[5, 70, 9]])
    states = load(tmp_path).network(ids, output_hidden_states=True).hidden_states
    theirs = network.eval()(ids, output_hidden_states=True).hidden_states
    assert [each.shape[-1] for each in states] == [32, 32, 32]
    assert theirs[-1].shape[-1] == 16
    projected = network.decoder.project_out(states[-1])
    torch.testing.assert_close(projected, theirs[-1])


def test_half_precision_on_a_processor_is_an_option(
    decoder_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """`auto` stays in float32; without units for it, bfloat16 is no gain, which is said."""
    from shapelib.models import placement

    for has_units, said in ((True, 0), (False, 1)):
        monkeypatch.setattr(placement, "bfloat16_units", lambda has_units=has_units: has_units)
        caplog.clear()
        assert load(decoder_folder, device="cpu").dtype == "float32"
        assert load(decoder_folder, device="cpu", dtype="bfloat16").dtype == "bfloat16"
        assert caplog.text.count("has no units for bfloat16") == said
