"""What the disturbed commands work on: a suite of checkpoints, texts, a task, a recipe."""

import json
import pickle
import random
from pathlib import Path

STEPS = [100 * n for n in range(20)]
_WORDS = ("moon", "river", "sand", "coast", "wind", "mat", "log", "line")
SWEEP = ("--tokens", "300", "--batch", "100", "--window", "60", "--memory", "0.1")
TUNE = (
    *("--dimensions", "20,400", "--methods", "DID,SAID", "--learning-rates", "0.01"),
    *("--full-rates", "0.006", "--seeds", "0,1", "--steps", "40", "--batch", "16"),
    *("--length", "16", "--device", "cpu"),
)
TRAIN = """
import pickle, sys
from pathlib import Path
import torch
from shapelib.errors import ShapelibError
from shapelib.pretraining import pretrain
torch.set_num_threads(1)
pretrain._KEEP_EVERY = 0.0
made, folder = sys.argv[1:]
try:
    pretrain.train(pickle.loads(Path(made).read_bytes()), folder, device="cpu", progress=False)
except ShapelibError as error:
    sys.exit(f"error: {error}")
"""
CELL = """
import time
import pandas as pd
from shapelib.store import tables

def compute(n):
    time.sleep(0.05)
    return pd.DataFrame({"n": [n], "value": [n ** 0.5]})

found = pd.concat([tables.cached(f"square-root-{n}", lambda: compute(n)) for n in range(roots)])
print(found["value"].sum())
"""
ROOTS = 40


def make(folder: Path) -> bool:
    """Write everything into a folder. True, so that it was."""
    import nbformat
    import pandas as pd
    import torch
    from conftest import TEXT
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

    from shapelib import recipe

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = _tokenizer(TEXT)
    usual = {
        "vocab_size": 320, "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 128, "initializer_range": 0.3,
        "pad_token_id": 0,
    }  # fmt: skip
    network = LlamaModel(LlamaConfig(**usual, num_key_value_heads=2))
    for step in STEPS:
        with torch.no_grad():
            for each in network.parameters():
                each.add_(0.02 * torch.randn_like(each))
        place = folder / "suite" / f"step{step}"
        network.save_pretrained(place)
        facts = {"step": step, "tokens_seen": 512 * step, "loss": 3.0, "learning_rate": 1e-3}
        (place / "training.json").write_text(json.dumps(facts))
    tokenizer.save_pretrained(folder / "suite")
    BertModel(BertConfig(**usual), add_pooling_layer=False).save_pretrained(folder / "encoder")
    tokenizer.save_pretrained(folder / "encoder")
    lines = [f"Line {n}: a cat sat on {n * n} mats." for n in range(600)]
    (folder / "story.txt").write_text("\n".join(lines))
    draw, rows = random.Random(0), []
    for n in range(240):
        words = draw.choices(_WORDS, k=2)
        words.insert(draw.randrange(3), ("cat", "dog")[n % 2])
        rows.append({"text": " ".join([str(n // 2), *words]), "label": ("feline", "canine")[n % 2]})
    pd.DataFrame(rows).to_csv(folder / "animals.csv", index=False)
    made = recipe(
        "decoder", corpus=str(folder / "story.txt"), layers=2, width=16, heads=2, vocabulary=300,
        window=24, batch=2, steps=60, warmup=2, learning_rate=1e-3, checkpoints=(0, 7, 20, 40, 60),
    )  # fmt: skip
    (folder / "recipe").write_bytes(pickle.dumps(made))
    cells = [
        nbformat.v4.new_code_cell(f"roots = {ROOTS}", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(CELL),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "roots.ipynb")
    return True


def _tokenizer(text: str) -> object:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    raw.train_from_iterator([text], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        model_max_length=128,
    )  # fmt: skip
