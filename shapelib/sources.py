"""Where a model's files are: a short name, a checkpoint of a suite, a folder, a GGUF file, the hub.

Files of the hub are pinned to a commit, and every one that is used is held against the hash that
the hub gave for it, so that a damaged cache is noticed and mended.
"""

import dataclasses
import difflib
import hashlib
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple, NoReturn

from shapelib import assets, cache, catalogue
from shapelib.errors import ShapelibError, nearest

_log = logging.getLogger("shapelib")
_SAFETENSORS = (
    *("model.safetensors", "model-[0-9]*-of-[0-9]*.safetensors"),
    "model.safetensors.index.json",
)
_PICKLES = (
    *("pytorch_model.bin", "pytorch_model-[0-9]*-of-[0-9]*.bin"),
    "pytorch_model.bin.index.json",
)
_TOKENIZER = ("*.json", "*.txt", "*.model", "*.jinja")
# One of these makes a tokenizer; tokenizer_config.json alone does not.
_VOCABULARIES = ("tokenizer.json", "*vocab*", "*.model", "merges.txt")
_HOW = (
    "accepted: a short name such as smollm2-135m or gpt2 (shapelib models lists all), a checkpoint "
    "such as pythia-160m@step1000, a folder with config.json and safetensors weights, a .gguf "
    "file, or a hub name such as EleutherAI/pythia-160m"
)


@dataclass(frozen=True)
class Source:
    """Where a model's files are, and what identifies their content."""

    name: str
    folder: Path
    """A folder with the model's files, or a GGUF file that is converted when it is loaded."""
    fingerprint: str
    """Changes when the weights do: a hub commit, or a sha256 over the files."""
    revision: str | None = None
    """The commit on the hub."""
    known: catalogue.Entry | None = None
    checkpoint: str | None = None
    """Which checkpoint of a suite this is; `step` and `tokens_seen` say how far it was trained."""
    step: int | None = None
    tokens_seen: int | None = None
    tokenizer: Path | None = None
    """The folder of another repository's tokenizer, where this one ships none."""
    tokenizer_hub: str | None = None
    """That repository."""
    pickled: bool = False
    """Whether the weights are pickles, which were allowed."""
    caveat: str | None = None
    """What speaks against these very weights: repeated by every table and figure."""
    pending: str | None = None
    """The hub repository that the weights are still to be fetched from; see `fetched`."""


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

    `name`: a short name, a checkpoint of a suite (``pythia-2.8b@step1000`` or ``@1000``), a
    folder, a .gguf file, or a hub name. `revision` of a hub model: a branch, tag or commit; of a
    short name also one of its suite's checkpoints. Weights that are pickles are refused unless
    `allow_pickle`: then they are read without running what they hold. Without `fetch`, weights on
    the hub are not downloaded until the source is loaded, but what they are is fixed: the commit
    that the revision is now.

    Raises `ShapelibError` where there is no such model, checkpoint or revision, where it is gated
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
        raise ShapelibError(f"no such folder or file: {text!r}; {_HOW}")
    names = list(catalogue.models())
    if "/" not in text and difflib.get_close_matches(text, names, n=1, cutoff=0.6):
        raise ShapelibError(f"no such model: {text!r}; {nearest(text, names)}; {_HOW}")
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
        files = assets.fetch(entry.asset)
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
        raise ShapelibError(f"{shown!r} is neither a folder nor a .gguf file; {_HOW}")
    if not (path / "config.json").is_file():
        raise ShapelibError(f"the folder {shown!r} holds no config.json, so it is not a model")
    pickled = not any(path.glob("*.safetensors"))
    if pickled:
        _check_pickles(shown, [each.name for each in _matching(path, _PICKLES[:2])], allow_pickle)
    kinds = _PICKLES if pickled else ("*.safetensors", "*.safetensors.index.json")
    hashed = cache.key_of(
        {file.name: cache.sha256(file) for file in _matching(path, (*kinds, *_TOKENIZER, "*.py"))}
    )
    return Source(path.resolve().name, path, hashed, pickled=pickled)


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


def _matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted({file for pattern in patterns for file in folder.glob(pattern)})


def _from_hub(
    name: str,
    hub: str,
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
    folder = _download(shown, hub, revision, patterns)
    if not (folder / "config.json").is_file():
        raise ShapelibError(f"{shown!r}: its repository holds no config.json, so it is no model")
    names = _names(hub, folder)
    pickled = not _among(names, _SAFETENSORS)
    if pickled:
        _check_pickles(shown, _among(names, _PICKLES[:2]), wants.pickle)
    fingerprint, borrowed = folder.name, None
    if tokenizer and not _matching(folder, _VOCABULARIES):
        _log.info("%s ships no tokenizer: using that of %s", shown, tokenizer)
        borrowed = _download(shown, tokenizer, None, list(_TOKENIZER))
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
        pending=hub,
    )
    return fetched(source) if wants.fetch else source


def fetched(source: Source) -> Source:
    """A source whose weights are on this machine, at the commit that it was found at."""
    if source.pending is None:
        return source
    shown = f"{source.name}@{source.checkpoint}" if source.checkpoint else source.name
    patterns = _PICKLES if source.pickled else _SAFETENSORS
    _download(shown, source.pending, source.revision, list(patterns))
    return dataclasses.replace(source, pending=None)


def _names(hub: str, folder: Path) -> list[str]:
    """The files of a repository at a snapshot's commit, as its download listed them."""
    from huggingface_hub import errors, get_cached_repo_tree

    try:
        return [each.path for each in get_cached_repo_tree(hub, revision=folder.name)]
    except errors.CachedRepoTreeNotFoundError:  # offline, and an older client filled the cache
        return [each.name for each in folder.iterdir()]


def _among(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    return sorted(name for name in names if any(fnmatch(name, each) for each in patterns))


def _download(shown: str, hub: str, revision: str | None, patterns: list[str]) -> Path:
    """The snapshot folder of a repository with the files of these patterns, all held against
    their hashes; a damaged one is fetched again, once."""
    _require_hub()
    from huggingface_hub import hf_hub_download, snapshot_download

    try:
        folder = Path(
            snapshot_download(
                hub, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]
            )
        )
        for file in _matching(folder, patterns):
            if _whole(file):
                continue
            _log.warning("%s: %s in the hub's cache is damaged: fetching it again", hub, file.name)
            try:
                hf_hub_download(hub, file.name, revision=folder.name, force_download=True)
            except Exception as error:  # the client's transport has errors without a common base
                raise ShapelibError(
                    f"{shown!r}: {file.name} in the hub's cache is damaged, and it could not be "
                    f"fetched again ({type(error).__name__})"
                ) from error
            if not _whole(file):
                file.resolve().unlink()
                file.unlink()
                raise ShapelibError(
                    f"{shown!r}: what the hub sends as {file.name} is not what it announces (its "
                    "hash differs, twice). Nothing of it was kept; try again later"
                )
    except ShapelibError:
        raise
    except Exception as error:
        _refuse(error, shown, hub, revision)
    return folder


_verified: set[tuple[Path, int, int]] = set()


def _whole(file: Path) -> bool:
    """Whether a file of the hub's cache has the content that its name in the cache promises.

    The client stores a file under the hash that the hub announced: the sha256 of a large file,
    and git's sha1 (over a header and the content) of a small one. It does not check them.
    """
    stored = file.resolve()
    state = (stored, stored.stat().st_size, stored.stat().st_mtime_ns)
    if not file.is_symlink() or state in _verified:
        return True
    if len(stored.name) == 64:
        found = cache.sha256(stored)
    elif len(stored.name) == 40:
        header = f"blob {state[1]}\0".encode()
        found = hashlib.sha1(header + stored.read_bytes(), usedforsecurity=False).hexdigest()
    else:
        return True
    if found == stored.name:
        _verified.add(state)
    return found == stored.name


def _require_hub() -> None:
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise ShapelibError(
            'loading a model needs transformers; run: pip install "shapelib[models]"'
        ) from error


def _refuse(error: Exception, shown: str, hub: str, revision: str | None) -> NoReturn:
    """What the hub's client raised, as a sentence for whoever named the model."""
    from huggingface_hub import errors, get_token

    at = f" at revision {revision!r}" if revision else ""
    where = f"{shown!r}" if shown == hub else f"{shown!r} ({hub} on the hub)"
    if isinstance(error, errors.HFValidationError):
        raise ShapelibError(f"{shown!r} cannot be a hub name; {_HOW}") from error
    if isinstance(error, errors.GatedRepoError):
        why = (
            "the token that is set has no access to it"
            if get_token()
            else "no token is set; after that run: hf auth login, or set HF_TOKEN"
        )
        raise ShapelibError(
            f"{where} is gated: accept its licence on https://huggingface.co/{hub} ({why})"
        ) from error
    if isinstance(error, errors.RevisionNotFoundError):
        raise ShapelibError(
            f"the hub has {where}, but no revision {revision!r}; accepted: a branch, a tag or a "
            "commit listed on the model's page"
        ) from error
    if isinstance(error, errors.RepositoryNotFoundError):
        raise ShapelibError(f"the hub has no model {where} (or it is private); {_HOW}") from error
    shipped = [each.name for each in catalogue.models().values() if each.asset]
    raise ShapelibError(
        f"{where}{at} is not in the hub's cache here, and the hub could not be reached for it "
        f"({type(error).__name__}); {' and '.join(shipped)} need no hub; {_HOW}"
    ) from error
