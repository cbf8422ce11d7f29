"""Where a model's files are: by short name, checkpoint of a suite, folder, GGUF file, hub name."""

import dataclasses
import difflib
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from shapelib.errors import ShapelibError, nearest
from shapelib.models import catalogue
from shapelib.models.files.hub import HOW, download, matching
from shapelib.models.files.hub import names as files
from shapelib.store import assets, cache, keys

_log = logging.getLogger("shapelib")
_SAFETENSORS = (
    *("model.safetensors", "model-[0-9]*-of-[0-9]*.safetensors"),
    "model.safetensors.index.json",
)
_PICKLES = (
    *("pytorch_model.bin", "pytorch_model-[0-9]*-of-[0-9]*.bin"),
    "pytorch_model.bin.index.json",
)
_ADAPTER = "adapter_config.json"
_TOKENIZER = ("*.json", "*.txt", "*.model", "*.jinja")
_VOCABULARIES = ("tokenizer.json", "*vocab*", "*.model")
_BESIDE = ("merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


@dataclass(frozen=True)
class Source:
    """Where a model's files are, and what identifies their content."""

    name: str
    """What tables call it."""
    folder: Path
    """A folder with the model's files, or a GGUF file that is converted when it is loaded."""
    fingerprint: str
    """Changes when the weights do: a hub commit, or a sha256 over the files."""
    revision: str | None = None
    """The commit on the hub."""
    known: catalogue.Entry | None = None
    """What the catalogue says of it."""
    checkpoint: str | None = None
    """Which checkpoint of a suite this is."""
    step: int | None = None
    """Optimizer steps that it was trained."""
    tokens_seen: int | None = None
    """Tokens that it was trained on."""
    tokenizer: Path | None = None
    """The folder of another repository's tokenizer, where this one ships none."""
    tokenizer_hub: str | None = None
    """That repository."""
    pickled: bool = False
    """Whether the weights are pickles, which were allowed."""
    caveat: str | None = None
    """What speaks against these very weights: repeated by every table and figure."""
    pending: str | None = None
    """The hub repository that the weights are still to be fetched from."""

    @property
    def tuned(self) -> str | None:
        """``base``, ``instruct`` or ``contrastive`` where the catalogue says so, else None."""
        return self.known.tuned or None if self.known else None


class _Wants(NamedTuple):
    """What a download may bring besides safetensors, and whether weights are brought at once."""

    code: bool
    pickle: bool
    fetch: bool


def find(
    name: str | Path,
    revision: str | None = None,
    trust_remote_code: bool = False,
    *,
    allow_pickle: bool = False,
    fetch: bool = True,
) -> Source:
    """Locate a model without loading it (downloading what is not yet in a cache).

    :param name: a short name, a checkpoint of a suite (``pythia-2.8b@step1000`` or ``@1000``), a
        folder, a .gguf file, or a hub name.
    :param revision: of a hub model: a branch, tag or commit; of a short name also one of its
        suite's checkpoints.
    :param trust_remote_code: whether code of the repository is fetched.
    :param allow_pickle: whether weights that are pickles are accepted: then they are read without
        running what they hold.
    :param fetch: whether weights on the hub are downloaded now. Otherwise they are when the source
        is loaded, but what they are is fixed: the commit that the revision is now.
    :returns: where the files are and what identifies them, for `load` and `profile`.
    :raises ShapelibError: where there is no such model, checkpoint or revision, where it is gated
        and no token is set, and where the hub's files stay other than their hashes say.
    """
    text = str(name)
    path = Path(text).expanduser()
    known = catalogue.models().get(text)
    if known and path.exists():
        _log.warning("%s is the catalogue's model; for the folder here write ./%s", text, text)
    elif path.exists():
        if revision is not None:
            raise ShapelibError(f"revision {revision!r} was given, but {text!r} is not a hub name")
        return _local(path, text, allow_pickle)
    wants = _Wants(trust_remote_code, allow_pickle, fetch)
    if "@" in text and not text.startswith((".", "~", os.sep)):
        before, _, wanted = text.partition("@")
        if "/" not in before:
            point = catalogue.suite(before).checkpoint(wanted)
            return _checkpoint(catalogue.models()[before], point, wants)
        text, revision = before, revision or wanted
    if known:
        return _known(known, revision, wants)
    if text.startswith((".", "~", os.sep)) or text.endswith(".gguf") or text.count("/") > 1:
        raise ShapelibError(f"no such folder or file: {text!r}; {HOW}")
    names = list(catalogue.models())
    if "/" not in text and difflib.get_close_matches(text, names, n=1, cutoff=0.6):
        raise ShapelibError(f"no such model: {text!r}; {nearest(text, names)}; {HOW}")
    if found := catalogue.checkpoint_on_hub(text, revision):
        return _checkpoint(*found, wants)
    return _from_hub(text, text, revision, wants, known=catalogue.on_hub(text))


def _known(entry: catalogue.Entry, revision: str | None, wants: _Wants) -> Source:
    """A model by its short name: shipped, on the hub, or (by a revision) a checkpoint of it."""
    if entry.asset:
        if revision is not None:
            raise ShapelibError(
                f"revision {revision!r} was given, but {entry.name!r} is not a hub name"
            )
        # A GGUF file is expanded to float32 beside itself when it is loaded.
        expanded = 4 * entry.parameters if entry.weights == "gguf" else 0
        files = assets.fetch(entry.asset, beside=expanded)
        sha256 = assets.ASSETS[entry.asset].sha256
        return Source(entry.name, files, sha256, known=entry, caveat=entry.caveat or None)
    for point in entry.suite.checkpoints if entry.suite else ():
        if revision is not None and revision in (point.name, point.revision):
            return _checkpoint(entry, point, wants)
    return _from_hub(entry.name, entry.hub, revision, wants, known=entry)


def _checkpoint(entry: catalogue.Entry, point: catalogue.Checkpoint, wants: _Wants) -> Source:
    suite = catalogue.suite(entry.name)
    return _from_hub(
        entry.name, point.hub, point.revision, wants, known=entry, point=point,
        tokenizer=suite.tokenizer,
    )  # fmt: skip


def _local(path: Path, shown: str, allow_pickle: bool) -> Source:
    if path.is_file() and path.suffix == ".gguf":
        return Source(path.stem, path, cache.sha256(path))
    if not path.is_dir():
        raise ShapelibError(f"{shown!r} is neither a folder nor a .gguf file; {HOW}")
    _refuse_adapter(shown, [each.name for each in path.iterdir()])
    if not (path / "config.json").is_file():
        inside = sorted(path.glob(f"*/{_ADAPTER}"))
        if inside:
            _refuse_adapter(f"{shown}/{inside[0].parent.name}", [_ADAPTER])
        raise ShapelibError(f"the folder {shown!r} holds no config.json, so it is not a model")
    pickled = not any(path.glob("*.safetensors"))
    if pickled:
        _check_pickles(shown, [each.name for each in matching(path, _PICKLES[:2])], allow_pickle)
    kinds = _PICKLES if pickled else ("*.safetensors", "*.safetensors.index.json")
    hashed = keys.key_of(
        {file.name: cache.sha256(file) for file in matching(path, (*kinds, *_TOKENIZER, "*.py"))}
    )
    return Source(path.resolve().name, path, hashed, pickled=pickled)


def _refuse_adapter(shown: str, names: Iterable[str]) -> None:
    """Raise for the files of an adapter: what is measured must not depend on whether peft, which
    would apply it, is installed."""
    if _ADAPTER in names:
        raise ShapelibError(
            f"{shown!r} holds an adapter ({_ADAPTER}), not a model's own weights: merge it first, "
            "with merge_and_unload() of peft, and save the model that it gives"
        )


def _check_pickles(shown: str, pickles: list[str], allowed: bool) -> None:
    """Raise unless there are pickles, and reading them was allowed."""
    if not pickles:
        raise ShapelibError(f"{shown!r} holds no weights: no safetensors and no pytorch_model.bin")
    if not allowed:
        raise ShapelibError(
            f"{shown!r} holds no safetensors weights (it has {', '.join(pickles[:3])}: pickles can "
            "run code when read). Where you trust it, allow them with allow_pickle=True or "
            "--allow-pickle: they are then read by torch's weights-only reader, which refuses code"
        )


def _from_hub(
    name: str,
    repository: str,
    revision: str | None,
    wants: _Wants,
    *,
    known: catalogue.Entry | None = None,
    point: catalogue.Checkpoint | None = None,
    tokenizer: str | None = None,
) -> Source:
    """A model's files from the hub or its cache, pinned to the commit that `revision` is now."""
    shown = f"{name}@{point.name}" if point else name
    patterns = ["config.json", *_TOKENIZER, *(("*.py",) if wants.code else ())]
    folder = download(shown, repository, revision, patterns)
    names = files(repository, folder)
    _refuse_adapter(shown, names)
    if not (folder / "config.json").is_file():
        raise ShapelibError(f"{shown!r}: its repository holds no config.json, so it is no model")
    pickled = not _among(names, _SAFETENSORS)
    if pickled:
        _check_pickles(shown, _among(names, _PICKLES[:2]), wants.pickle)
    fingerprint, borrowed = folder.name, None
    if tokenizer and not has_tokenizer(folder):
        _log.info("%s ships no tokenizer: using that of %s", shown, tokenizer)
        borrowed = download(shown, tokenizer, None, list(_TOKENIZER))
        fingerprint = f"{fingerprint}+{borrowed.name}"
    caveats = [each for each in (known and known.caveat, point and point.caveat) if each]
    if point and point.caveat:
        _log.warning("%s: %s", shown, point.caveat)
    source = Source(
        name=name,
        folder=folder,
        fingerprint=fingerprint,
        revision=folder.name,
        known=known,
        checkpoint=point.name if point else None,
        step=point.step if point else None,
        tokens_seen=point.tokens_seen if point else None,
        tokenizer=borrowed,
        tokenizer_hub=tokenizer if borrowed else None,
        pickled=pickled,
        caveat="; ".join(caveats) or None,
        pending=repository,
    )
    return fetched(source) if wants.fetch else source


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a vocabulary: tokenizer_config.json, or merges, alone are none."""
    return any(file.is_file() for file in matching(folder, _VOCABULARIES))


def tokenizer_hash(folder: Path) -> dict[str, str]:
    """The sha256 of each file of a folder that its tokenizer is made of."""
    files = matching(folder, (*_VOCABULARIES, *_BESIDE))
    return {file.name: cache.sha256(file) for file in files if file.is_file()}


def fetched(source: Source) -> Source:
    """A source whose weights are on this machine, at the commit that it was found at."""
    if source.pending is None:
        return source
    shown = f"{source.name}@{source.checkpoint}" if source.checkpoint else source.name
    patterns = _PICKLES if source.pickled else _SAFETENSORS
    download(shown, source.pending, source.revision, list(patterns))
    return dataclasses.replace(source, pending=None)


def _among(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    return sorted(name for name in names if any(fnmatch(name, each) for each in patterns))
