"""The catalogue on the hub of the tests: every model and checkpoint under its repository's and its
revision's name, as a tiny one of its real class with random weights, in its published shape:
safetensors or pickles, in shards, gated, and without a tokenizer where it is so."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hub import Hub, Repository
from made import config_of

from shapelib.models import catalogue
from shapelib.models.catalogue import Entry

STEMS = {
    "BERT": "Bert", "RoBERTa": "Roberta", "ALBERT": "Albert", "ELECTRA": "Electra",
    "XLNet": "XLNet", "XLM-RoBERTa": "XLMRoberta", "OPT": "OPT", "Llama": "Llama", "GPT-2": "GPT2",
    "GPT-J": "GPTJ", "Falcon": "Falcon", "BLOOM": "Bloom", "GPT-NeoX": "GPTNeoX",
}  # fmt: skip
"""The stem of the class of transformers, by what the catalogue calls the family."""
OPTIONS: dict[str, dict[str, Any]] = {
    "XLMRoberta": {"max_position_embeddings": 130},
    "Albert": {"embedding_size": 16},
    "Electra": {"embedding_size": 16},
    "OPT": {"ffn_dim": 48, "word_embed_proj_dim": 24},
    "GPTJ": {"rotary_dim": 4},
}
SHARDED = ("llama-2-13b", "opt-13b", "gpt2-xl")


def stock(hub: Hub, names: Iterable[str], folder: Path, tokenizer: Any, framed: Any) -> None:
    """Put these models of the catalogue, and every checkpoint of their suites, on a hub."""
    for name in names:
        entry = catalogue.models()[name]
        network = _network(entry)
        own = framed if entry.role == "encoder" else tokenizer
        final = folder / name
        _save(network, final, entry.weights == "pickle", name in SHARDED)
        own.save_pretrained(final)
        hub.push(entry.hub, final, gated=entry.gated)
        points = entry.suite.checkpoints if entry.suite else ()
        for point in points:
            if point.hub == entry.hub and point.revision is None:
                continue
            _moved(network)
            at = folder / f"{name}@{point.step}"
            _save(network, at, point.weights == "pickle", False)
            # The intermediate revisions of Bloom ship none.
            if entry.family != "BLOOM":
                own.save_pretrained(at)
            hub.push(point.hub, at, point.revision or "main")
            shutil.rmtree(at)


def drop(hub: Hub, repository: str, revision: str) -> None:
    """A checkpoint vanishes from the hub."""
    kept: Repository = hub.repositories[repository]
    del kept.revisions[revision]


def _network(entry: Entry) -> Any:
    import torch
    import transformers

    stem = STEMS[entry.family]
    torch.manual_seed(0)
    return getattr(transformers, f"{stem}Model")(config_of(stem, **OPTIONS.get(stem, {}))).eval()


def _moved(network: Any) -> None:
    """Other weights than before."""
    import torch

    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))


def _save(network: Any, folder: Path, pickled: bool, sharded: bool) -> None:
    import torch

    network.save_pretrained(folder, max_shard_size="30KB" if sharded and not pickled else "1GB")
    if pickled:
        for file in folder.glob("*.safetensors*"):
            file.unlink()
        torch.save(network.state_dict(), folder / "pytorch_model.bin")
