"""Files from a model hub, pinned to a commit and held against the hub's hashes.

The hub's own client downloads, resumes and caches; it does not check what it got. Here every
file that is used is held against the hash that the hub gave for it, so that a damaged cache is
noticed and mended.
"""

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from shapelib.errors import ShapelibError
from shapelib.models import catalogue
from shapelib.store import cache

_log = logging.getLogger("shapelib")
HOW = (
    "accepted: a short name such as smollm2-135m or gpt2 (shapelib models lists all), a checkpoint "
    "such as pythia-160m@step1000, a folder with config.json and safetensors weights, a .gguf "
    "file, or a hub name such as EleutherAI/pythia-160m"
)
"""What names a model, for error messages."""


def matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files of a folder whose names fit one of these patterns, each once."""
    return sorted({file for pattern in patterns for file in folder.glob(pattern)})


def names(hub: str, folder: Path) -> list[str]:
    """The files of a repository at the commit of a snapshot folder, here or not."""
    from huggingface_hub import errors, get_cached_repo_tree

    try:
        return [each.path for each in get_cached_repo_tree(hub, revision=folder.name)]
    except errors.CachedRepoTreeNotFoundError:  # offline, and an older client filled the cache
        return [each.name for each in folder.iterdir()]


def download(shown: str, hub: str, revision: str | None, patterns: list[str]) -> Path:
    """The snapshot folder of a repository's `revision` with the files of these patterns.

    Its name is the commit. Every file is held against its hash, and a damaged one is fetched
    again, once. `shown` is what a user called the model.

    Raises `ShapelibError` where there is no such repository or revision, where it is gated, where
    neither the hub nor its cache can give a file, and where its content stays wrong.
    """
    _require_hub()
    from huggingface_hub import hf_hub_download, snapshot_download

    try:
        folder = Path(
            snapshot_download(
                hub, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]
            )
        )
        for file in matching(folder, patterns):
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
        raise ShapelibError(f"{shown!r} cannot be a hub name; {HOW}") from error
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
        raise ShapelibError(f"the hub has no model {where} (or it is private); {HOW}") from error
    if shown == hub:
        where = f"there is no folder or file {shown!r} here; as a hub name, {shown!r}"
    shipped = [each.name for each in catalogue.models().values() if each.asset]
    raise ShapelibError(
        f"{where}{at} is not in the hub's cache here, and the hub could not be reached for it "
        f"({type(error).__name__}); {', '.join(shipped)} need no hub; {HOW}"
    ) from error
