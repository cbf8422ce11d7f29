"""Load a model's base network and tokenizer, safely, and see what it is by its effect."""

import contextlib
import io
import logging
import sys
import tempfile
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from shapelib.errors import ShapelibError
from shapelib.models import reports
from shapelib.models.placement import device_of, place
from shapelib.models.placement import pick_device as pick_device
from shapelib.models.sources import Source as Source
from shapelib.models.sources import fetched
from shapelib.models.sources import find as find
from shapelib.store import cache, keys

if TYPE_CHECKING:
    import torch

_log = logging.getLogger("shapelib")
_BOTH_HALVES = "{} is an encoder-decoder model; accepted: encoders and decoders alone"


@dataclass(frozen=True)
class Model:
    """What `load` gives: a base network (no head) in eval mode, and what tables say about it."""

    source: Source
    """Where its files are, and what identifies them."""
    network: Any
    """A torch module whose forward pass gives ``hidden_states``."""
    tokenizer: Any
    """A Hugging Face tokenizer."""
    role: str
    """``decoder`` where later tokens cannot change earlier ones, ``encoder`` where they do."""
    layers: int
    """Blocks; hidden states are numbered 0 (the embedding) to `layers`."""
    width: int
    """Features of a hidden state."""
    after_norm: bool
    """Whether the last hidden state has passed a final norm outside the blocks."""
    parameters: int
    """How many numbers the network has."""
    dtype: str
    """Their type: ``float32``, ``bfloat16`` or ``float16``."""

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.source.name

    @property
    def device(self) -> "torch.device":
        """Where inputs belong: of a network that is spread out, the first accelerator."""
        return device_of(self.network)


def load(
    name: str | Path | Source,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> Model:
    """Load a model's base network for measuring: no head, eval mode, safetensors weights only.

    ::

        model = load("minilm-l6")
        model.role, model.layers, model.width  # 'encoder', 6, 384

    Code that a repository ships runs only with ``trust_remote_code=True``, and pickled weights
    are read, without running what they hold, only with ``allow_pickle=True``.
    Role and final norm are found by effect, not by name, so that any family works.

    :param name: a short name (``shapelib models`` lists them), a checkpoint of a suite
        (``pythia-2.8b@step1000`` or ``@1000``), a folder, a .gguf file, a hub name, or what
        `models.find` gives.
    :param revision: of a hub model: a branch, tag or commit; of a short name also a checkpoint of
        its suite.
    :param device: auto, cpu, cuda, cuda:1, mps, or spread: over all accelerators, then main memory,
        then disk. ``auto`` is the first accelerator (else the CPU), and spread where the weights
        would take more than four fifths of its free memory.
    :param dtype: float32, bfloat16, float16, or auto: bfloat16 for more than 2 billion parameters
        on an accelerator, else float32.
    :param trust_remote_code: whether code of the repository may run.
    :param allow_pickle: whether pickled weights are read.
    :returns: the network with its tokenizer, role, layers and width.
    :raises ShapelibError: for an unknown model, revision, device or dtype, for weights that do not
        cover the network, and for encoder-decoder models.
    """
    _require_transformers()
    reports.install()
    import torch

    pick_device(device)
    source = (
        name
        if isinstance(name, Source)
        else find(name, revision, trust_remote_code, allow_pickle=allow_pickle, fetch=False)
    )
    if source.known and source.known.role == "encoder-decoder":
        raise ShapelibError(_BOTH_HALVES.format(source.name))
    source = fetched(source)
    folder = source.folder if source.folder.is_dir() else _dequantized(source)
    placed = place(folder, source.name, device, dtype)
    network = _network(folder, source, placed.dtype, trust_remote_code, placed.share)
    try:
        network = network.eval() if placed.share else network.to(placed.device).eval()
    except torch.OutOfMemoryError as error:
        raise ShapelibError(
            f"{source.name} takes {placed.need / 1e9:.1f} GB in {placed.dtype}, more than "
            f"{placed.device} has free: use device spread, or half precision"
        ) from error
    tokenizer = _tokenizer(source.tokenizer or folder, source.name, trust_remote_code)
    try:
        with torch.inference_mode():
            role, after_norm = _probe(network, tokenizer, source.name)
    except RuntimeError as error:
        advice = "" if placed.dtype == "float32" else ": try dtype float32"
        raise ShapelibError(
            f"{source.name} does not run in {placed.dtype} on {placed.device}{advice} ({error})"
        ) from error
    if source.known and source.known.role != role:
        raise ShapelibError(
            f"{source.name} is a {role} by effect, but is listed as {source.known.role}: the "
            "installed transformers applies another attention mask than the model was made with"
        )
    if role == "decoder" and getattr(network.config, "is_causal", None) is False:
        raise ShapelibError(
            f"{source.name} was trained with a full mask (is_causal is false in its config), and "
            "is a decoder by effect: the installed transformers does not heed that for its class"
        )
    return _model(source, network, tokenizer, role, after_norm, placed.dtype)


def live(
    network: Any,
    tokenizer: Any,
    name: str = "live",
    *,
    step: int | None = None,
    tokens_seen: int | None = None,
) -> Model:
    """A base network that somebody else built, in eval mode, as `load` would give it.

    Its weights may change later, so nothing that is measured on it is kept for reuse.
    """
    import torch

    with torch.inference_mode():
        role, after_norm = _probe(network, tokenizer, name)
    checkpoint = None if step is None else f"step-{step}"
    source = Source(name, Path(), "live", checkpoint=checkpoint, step=step, tokens_seen=tokens_seen)
    dtype = str(next(network.parameters()).dtype).removeprefix("torch.")
    return _model(source, network, tokenizer, role, after_norm, dtype)


def _model(
    source: Source, network: Any, tokenizer: Any, role: str, after_norm: bool, dtype: str
) -> Model:
    config = network.config.get_text_config()
    return Model(
        source=source,
        network=network,
        tokenizer=tokenizer,
        role=role,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        after_norm=after_norm,
        parameters=sum(each.numel() for each in network.parameters()),
        dtype=dtype,
    )


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

    key = keys.key_of(source.fingerprint, "float32", transformers.__version__)
    return cache.entry("models", f"{source.name}-{key}", build)


def _network(
    folder: Path,
    source: Source,
    dtype: str,
    trust_remote_code: bool,
    share: dict[int | str, int] | None,
) -> Any:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel

    name = source.name
    spread: dict[str, Any] = {}
    if share is not None:
        # What is offloaded from pickles is written anew; safetensors are read where they lie.
        offload = tempfile.TemporaryDirectory(dir=cache.folder("spill"), prefix="weights-")
        spread = {"device_map": "auto", "max_memory": share, "offload_folder": offload.name}
    try:
        with quiet():
            network, info = AutoModel.from_pretrained(
                folder,
                dtype=getattr(torch, dtype),
                use_safetensors=not source.pickled,
                weights_only=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                **spread,
            )
    except (
        *(ValueError, OSError, ImportError, RuntimeError, SafetensorError, UnpicklingError),
    ) as error:
        raise ShapelibError(f"{name} cannot be loaded: {error}") from error
    if network.config.is_encoder_decoder:
        raise ShapelibError(_BOTH_HALVES.format(name))
    # A network whose weights are partly missing would be measured with random ones. A pooler is
    # a head: it does not touch hidden states.
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    if missing:
        raise ShapelibError(
            f"{name}: its files lack {len(missing)} weights of the network, the first {missing[0]}"
        )
    if share is not None:
        weakref.finalize(network, offload.cleanup)
    for module in network.modules():
        if getattr(module, "project_out", None) is not None:
            # A step of opt-350m's head: it would take the last layer to the embedding's width.
            module.project_out = None
    return network


def _tokenizer(folder: Path, name: str, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    try:
        with quiet():
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
    device = device_of(network)
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
        with contextlib.redirect_stderr(io.StringIO()), quiet():
            yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars: a load takes about a second."""
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()
