"""The catalogue on the hub of the tests: every model and checkpoint under its repository's and its
revision's name, as a tiny one of its real class with random weights, in its published shape:
safetensors or pickles, in shards, gated, with the tokenizer of its family in the files that the
family has, or without one. And the data sets that the papers' tasks are read from.
"""

import contextlib
import dataclasses
import functools
import io
import json
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import matrix
from hub import Hub

from shapelib.finetuning import tasks
from shapelib.models import catalogue
from shapelib.models.catalogue import Entry

TYPES = {
    "BERT": "bert", "RoBERTa": "roberta", "ALBERT": "albert", "ELECTRA": "electra",
    "XLNet": "xlnet", "XLM-RoBERTa": "xlm-roberta", "OPT": "opt", "Llama": "llama", "GPT-2": "gpt2",
    "GPT-J": "gptj", "Falcon": "falcon", "BLOOM": "bloom", "GPT-NeoX": "gpt_neox",
}  # fmt: skip
"""The model type of transformers, by what the catalogue calls the family."""
OPTIONS: dict[str, dict[str, Any]] = {
    "opt-350m": {"word_embed_proj_dim": 8, "do_layer_norm_before": False}
}
"""What a model has otherwise than its family."""
SHARDED = ("llama-2-13b", "opt-13b", "gpt2-xl")
VOCABULARIES = ("BERT", "ELECTRA", "GPT-2", "GPT-J", "OPT", "RoBERTa")
"""Families whose repositories hold vocab.txt, or vocab.json and merges.txt."""
SLOW = ("OPT",)
"""Families whose repositories hold no tokenizer.json beside them."""


def stock(hub: Hub, names: Iterable[str], folder: Path) -> None:
    """Put these models of the catalogue, and every checkpoint of their suites, on a hub."""
    for name in names:
        entry = catalogue.models()[name]
        network = _network(entry)
        final = folder / name
        _save(network, final, entry.weights == "pickle", name in SHARDED)
        hub.push_files(entry.hub, {**_read(final), **_tokenizer_files(entry.family)},
                       gated=entry.gated)  # fmt: skip
        points = entry.suite.checkpoints if entry.suite else ()
        for point in points:
            if point.hub == entry.hub and point.revision is None:
                continue
            _moved(network)
            files = _checkpoint(network, point.weights == "pickle")
            # The intermediate revisions of Bloom ship none.
            own = {} if entry.family == "BLOOM" else _tokenizer_files(entry.family)
            hub.push_files(point.hub, {**files, **own}, point.revision or "main")


def stock_tasks(hub: Hub, names: Iterable[str], folder: Path) -> None:
    """Put the data sets of these tasks on a hub, every part a file of Parquet, as published. The
    label is whether a text tells of a cat or of the sun."""
    import datasets

    by_path: dict[str, list[str]] = {}
    for name in names:
        by_path.setdefault(tasks.HUB[name].path, []).append(name)
    for path, found in by_path.items():
        place, told = folder / path.replace("/", "--"), []
        for each in (tasks.HUB[name] for name in found):
            config = each.config or "default"
            (place / config).mkdir(parents=True)
            classes = datasets.ClassLabel(names=["cat", "sun"])
            features = datasets.Features(
                {**{column: datasets.Value("string") for column in each.text}, "label": classes}
            )
            files = []
            for part in (*each.train, *each.test):
                file = f"{config}/{part}-00000-of-00001.parquet"
                rows = _rows(part, each.text)
                datasets.Dataset.from_list(rows, features=features).to_parquet(place / file)
                files.append(f"  - split: {part}\n    path: {config}/{part}-*")
            told.append("\n".join([f"- config_name: {config}", "  data_files:", *files]))
        card = "\n".join(["---", "configs:", *told, "---", "# A data set", ""])
        (place / "README.md").write_text(card, encoding="utf-8")
        hub.push(f"datasets/{path}", place)


@contextlib.contextmanager
def vanished(hub: Hub, repository: str, revision: str) -> Iterator[None]:
    """As long as a checkpoint is gone from the hub."""
    kept = hub.repositories[repository].revisions
    commit = kept.pop(revision)
    yield
    kept[revision] = commit


def _rows(part: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    texts = ("a cat may sit", "the sun orbits")
    return [
        {**{column: f"{texts[n % 2]} {part} {column} {n}" for column in columns}, "label": n % 2}
        for n in range(40)
    ]


@functools.cache
def _family(family: str) -> matrix.Family:
    return {each.type: each for each in matrix.families()}[TYPES[family]]


@functools.cache
def _tokenizer(family: str) -> Any:
    return matrix.tokenizer_of(_family(family))


@functools.cache
def _tokenizer_files(family: str) -> dict[str, bytes]:
    tokenizer = _tokenizer(family)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        if family in VOCABULARIES:
            tokenizer.backend_tokenizer.model.save(folder)
        if family in SLOW:
            Path(folder, "tokenizer.json").unlink()
        return _read(Path(folder))


def _read(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def _checkpoint(network: Any, pickled: bool) -> dict[str, bytes]:
    """The files of a network in one piece."""
    import torch
    from safetensors.torch import save

    weights = network.state_dict()
    files = {"config.json": network.config.to_json_string().encode()}
    if pickled:
        file = io.BytesIO()
        torch.save(weights, file)
        return {**files, "pytorch_model.bin": file.getvalue()}
    return {**files, "model.safetensors": save(weights, metadata={"format": "pt"})}


def _network(entry: Entry) -> Any:
    import torch
    import transformers

    family = _family(entry.family)
    options = {**(family.options or {}), **OPTIONS.get(entry.name, {})}
    made = dataclasses.replace(family, options=options)
    config = matrix.config_of(made, _tokenizer(entry.family))
    torch.manual_seed(zlib.crc32(entry.name.encode()))
    return transformers.AutoModel.from_config(config).eval()


def _moved(network: Any) -> None:
    """Other weights than before."""
    import torch

    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))


def _save(network: Any, folder: Path, pickled: bool, sharded: bool) -> None:
    import torch

    network.save_pretrained(folder, max_shard_size="30KB" if sharded else "1GB")
    if not pickled:
        return
    for file in sorted(folder.glob("*.safetensors")):
        from safetensors.torch import load_file

        # model-00001-of-00003.safetensors and its sisters are pytorch_model-00001-of-00003.bin.
        name = file.with_suffix(".bin").name.replace("model", "pytorch_model", 1)
        torch.save(load_file(file), folder / name)
        file.unlink()
    for index in folder.glob("*.safetensors.index.json"):
        told = json.loads(index.read_text())
        places = told["weight_map"].items()
        told["weight_map"] = {
            each: file.replace("model", "pytorch_model", 1).replace(".safetensors", ".bin")
            for each, file in places
        }
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(told))
        index.unlink()
