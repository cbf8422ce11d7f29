"""Find a model by short name, folder, GGUF file or hub name, and load its base network, safely."""

import contextlib
import difflib
import functools
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shapelib import assets, cache
from shapelib.errors import ShapelibError, nearest

if TYPE_CHECKING:
    import torch

_log = logging.getLogger("shapelib")
DTYPES = ("float32", "bfloat16", "float16")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_TOKENIZER = ("*.json", "*.txt", "*.model", "*.jinja")
_HOW = (
    "accepted: a short name ({short}), a folder with config.json and safetensors weights, "
    "a .gguf file, or a hub name such as EleutherAI/pythia-160m"
)


@dataclass(frozen=True)
class Known:
    """A model with a short name: one entry of ``models.yml``."""

    name: str
    asset: str
    role: str
    family: str
    parameters: int
    layers: int
    hidden_size: int
    licence: str
    caveat: str
    source: str


@dataclass(frozen=True)
class Source:
    """Where a model's files are, and what identifies their content."""

    name: str
    folder: Path
    """A folder with the model's files, or a GGUF file that is converted when it is loaded."""
    fingerprint: str
    """Changes when the weights do: a hub commit, or a sha256 over the files."""
    revision: str | None = None
    known: Known | None = None
    checkpoint: str | None = None
    """Which checkpoint of a suite this is; `step` and `tokens_seen` say how far it was trained."""
    step: int | None = None
    tokens_seen: int | None = None


@dataclass(frozen=True)
class Model:
    """A base network (no head) in eval mode, with what a table must say about it."""

    source: Source
    network: Any
    """A torch module whose forward pass gives ``hidden_states``."""
    tokenizer: Any
    role: str
    """``decoder`` where later tokens cannot change earlier ones, ``encoder`` where they do."""
    layers: int
    """Blocks; hidden states are numbered 0 (the embedding) to `layers`."""
    width: int
    after_norm: bool
    """Whether the last hidden state has passed a final norm outside the blocks."""
    parameters: int
    dtype: str

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def device(self) -> "torch.device":
        device: torch.device = next(self.network.parameters()).device
        return device


@functools.cache
def catalogue() -> dict[str, Known]:
    """The models with a short name, from ``models.yml``."""
    import yaml

    text = Path(__file__).with_name("models.yml").read_text(encoding="utf-8")
    return {name: Known(name=name, **entry) for name, entry in yaml.safe_load(text).items()}


def find(name: str | Path, revision: str | None = None, trust_remote_code: bool = False) -> Source:
    """Locate a model without loading it (downloading what is not yet in a cache).

    `name`: a short name, a folder, a .gguf file, or a hub name (with an optional `revision`: a
    branch, tag or commit). Raises `ShapelibError` where there is no such model.
    """
    text = str(name)
    known = catalogue().get(text)
    path = Path(text).expanduser()
    if revision is not None and (known or path.exists()):
        raise ShapelibError(f"revision {revision!r} was given, but {text!r} is not a hub name")
    if known:
        fetched = assets.fetch(known.asset)
        return Source(text, fetched, assets.ASSETS[known.asset].sha256, known=known)
    if path.is_file() and path.suffix == ".gguf":
        return Source(path.stem, path, cache.sha256(path))
    if path.is_dir():
        _check_folder(path, text)
        return Source(path.resolve().name, path, _folder_hash(path))
    if path.exists():
        raise ShapelibError(f"{text!r} is neither a folder nor a .gguf file; {_accepted()}")
    if text.startswith((".", "~", os.sep)) or text.endswith(".gguf") or text.count("/") > 1:
        raise ShapelibError(f"no such folder or file: {text!r}; {_accepted()}")
    if difflib.get_close_matches(text, list(catalogue()), n=1, cutoff=0.6):
        raise ShapelibError(
            f"no such model: {text!r}; {nearest(text, list(catalogue()))}; {_accepted()}"
        )
    return _from_hub(text, revision, trust_remote_code)


def load(
    name: str | Path | Source,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    trust_remote_code: bool = False,
) -> Model:
    """Load a model's base network for measuring: no head, eval mode, safetensors weights only.

    `name` and `revision` as in `find`; `device`: auto, cpu, cuda, cuda:1, mps; `dtype`: float32,
    bfloat16 or float16. Code that a repository ships runs only with ``trust_remote_code=True``.
    Role and final norm are found by effect, not by name, so that any family works.

    Raises `ShapelibError` for an unknown model, revision, device or dtype, for weights that do
    not cover the network, and for encoder-decoder models.
    """
    _require_transformers()
    import torch

    if dtype not in DTYPES:
        raise ShapelibError(f"no such dtype: {dtype!r}; {nearest(dtype, list(DTYPES))}")
    where = pick_device(device)
    source = name if isinstance(name, Source) else find(name, revision, trust_remote_code)
    folder = source.folder if source.folder.is_dir() else _dequantized(source)
    network = _network(folder, source.name, dtype, trust_remote_code).to(where).eval()
    tokenizer = _tokenizer(folder, source.name, trust_remote_code)
    with torch.inference_mode():
        role, after_norm = _probe(network, tokenizer, source.name)
    if source.known and source.known.role != role:
        raise ShapelibError(
            f"{source.name} is a {role} by effect, but is listed as {source.known.role}: the "
            "installed transformers applies another attention mask than the model was made with"
        )
    return Model(
        source=source,
        network=network,
        tokenizer=tokenizer,
        role=role,
        layers=network.config.get_text_config().num_hidden_layers,
        width=network.config.get_text_config().hidden_size,
        after_norm=after_norm,
        parameters=sum(each.numel() for each in network.parameters()),
        dtype=dtype,
    )


def pick_device(device: str) -> "torch.device":
    """The torch device of a name; ``auto`` is the first accelerator there is, else the CPU."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise ShapelibError(
            f"device {device!r} cannot be used here ({first}); accepted: auto, cpu, cuda, cuda:1, …"
        ) from error
    return chosen


def _accepted() -> str:
    return _HOW.format(short=", ".join(catalogue()))


def _require_transformers() -> None:
    try:
        with warnings.catch_warnings():
            # In a notebook without ipywidgets it says so, with a path; no bar is shown here anyway.
            warnings.filterwarnings("ignore", "IProgress not found")
            import tqdm.auto  # noqa: F401
            import transformers  # noqa: F401
    except ImportError as error:
        raise ShapelibError(
            'loading a model needs transformers; run: pip install "shapelib[models]"'
        ) from error


def _check_folder(path: Path, shown: str) -> None:
    if not (path / "config.json").is_file():
        raise ShapelibError(f"the folder {shown!r} holds no config.json, so it is not a model")
    if not any(path.glob("*.safetensors")):
        others = [file.name for file in path.glob("*.bin")] + [f.name for f in path.glob("*.pt")]
        has = f" (it has {', '.join(others)}: pickles can run code when read)" if others else ""
        raise ShapelibError(
            f"{shown!r} holds no safetensors weights{has}. Convert it once where you trust it: "
            "AutoModel.from_pretrained(…).save_pretrained(FOLDER)"
        )


def _folder_hash(path: Path) -> str:
    patterns = (*_WEIGHTS, *_TOKENIZER, "*.py")
    files = sorted(file for pattern in patterns for file in path.glob(pattern))
    return cache.key_of({file.name: cache.sha256(file) for file in files})


def _from_hub(name: str, revision: str | None, trust_remote_code: bool) -> Source:
    _require_transformers()
    from huggingface_hub import errors, snapshot_download

    wanted = [*_WEIGHTS, *_TOKENIZER, *(("*.py",) if trust_remote_code else ())]
    at = f" at revision {revision!r}" if revision else ""
    try:
        folder = Path(
            snapshot_download(
                name, revision=revision, allow_patterns=wanted, ignore_patterns=["*/*"]
            )
        )
    except errors.HFValidationError as error:
        raise ShapelibError(f"{name!r} cannot be a hub name; {_accepted()}") from error
    except errors.GatedRepoError as error:
        raise ShapelibError(
            f"{name!r} is gated: accept its licence on its page, then run: hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ShapelibError(
            f"the hub has {name!r}, but no revision {revision!r}; accepted: a branch, a tag or a "
            "commit listed on the model's page"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ShapelibError(
            f"the hub has no model {name!r} (or it is private); {_accepted()}"
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError) as error:
        raise ShapelibError(
            f"{name!r}{at} is neither a short name nor a folder here, and the hub could not be "
            f"reached for it ({type(error).__name__}); {nearest(name, list(catalogue()))}, which "
            f"need no hub; {_accepted()}"
        ) from error
    _check_folder(folder, name)
    return Source(name, folder, folder.name, revision=folder.name)


def _dequantized(source: Source) -> Path:
    """A safetensors copy of a GGUF file in float32, made once."""
    import torch
    import transformers

    def build(target: Path) -> None:
        _log.info("dequantising %s to float32 once; later runs reuse it", source.name)
        folder, file = source.folder.parent, source.folder.name
        try:
            with _bars_on_terminals_only():
                network = transformers.AutoModel.from_pretrained(
                    folder, gguf_file=file, dtype=torch.float32
                )
                tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
        except Exception as error:  # its parser answers a damaged file in many ways
            raise ShapelibError(f"{source.folder.name} cannot be read as GGUF: {error}") from error
        # transformers refuses to save while it believes the weights are still quantised.
        del network.config.quantization_config
        network.hf_quantizer = None
        with _bars_on_terminals_only():
            network.save_pretrained(target)
        tokenizer.save_pretrained(target)

    key = cache.key_of(source.fingerprint, "float32", transformers.__version__)
    return cache.entry("models", f"{source.name}-{key}", build)


def _network(folder: Path, name: str, dtype: str, trust_remote_code: bool) -> Any:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel

    try:
        with _quiet():
            network, info = AutoModel.from_pretrained(
                folder,
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
            )
    except (ValueError, OSError, ImportError, RuntimeError, SafetensorError) as error:
        raise ShapelibError(f"{name} cannot be loaded: {error}") from error
    if network.config.is_encoder_decoder:
        raise ShapelibError(
            f"{name} is an encoder-decoder model; accepted: encoders and decoders alone"
        )
    # A network whose weights are partly missing would be measured with random ones. A pooler is
    # a head: it does not touch hidden states.
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    if missing:
        raise ShapelibError(
            f"{name}: its files lack {len(missing)} weights of the network, the first {missing[0]}"
        )
    return network


def _tokenizer(folder: Path, name: str, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    try:
        with _quiet():
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (ValueError, OSError, ImportError, KeyError) as error:
        raise ShapelibError(f"{name} has no tokenizer that loads: {error}") from error


def _probe(network: Any, tokenizer: Any, name: str) -> tuple[str, bool]:
    """Role and whether a final norm was passed, both seen in two short forward passes."""
    import torch

    text = "The quick brown fox jumps over the lazy dog."
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(set(ids)) < 2:
        raise ShapelibError(f"{name}: its tokenizer gives {ids} for {text!r}")
    device = next(network.parameters()).device
    plain = torch.tensor([ids], device=device)
    changed = plain.clone()
    changed[0, -1] = ids[0]
    outputs: dict[str, Any] = {}
    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, output, path=path: outputs.__setitem__(path, output)
        )
        for path, module in network.named_modules()
        if "norm" in type(module).__name__.lower()
    ]
    try:
        last = network(plain, output_hidden_states=True, use_cache=False).hidden_states[-1]
    finally:
        for hook in hooks:
            hook.remove()
    # A norm inside a block has the block's number in its path; the final norm has none.
    after_norm = any(
        torch.is_tensor(output) and output.shape == last.shape and torch.equal(output, last)
        for path, output in outputs.items()
        if not any(part.isdigit() for part in path.split("."))
    )
    other = network(changed, output_hidden_states=True, use_cache=False).hidden_states[-1]
    moved = (other[0, 0] - last[0, 0]).abs().max()
    rounding = 16 * torch.finfo(last.dtype).eps * last[0, 0].abs().max()
    return ("encoder" if moved > rounding else "decoder"), after_norm


@contextlib.contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    """Progress bars for a step that takes half a minute, but none in a notebook or a log."""
    if sys.stderr.isatty():
        yield
    else:
        # Some of its bars heed no setting.
        with contextlib.redirect_stderr(io.StringIO()), _quiet():
            yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars: a load takes about a second."""
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()
