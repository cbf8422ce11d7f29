"""Load a model's base network and tokenizer, safely, and see what it is by its effect."""

import logging
import tempfile
import warnings
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shapelib.errors import NoTokenizer, ShapelibError, foreign
from shapelib.models import reports
from shapelib.models.files import gguf_file
from shapelib.models.files.gguf_file import quiet as quiet
from shapelib.models.placement import device_of, dtype_of, place
from shapelib.models.placement import pick_device as pick_device
from shapelib.models.sources import Source as Source
from shapelib.models.sources import fetched, has_tokenizer
from shapelib.models.sources import find as find
from shapelib.store import cache

if TYPE_CHECKING:
    import torch

    from shapelib.models.probe import Found

_log = logging.getLogger("shapelib")
_ALONE = (
    "{}: no token changes the vector of another, so its attention does nothing here: its weights "
    "are zero, or its class leaves it out without a GPU or a package of its own"
)


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
    leaks: bool = False
    """Whether padding changes a text's states although it is masked: then texts of equal length
    alone are read together."""
    part: str | None = None
    """Which half of an encoder-decoder this is: ``encoder``, ``decoder``, or None for a whole."""
    quantised: str | None = None
    """Of a GGUF file: how many weights it holds in which type; else None."""

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.source.name

    @property
    def device(self) -> "torch.device":
        """Where inputs belong: of a network that is spread out, the first accelerator."""
        return device_of(self.network)

    @property
    def longest(self) -> int | None:
        """Tokens that it reads at once, special ones included; None where nothing limits it."""
        from shapelib.models import masks

        return masks.longest(self.network, self.tokenizer)

    @property
    def filler(self) -> int:
        """A token to fill padding with."""
        from shapelib.models import masks

        return masks.filler(self.network, self.tokenizer)


def load(
    name: str | Path | Source,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    part: str | None = None,
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
    :param part: of an encoder-decoder: its ``encoder``, or its ``decoder``, which gets the text as
        its own input while its encoder has read the same text.
    :returns: the network with its tokenizer, role, layers and width.
    :raises ShapelibError: for an unknown model, revision, device, dtype or part, for weights that
        do not cover the network, for an encoder-decoder without a part, and for a network that is
        none for texts.
    """
    _require_transformers()
    reports.install()
    import torch

    from shapelib.models import halves

    pick_device(device)
    source = (
        name
        if isinstance(name, Source)
        else find(name, revision, trust_remote_code, allow_pickle=allow_pickle, fetch=False)
    )
    halves.check(part, source)
    source = fetched(source)
    folder = (
        source.folder
        if source.folder.is_dir()
        else gguf_file.expanded(source.folder, source.name, source.fingerprint)
    )
    placed = place(folder, source.name, device, dtype)
    network = _network(folder, source, placed.dtype, trust_remote_code, placed.share, part)
    try:
        network = network.eval() if placed.share else network.to(placed.device).eval()
    except torch.OutOfMemoryError as error:
        raise ShapelibError(
            f"{source.name} takes {placed.need / 1e9:.1f} GB in {placed.dtype}, more than "
            f"{placed.device} has free: use device spread, or half precision"
        ) from error
    tokenizer = _tokenizer(source.tokenizer or folder, source.name, trust_remote_code)
    try:
        found = _probe(network, tokenizer, source.name)
    except RuntimeError as error:
        advice = "" if placed.dtype == "float32" else ": try dtype float32"
        raise ShapelibError(
            f"{source.name} does not run in {placed.dtype} on {placed.device}{advice} ({error})"
        ) from error
    _check(found, source, part, network)
    quantised = None if source.folder.is_dir() else gguf_file.quantised(folder)
    return _model(source, network, tokenizer, found, placed.dtype, quantised)


def _check(found: "Found", source: Source, part: str | None, network: Any) -> None:
    """Raise `ShapelibError` where a network does not do what its files or the catalogue say."""
    if not found.mixes:
        raise ShapelibError(_ALONE.format(source.name))
    role = found.role
    listed = source.known and (part or source.known.role)
    if source.known and listed != role:
        raise ShapelibError(
            f"{source.name} is a {role} by effect, but is listed as {listed}: the "
            "installed transformers applies another attention mask than the model was made with"
        )
    if role == "decoder" and getattr(network.config, "is_causal", None) is False:
        raise ShapelibError(
            f"{source.name} was trained with a full mask (is_causal is false in its config), and "
            "is a decoder by effect: the installed transformers does not heed that for its class"
        )


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
    found = _probe(network, tokenizer, name)
    if not found.mixes:
        # A network may begin like that, with weights of zero, and learn.
        _log.warning("%s", _ALONE.format(name))
    checkpoint = None if step is None else f"step-{step}"
    source = Source(name, Path(), "live", checkpoint=checkpoint, step=step, tokens_seen=tokens_seen)
    dtype = str(dtype_of(network)).removeprefix("torch.")
    return _model(source, network, tokenizer, found, dtype)


def _probe(network: Any, tokenizer: Any, name: str) -> "Found":
    from shapelib.models.probe import probe

    return probe(network, tokenizer, name)


def _model(
    source: Source,
    network: Any,
    tokenizer: Any,
    found: "Found",
    dtype: str,
    quantised: str | None = None,
) -> Model:
    return Model(
        source=source,
        network=network,
        tokenizer=tokenizer,
        role=found.role,
        layers=found.layers,
        width=found.width,
        after_norm=found.after_norm,
        parameters=sum(each.numel() for each in network.parameters()),
        dtype=dtype,
        leaks=found.leaks,
        part=getattr(network, "part", None),
        quantised=quantised,
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


def _network(
    folder: Path,
    source: Source,
    dtype: str,
    trust_remote_code: bool,
    share: dict[int | str, int] | None,
    part: str | None = None,
) -> Any:
    import torch
    from transformers import AutoModel

    from shapelib.models.halves import Half, part_of

    name = source.name
    spread: dict[str, Any] = {}
    if share is not None:
        # What is offloaded from pickles is written anew; safetensors are read where they lie.
        offload = tempfile.TemporaryDirectory(dir=cache.folder("spill"), prefix="weights-")
        spread = {"device_map": "auto", "max_memory": share, "offload_folder": offload.name}
    with foreign(f"{name} cannot be loaded", torch.OutOfMemoryError), quiet():
        network, info = AutoModel.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            use_safetensors=not source.pickled,
            weights_only=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            **spread,
        )
    part = part_of(network, part, name)
    reports.check(network, info, name, part)
    if share is not None:
        weakref.finalize(network, offload.cleanup)
    for module in network.modules():
        if getattr(module, "project_out", None) is not None:
            # A step of opt-350m's head: it would take the last layer to the embedding's width.
            module.project_out = None
    return Half(network, part) if part else network


def _tokenizer(folder: Path, name: str, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    try:
        with foreign(f"{name} has no tokenizer that loads"), quiet():
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except ShapelibError as error:
        if has_tokenizer(folder):
            raise
        raise NoTokenizer(str(error)) from error
