"""Either half of an encoder-decoder, held against the class itself."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made import model_folder

from shapelib import profile, sweep
from shapelib.errors import ShapelibError
from shapelib.models import find, load
from shapelib.states.pool import pool
from shapelib.text.corpus import load_corpus, windows

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL: dict[str, Any] = {"tokens": 200, "batch": 100, "window": 40, "progress": False}


@pytest.mark.parametrize("stem", ["T5", "Bart"])
@pytest.mark.parametrize(("part", "layers"), [("encoder", 2), ("decoder", 3)])
def test_states_are_those_of_each_window_alone(
    stem: str, part: str, layers: int, tokenizer: Any, text_file: Path, tmp_path: Path
):
    from transformers import AutoModel

    folder = model_folder(tmp_path / stem, tokenizer, stem)
    model = load(folder, part=part)
    # The decoder's own causal mask, whatever its encoder sees.
    assert (model.role, model.part, model.layers, model.width) == (part, part, layers, 24)
    drawn = list(windows(load_corpus(text_file), 40))[:12]
    pooled = pool(model, drawn, 150, progress=False)
    whole = AutoModel.from_pretrained(folder).eval()
    for number in range(pooled.windows):
        ids = torch.tensor([tokenizer(drawn[number].text)["input_ids"]])
        with torch.inference_mode():
            out = whole(input_ids=ids, decoder_input_ids=ids, output_hidden_states=True)
        states = out.encoder_hidden_states if part == "encoder" else out.decoder_hidden_states
        for layer in range(layers + 1):
            rows = pooled.states[layer][pooled.window == number]
            np.testing.assert_allclose(rows, states[layer][0], atol=1e-5)


def test_role_and_part_stand_in_the_table(tokenizer: Any, text_file: Path, tmp_path: Path):
    folder = model_folder(tmp_path / "t5", tokenizer, "T5")
    tables = {
        part: profile(folder, text_file, part=part, reuse=True, **SMALL)
        for part in ("encoder", "decoder")
    }
    for part, table in tables.items():
        assert set(table["part"]) == set(table["role"]) == {part}
        again = profile(folder, text_file, part=part, reuse=True, **SMALL)
        assert again["value"].equals(table["value"])
    assert sorted(tables["decoder"]["layer"].unique()) == [0, 1, 2, 3]
    plain = model_folder(tmp_path / "bert", tokenizer, "Bert")
    assert profile(plain, text_file, reuse=False, **SMALL)["part"].isna().all()
    swept = sweep(folder, text_file, output=tmp_path / "store", part="decoder", **SMALL)
    np.testing.assert_array_equal(swept["value"], tables["decoder"]["value"])


def test_a_whole_and_a_part_that_is_not_there(tokenizer: Any, tmp_path: Path):
    folder = model_folder(tmp_path / "t5", tokenizer, "T5")
    with pytest.raises(ShapelibError, match=r"t5 is an encoder-decoder model.*give part="):
        load(folder)
    with pytest.raises(ShapelibError, match="no such part: 'encode'; did you mean 'encoder'"):
        load(folder, part="encode")
    plain = model_folder(tmp_path / "bert", tokenizer, "Bert")
    with pytest.raises(ShapelibError, match="part 'encoder' was given, but bert is no encoder-dec"):
        load(plain, part="encoder")
    with pytest.raises(ShapelibError, match="part 'encoder' was given, but minilm-l6 is no"):
        load(find("minilm-l6"), part="encoder")


def test_files_of_the_encoder_alone(tokenizer: Any, tmp_path: Path):
    """As text-to-image models ship it."""
    folder = model_folder(tmp_path / "half", tokenizer, "T5", "EncoderModel")
    model = load(folder)
    assert (model.role, model.part, model.layers) == ("encoder", "encoder", 2)
    whole = load(model_folder(tmp_path / "whole", tokenizer, "T5"), part="encoder")
    ids = torch.tensor([[7, 8, 9]])
    assert model.parameters == whole.parameters
    with torch.inference_mode():
        states = model.network(ids).hidden_states
    assert [tuple(each.shape) for each in states] == [(1, 3, 24)] * 3
    with pytest.raises(ShapelibError, match=r"half: its files lack .* the first decoder"):
        load(folder, part="decoder")
    # Missing weights of the encoder are missing all the same.
    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(folder, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    del weights["encoder.block.1.layer.0.SelfAttention.q.weight"]
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(ShapelibError, match=r"lack 1 weights .* the first encoder\.block\.1"):
        load(broken)
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["T5EncoderModel"]
