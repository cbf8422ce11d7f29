"""One small language model in training: its network, its updates, its held-out perplexity.

Kinds of model differ in mask and objective and in nothing else. The network is the pre-norm
GPT-NeoX of transformers for all of them, with rotary positions, untied embeddings and no dropout.
"""

import contextlib
import itertools
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from shapelib.models import masks
from shapelib.models.masks import prefix_mask
from shapelib.pretraining import checkpoints, narrow, stream
from shapelib.pretraining.recipe import MASK, SPECIAL_TOKENS, Recipe, masked_positions
from shapelib.text import corpus
from shapelib.text.held_out import held_out, training_part

IGNORED = -100
# Of the masked positions: shown as the mask token, shown as a random token; the rest as they are
# (BERT's shares). Text is measured without mask tokens, so the model must have learnt from such.
_SHOWN_MASK, _SHOWN_RANDOM = 0.8, 0.1


class Batch(NamedTuple):
    """One step's work. A position whose target is −100 bears no loss."""

    ids: Int[Tensor, "batch window"]
    targets: Int[Tensor, "batch window"]
    mask: Tensor | None
    """Passed as ``attention_mask``; None leaves it to the network's config."""

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        mask = None if self.mask is None else self.mask.to(device)
        return Batch(self.ids.to(device), self.targets.to(device), mask)


def batch(
    recipe: Recipe, windows: Int[np.ndarray, "batch window"], draw: np.random.Generator
) -> Batch:
    """The inputs and targets of `windows`; `draw` decides masked positions and prefix lengths."""
    ids = torch.from_numpy(windows.astype(np.int64))
    targets = torch.full_like(ids, IGNORED)
    if recipe.objective == "masked-token":
        return _masked(recipe, ids, targets, draw)
    targets[:, :-1] = ids[:, 1:]
    if recipe.objective == "next-token":
        return Batch(ids, targets, None)
    # At least one position is in the prefix, and at least one target is after it.
    lengths = torch.from_numpy(draw.integers(1, recipe.window - 1, len(ids)))
    # The last position of the prefix predicts the first token of the suffix, as when generating.
    targets[torch.arange(recipe.window)[None] < lengths[:, None] - 1] = IGNORED
    return Batch(ids, targets, prefix_mask(lengths, torch.ones_like(ids)))


def _masked(
    recipe: Recipe,
    ids: Int[Tensor, "batch window"],
    targets: Int[Tensor, "batch window"],
    draw: np.random.Generator,
) -> Batch:
    chosen = draw.random(tuple(ids.shape)).argsort(axis=1)[:, : masked_positions(recipe.window)]
    places = torch.from_numpy(chosen)
    originals = ids.gather(1, places)
    how = torch.from_numpy(draw.random(chosen.shape))
    random = torch.from_numpy(draw.integers(len(SPECIAL_TOKENS), recipe.vocabulary, chosen.shape))
    shown = torch.where(how < _SHOWN_MASK + _SHOWN_RANDOM, random, originals)
    shown[how < _SHOWN_MASK] = SPECIAL_TOKENS.index(MASK)
    return Batch(ids.scatter(1, places, shown), targets.scatter(1, places, originals), None)


def loss(model: Any, work: Batch) -> tuple[Tensor, int]:
    """Mean cross-entropy in nats over the positions that bear a loss, and how many they are."""
    bearing = work.targets != IGNORED
    mask = work.mask
    if mask is not None and torch.is_autocast_enabled(work.ids.device.type):
        mask = mask.to(torch.get_autocast_dtype(work.ids.device.type))
    states = model.base_model(
        input_ids=work.ids, attention_mask=mask, use_cache=False
    ).last_hidden_state
    # The head is the largest product of a small model: only where there is a target.
    states, targets, head = states[bearing], work.targets[bearing], model.get_output_embeddings()
    if narrow.applies(states.device):
        return narrow.mean_loss(states, head.weight, targets), len(targets)
    return cross_entropy(head(states).float(), targets), len(targets)


# As Pythia and TinyLlama were trained.
_BETAS, _WEIGHT_DECAY, _CLIP = (0.9, 0.95), 0.1, 1.0
_HELD_OUT_WINDOWS = 256
_HELD_OUT_SEED = 0


class LossNotFinite(ArithmeticError):
    """A loss became NaN or infinite; the message names the step."""


def build(recipe: Recipe) -> Any:
    """The network of a recipe with its initial weights: equal for all kinds of one seed and size.

    What its mask needs is in its config: ``is_causal``, and for a prefix language model the share
    of a text that is its prefix when it is measured.
    """
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=4 * recipe.width,
        max_position_embeddings=recipe.window,
        use_parallel_residual=recipe.block == "parallel",
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "partial_rotary_factor": 0.25 if recipe.block == "parallel" else 1.0,
        },
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip
    config.is_causal = recipe.mask != "full"
    if recipe.mask == "prefix":
        setattr(config, masks.PREFIX_KEY, masks.MEASURED_SHARE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return GPTNeoXForCausalLM(config)


class Training:
    """A model, its optimizer and its text, at some step of a recipe."""

    def __init__(self, recipe: Recipe, text: corpus.Corpus, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        part = training_part(text)
        self.tokenizer = stream.train_tokenizer(part, recipe.vocabulary, recipe.window)
        self.stream = stream.Stream(part, self.tokenizer, recipe.window, recipe.seed)
        drawn = corpus.windows(
            held_out(text),
            recipe.window,
            "tokens",
            tokenizer=self.tokenizer,
            seed=_HELD_OUT_SEED,
        )
        held = [each.ids for each in itertools.islice(drawn, _HELD_OUT_WINDOWS)]
        self._held_out = np.array(held, dtype=np.int32)
        self.begin()

    def begin(self) -> None:
        """Go to step 0."""
        self.model = build(self.recipe).to(self.device).train()
        narrow.quicken(self.model)
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), betas=_BETAS, weight_decay=_WEIGHT_DECAY, fused=True
        )
        self.step = 0
        self.losses: list[tuple[float, int]] = []
        """Mean loss and loss-bearing positions of every step so far."""

    def advance(self) -> None:
        """One update. Raises `LossNotFinite`, the model as it was before."""
        recipe, step = self.recipe, self.step + 1
        windows = self.stream.take(self.step * recipe.batch, recipe.batch)
        # Drawn from seed and step alone: a resumed run needs no generator's state.
        work = batch(recipe, windows, np.random.default_rng([recipe.seed, step]))
        self._optimizer.zero_grad()
        with _autocast(self.device, recipe.precision):
            mean, bearing = loss(self.model, work.to(self.device))
        value = float(mean.detach())
        if not math.isfinite(value):
            raise LossNotFinite(f"the loss is {value} at step {step}")
        mean.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        self._optimizer.step()
        self.step = step
        self.losses.append((value, bearing))

    @torch.no_grad()
    def perplexity(self) -> float:
        """exp of the mean held-out loss by the model's own objective, in float32.

        For masked-token models it is the perplexity of masked tokens, for a prefix language model
        that of the tokens after a random prefix. Windows, masked positions and prefix lengths are
        the same for every training seed. Raises `LossNotFinite`: the last update spoilt the model.
        """
        draw = np.random.default_rng(_HELD_OUT_SEED)
        total = count = 0.0
        self.model.eval()
        for start in range(0, len(self._held_out), self.recipe.batch):
            some = self._held_out[start : start + self.recipe.batch]
            work = batch(self.recipe, some, draw)
            mean, bearing = loss(self.model, work.to(self.device))
            total, count = total + float(mean) * bearing, count + bearing
        self.model.train()
        if not math.isfinite(total):
            raise LossNotFinite(f"the held-out loss is {total / count} after step {self.step}")
        return math.exp(min(total / count, 700.0))

    def save(self, output: Path, folder: str | Path, facts: dict[str, Any]) -> None:
        """Keep the model as a checkpoint from which training can go on."""
        checkpoints.save(
            output, folder, self.model, self.tokenizer, self._optimizer, self.losses, facts
        )

    def restore(self, folder: Path) -> bool:
        """Go to a kept checkpoint's step; False, and at step 0, where it cannot be gone on from."""
        self.begin()
        losses = checkpoints.restore(folder, self.model, self._optimizer)
        self.losses = losses or []
        self.step = len(self.losses)
        return losses is not None


def _autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Products in bfloat16, if asked for or on a GPU; on a CPU that saves the smallest models 5 %
    and is not worth its rounding."""
    narrow = device.type == "cuda" if precision == "auto" else precision == "bfloat16"
    if narrow:
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()
