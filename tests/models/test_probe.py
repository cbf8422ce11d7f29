"""What a look at a network finds, whatever its precision, and that it leaves no trace."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made import model_folder, network_of

from shapelib import profile
from shapelib.errors import ShapelibError
from shapelib.models import masks
from shapelib.models.loading import Model, live, load
from shapelib.models.probe import in_float32, left_as_it_was, padding_leaks, probe
from shapelib.states.pool import Pool, pool
from shapelib.text.corpus import Corpus, Window, load_corpus, windows

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def text(text_file: Path) -> Corpus:
    return load_corpus(text_file)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("stem", "role"),
    [
        ("Bert", "encoder"), ("Roberta", "encoder"), ("Longformer", "encoder"),
        ("ModernBert", "encoder"), ("ConvBert", "encoder"), ("MPNet", "encoder"),
        ("GPT2", "decoder"), ("Llama", "decoder"), ("Mixtral", "decoder"),
    ],
)  # fmt: skip
def test_the_role_does_not_depend_on_precision(
    stem: str, role: str, dtype: torch.dtype, tokenizer: Any
):
    """With the weak attention of weights as they are drawn; a window is narrower than the text."""
    network = network_of(stem).to(dtype)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = probe(network, tokenizer, stem)
    assert found.role == role
    assert {each.dtype for each in network.parameters()} == {dtype}
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_real_encoder_in_half_precision():
    model = load("minilm-l6", dtype="bfloat16")
    assert (model.role, model.dtype, model.layers) == ("encoder", "bfloat16", 6)
    table = profile(model, tokens=512, batch=512, progress=False)
    assert set(table["role"]) == {"encoder"}


def alone(model: Model, drawn: list[Window], layer: int) -> list[np.ndarray]:
    """The states of each window read by itself, on a network that has read nothing before."""
    states = []
    for each in drawn:
        network = copy.deepcopy(model.network)
        ids = torch.tensor([model.tokenizer(each.text)["input_ids"]])
        with torch.inference_mode():
            read = network(ids, output_hidden_states=True).hidden_states[layer][0]
            states.append(read[: ids.shape[1]].numpy())
    return states


def of_windows(pooled: Pool, layer: int) -> list[np.ndarray]:
    return [pooled.states[layer][pooled.window == each] for each in range(pooled.windows)]


@pytest.mark.parametrize("stem", ["FNet", "ConvBert"])
def test_where_padding_leaks_no_window_is_padded(
    stem: str, tokenizer: Any, text: Corpus, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    model = load(model_folder(tmp_path / stem, tokenizer, stem, initializer_range=0.3))
    assert model.leaks
    drawn = list(windows(text, 50))[:12]
    caplog.set_level("INFO", "shapelib")
    pooled = pool(model, drawn, 150, progress=False)
    assert len({len(each) for each in of_windows(pooled, 0)}) > 2
    for ours, theirs in zip(of_windows(pooled, 2), alone(model, drawn, 2), strict=False):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    assert "windows of equal length alone are read together" in caplog.text


def test_where_it_does_not_leak_windows_are_read_together(tokenizer: Any, tmp_path: Path):
    for stem in ("Bert", "Llama"):
        assert not load(model_folder(tmp_path / stem, tokenizer, stem)).leaks


def test_a_look_does_not_change_what_is_read_next(tokenizer: Any, text: Corpus, tmp_path: Path):
    """BigBird gives up sparse attention for good at its first short text."""
    folder = model_folder(tmp_path / "bird", tokenizer, "BigBird", initializer_range=0.3)
    model = load(folder)
    sparse = type(model.network.encoder.layer[0].attention.self).__name__
    assert sparse == "BigBirdBlockSparseAttention"
    assert model.network.attention_type == "block_sparse"
    tokenizer = model.tokenizer
    tokenizer.model_max_length = 256
    drawn = [each for each in windows(text, 200) if len(tokenizer(each.text)["input_ids"]) > 60][:3]
    drawn += list(windows(text, 30))[:3]
    for _ in range(2):
        pooled = pool(model, drawn, 200, progress=False)
        for layer in (1, 2):
            both = zip(of_windows(pooled, layer), alone(model, drawn, layer), strict=False)
            for ours, theirs in both:
                np.testing.assert_allclose(ours, theirs, atol=2e-5)
    # The control: what the probe did before does change it.
    network = copy.deepcopy(model.network)
    ids = torch.tensor([tokenizer(drawn[0].text)["input_ids"]])
    with torch.inference_mode():
        first = network(ids, output_hidden_states=True).hidden_states[-1]
        network(ids[:, :8])
        second = network(ids, output_hidden_states=True).hidden_states[-1]
    assert float((first - second).abs().max()) > 1e-3


def test_everything_is_put_back():
    network = network_of("Bert")
    part, buffer = network.encoder, network.embeddings.position_ids
    with left_as_it_was(network):
        network.encoder = torch.nn.Identity()
        network.embeddings.position_ids = buffer + 1
        network.config.hidden_act = "other"
        network.note = 1
        network.train()
    assert network.encoder is part
    assert network.embeddings.position_ids is buffer
    assert network.config.hidden_act == "gelu"
    assert not any(each.training for each in network.modules())


def test_weights_are_the_same_tensors_after_float32():
    network = network_of("Bert").to(torch.bfloat16)
    before = [each.data_ptr() for each in network.parameters()]
    with in_float32(network):
        assert {each.dtype for each in network.parameters()} == {torch.float32}
    assert [each.data_ptr() for each in network.parameters()] == before


def test_padding_is_looked_at_by_its_effect():
    ids = list(range(5, 25))
    with torch.inference_mode():
        assert padding_leaks(network_of("FNet", initializer_range=0.3), [ids, ids[:7]], 0)
        assert not padding_leaks(network_of("Bert", initializer_range=0.3), [ids, ids[:7]], 0)


class Odd(torch.nn.Module):
    """A network with states of a shape of its own."""

    def __init__(self, shape: Any) -> None:
        super().__init__()
        self.shape, self.weight = shape, torch.nn.Parameter(torch.ones(320, 4))
        self.config = network_of("Bert").config

    def get_input_embeddings(self) -> Any:
        return self

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        from types import SimpleNamespace

        states = tuple(torch.ones(*self.shape(input_ids), 4) for _ in range(3))
        return SimpleNamespace(hidden_states=(*states[:-1], torch.ones(*input_ids.shape, 4)))


@pytest.mark.parametrize(
    "shape",
    [lambda ids: (4, *ids.shape), lambda ids: (ids.shape[0], 64)],
    ids=["four streams", "padded length"],
)
def test_states_of_another_shape_are_refused(shape: Any, tokenizer: Any):
    with pytest.raises(ShapelibError, match=r"gives states of shape \(.*\) in layer 0, expected"):
        live(Odd(shape), tokenizer, "odd")


def test_a_class_that_takes_no_text(tokenizer: Any, tmp_path: Path):
    from transformers import (
        Blip2Config,
        Blip2Model,
        CLIPConfig,
        CLIPModel,
        SiglipConfig,
        SiglipModel,
        ViTConfig,
        ViTModel,
    )

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
             "num_attention_heads": 2, "image_size": 8, "patch_size": 4}  # fmt: skip
    ViTModel(ViTConfig(**small)).save_pretrained(tmp_path / "vit")
    of_text = {**small, "vocab_size": 320, "max_position_embeddings": 32}
    both = CLIPConfig(text_config=of_text, vision_config=small, projection_dim=8)
    CLIPModel(both).save_pretrained(tmp_path / "clip")
    SiglipModel(SiglipConfig(text_config=of_text, vision_config=small)).save_pretrained(
        tmp_path / "siglip"
    )
    blip = Blip2Config(
        vision_config=small, qformer_config={**of_text, "encoder_hidden_size": 16},
        text_config={**of_text, "model_type": "opt", "ffn_dim": 16, "word_embed_proj_dim": 16},
        num_query_tokens=2,
    )  # fmt: skip
    Blip2Model(blip).save_pretrained(tmp_path / "blip-2")
    for name in ("vit", "clip", "siglip", "blip-2"):
        tokenizer.save_pretrained(tmp_path / name)
        with pytest.raises(ShapelibError, match=f"^{name} "):
            load(tmp_path / name)


def test_tokens_without_an_embedding_are_named(text: Corpus, tokenizer: Any, tmp_path: Path):
    folder = model_folder(tmp_path / "small", tokenizer, "Llama", vocab_size=200)
    with pytest.raises(
        ShapelibError, match=r"small gives token \d+, and the network has embeddings"
    ):
        pool(load(folder), windows(text, 40), 100, progress=False)


def test_a_pad_token_that_the_network_does_not_have(text: Corpus, tokenizer: Any, tmp_path: Path):
    """A tokenizer got one, the embedding did not: what is masked may be anything."""
    plain = load(model_folder(tmp_path / "llama", tokenizer, "Llama"))
    drawn = list(windows(text, 40))[:20]
    expected = pool(plain, drawn, 200, progress=False)
    wider = copy.deepcopy(tokenizer)
    wider.add_special_tokens({"pad_token": "<new>"})
    assert wider.pad_token_id == 320
    assert masks.filler(plain.network, wider) == 0
    assert masks.filler(plain.network, tokenizer) == tokenizer.pad_token_id
    found = pool(live(plain.network, wider), drawn, 200, progress=False)
    for one, two in zip(expected.states.values(), found.states.values(), strict=True):
        np.testing.assert_array_equal(one, two)


def deaf(tokenizer: Any, folder: Path, stem: str) -> Any:
    """A network whose attention gives zeros: each token is by itself."""
    network = network_of(stem)
    with torch.no_grad():
        for name, each in network.named_parameters():
            if "attention.output.dense" in name or "self_attn.o_proj" in name:
                each.zero_()
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return network


@pytest.mark.parametrize("stem", ["Bert", "Llama"])
def test_a_network_whose_tokens_do_not_see_each_other(
    stem: str, tokenizer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """It would pass for a decoder. Loaded it is refused; while it trains it may learn to."""
    network = deaf(tokenizer, tmp_path / "deaf", stem)
    assert not probe(network, tokenizer, stem).mixes
    with pytest.raises(
        ShapelibError, match=r"^deaf: no token changes the vector of another, so its"
    ):
        load(tmp_path / "deaf")
    assert live(network, tokenizer, "mine").layers == 2
    assert "mine: no token changes the vector of another" in caplog.text
    assert probe(network_of(stem), tokenizer, stem).mixes
