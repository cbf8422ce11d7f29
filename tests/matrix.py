"""One family of models, tried whole: tiny, with random weights, held against what nobody shares.

Its states are read one window at a time by transformers alone, and its metrics are computed in
float64 by every pair. What the product gives must be that, however the tokenizer pads and whether
or not it states a limit.
"""

import copy
import math
import os
import random
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from shapelib.errors import ShapelibError
from shapelib.models.loading import Model, load
from shapelib.states.pool import Pool, pool
from shapelib.states.profile import profile
from shapelib.text.corpus import Window, load_corpus, windows

LIST = Path(__file__).parent / "states" / "families.yml"
FLOAT32 = 1e-5
"""How far states and metrics may be from the reference, as a share of the largest."""
TOKENS, WINDOW = 200, 60
_MANY = 2.0
"""How many times further than another order of reading takes them bfloat16 states may be."""
_ROUNDING = 2.0**-8
_WORDS = (
    "river sand moon orbit cat mat log reads line wind coast sea carries philosophy authority "
    "sceptical justification political galaxy centre earth sun neither inland along"
)


@dataclass(frozen=True)
class Family:
    """An entry of the list; see its head."""

    type: str
    part: str | None = None
    tokenizer: str | None = None
    options: dict[str, Any] | None = None
    refused: str | None = None
    low: bool = True
    dozen: bool = False
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.type}, {self.part}" if self.part else self.type


@dataclass
class Outcome:
    """What came out: numbers as far as they were measured, or the sentence of the refusal."""

    family: str
    tokenizer: str = ""
    role: str = ""
    apart: bool = False
    """Whether windows of equal length alone were read together, since padding leaks."""
    states: float | None = None
    """The furthest state in float32, as a share of the layer's largest."""
    metrics: float | None = None
    """The furthest metric, as a share of the brute force's."""
    half: float | None = None
    """The furthest layer in bfloat16, as a share of its length."""
    reordered: float | None = None
    """How far another order of reading takes that layer."""
    refused: str | None = None
    half_refused: str | None = None
    half_runs: bool | None = None
    """Of one that is refused in bfloat16: whether it runs by transformers alone."""

    def kept(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}


def families() -> list[Family]:
    return [Family(**each) for each in yaml.safe_load(LIST.read_text("utf-8"))["families"]]


def story() -> str:
    """Sentences of unlike lengths, always the same."""
    draw = random.Random(0)
    lines = []
    for n in range(400):
        words = draw.choices(_WORDS.split(), k=draw.randint(4, 14))
        lines.append(f"{' '.join(words).capitalize()} ({n}).")
    return "\n".join(lines)


# ---- making one


def make(family: Family, folder: Path) -> Path:
    """Its folder: a configuration drawn by the type's name, random weights, its tokenizer."""
    import transformers

    tokenizer = tokenizer_of(family)
    config = config_of(family, tokenizer)
    torch.manual_seed(0)
    # None where a type has several classes, which AutoModel would then look through.
    config.architectures = config.architectures or []
    network = transformers.AutoModel.from_config(config)
    _stir(network)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _stir(network: Any) -> None:
    """Weights large enough that a block does something, and biases and norms that are not 0 and 1:
    as they begin, a mistake there would show nowhere."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, each in network.named_parameters():
            noise = torch.randn(each.shape, generator=generator)
            if each.dim() > 1 and "mamba" not in name:
                each.mul_(2.0)
            elif each.dim() == 1:
                each.add_(0.05 * noise)


def config_of(family: Family, tokenizer: Any) -> Any:
    """Two or three blocks of two or four heads of eight numbers, by the letters of the type."""
    import transformers

    made = transformers.AutoConfig.for_model(family.type)
    draw = random.Random(family.type)
    heads, layers = draw.choice((2, 4)), draw.choice((2, 3))
    width = 8 * heads
    usual = {
        "vocab_size": max(len(tokenizer), 8), "hidden_size": width, "intermediate_size": 2 * width,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": 2,
        "head_dim": 8, "max_position_embeddings": 130, "n_positions": 130, "n_ctx": 130,
        "encoder_layers": layers, "decoder_layers": layers, "num_decoder_layers": layers,
        "encoder_attention_heads": heads, "decoder_attention_heads": heads,
        "num_encoder_attention_heads": heads, "num_decoder_attention_heads": heads,
        "num_encoder_layers": layers,
        "encoder_ffn_dim": 2 * width, "decoder_ffn_dim": 2 * width, "ffn_dim": 2 * width,
        "d_ff": 2 * width, "d_kv": 8, "num_local_experts": 4, "num_experts": 4,
        "layer_types": None, "rope_dim": 8,
        "pad_token_id": _id(tokenizer.pad_token_id), "bos_token_id": _id(tokenizer.bos_token_id),
        "eos_token_id": _id(tokenizer.eos_token_id),
        "decoder_start_token_id": _id(tokenizer.pad_token_id),
    }  # fmt: skip
    chosen = {name: value for name, value in usual.items() if hasattr(made, name)}
    for name, value in (family.options or {}).items():
        words = {"same": width, "none": None}
        chosen[name] = words.get(value, value) if isinstance(value, str) else value
    chosen = {name: value for name, value in chosen.items() if value is not None}
    return transformers.AutoConfig.for_model(family.type, **chosen)


def _id(token: int | None) -> int:
    return 0 if token is None else int(token)


def tokenizer_of(family: Family) -> Any:
    """The class that the type has, its vocabulary learned from the story; or the one of its kind
    that the list names."""
    import transformers
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    name = family.tokenizer or TOKENIZER_MAPPING_NAMES[family.type]
    made = getattr(transformers, name)()
    if hasattr(made, "train_new_from_iterator"):
        # Side by side it would sum in another order each time.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        made = made.train_new_from_iterator(story().splitlines(), 600)
    return made


def given(tokenizer: Any, folder: Path, side: str, limited: bool) -> None:
    """Write the tokenizer as it may be met: padding on this side, a limit stated or not."""
    met = copy.deepcopy(tokenizer)
    met.padding_side = side
    met.model_max_length = 128 if limited else int(1e30)
    met.save_pretrained(folder)


# ---- the reference


class Alone:
    """A family's network as transformers gives it, which reads every window by itself, anew."""

    def __init__(self, folder: Path, family: Family, dtype: torch.dtype = torch.float32) -> None:
        import transformers

        self.part = family.part
        self.network = transformers.AutoModel.from_pretrained(folder, dtype=dtype).eval()

    def together(self, rows: list[list[int]]) -> list[list[np.ndarray]]:
        """Every layer's states of each text, the shorter ones padded on the right."""
        longest = max(map(len, rows))
        ids = torch.tensor([each + [0] * (longest - len(each)) for each in rows])
        mask = torch.tensor([[1] * len(each) + [0] * (longest - len(each)) for each in rows])
        given = {"input_ids": ids, "attention_mask": mask}
        if self.part:
            given |= {f"decoder_{name}": value for name, value in given.items()}
        if len(rows) == 1:
            given = {name: value for name, value in given.items() if "mask" not in name}
        with torch.inference_mode():
            output = copy.deepcopy(self.network)(
                **given, output_hidden_states=True, use_cache=False
            )
        states = getattr(output, f"{self.part}_hidden_states" if self.part else "hidden_states")
        return [
            [layer[row, : len(each)].float().numpy() for layer in states]
            for row, each in enumerate(rows)
        ]

    def apart(self, texts: list[list[int]]) -> list[np.ndarray]:
        """Every layer's states of all texts, each read by itself."""
        return _joined([self.together([each])[0] for each in texts])

    def in_another_order(
        self, texts: list[list[int]], passes: int, alike: bool
    ) -> list[np.ndarray]:
        """The same, read in so many passes in a random order. `alike`: those of equal length
        together alone."""
        order = [int(at) for at in np.random.default_rng(passes).permutation(len(texts))]
        if alike:
            order.sort(key=lambda at: len(texts[at]))
        found: dict[int, list[np.ndarray]] = {}
        most = -(-len(texts) // passes)
        while order:
            some = [
                at for at in order[:most] if not alike or len(texts[at]) == len(texts[order[0]])
            ]
            found |= zip(some, self.together([texts[at] for at in some]), strict=True)
            order = order[len(some) :]
        return _joined([found[at] for at in range(len(texts))])


def _joined(texts: list[list[np.ndarray]]) -> list[np.ndarray]:
    return [np.concatenate(layer) for layer in zip(*texts, strict=True)]


def by_every_pair(x: np.ndarray) -> dict[tuple[str, bool | None], float]:
    """Metrics of a matrix in float64, by its full decomposition and all distances."""
    x = np.asarray(x, dtype=np.float64)
    found: dict[tuple[str, bool | None], float] = {}
    for centered in (True, False):
        moved = x - x.mean(axis=0) if centered else x
        values = np.linalg.svd(moved, compute_uv=False) ** 2
        found["anisotropy", centered] = float(values[0] / values.sum())
        unit, n = moved / np.linalg.norm(moved, axis=1, keepdims=True), len(moved)
        cosines = unit @ unit.T
        found["average_cosine", centered] = float((cosines.sum() - np.trace(cosines)) / (n * n - n))
    distinct = np.unique(x, axis=0)
    gaps = distinct[:, None] - distinct[None]
    near = np.sort(np.sqrt((gaps * gaps).sum(axis=2)), axis=1)[:, 1:]
    ratios, n = np.sort(np.log(near[:, 1] / near[:, 0])), len(near)
    for name, discard in (("two_nn", 0.1), ("two_nn_lowest20", 0.8)):
        kept = ratios[: int(n * (1 - discard))]
        rising = -np.log1p(-np.arange(1, len(kept) + 1) / n)
        found[name, None] = float(kept @ rising / (kept @ kept))
    if n > 21:
        found["mada_k20", None] = float((math.log(2) / np.log(near[:, 19] / near[:, 9])).mean())
        mean = near[:, :20].mean(axis=1)
        found["mom_k20", None] = float((mean / (near[:, 19] - mean)).mean())
    return found


# ---- trying one


def tried(family: Family, folder: Path, every: bool = True) -> Outcome:
    """Make a family, try it, and say what came out. `every`: all four ways to meet the tokenizer,
    or two of them."""
    text = folder / "story.txt"
    text.write_text(story(), encoding="utf-8")
    place, tokenizer = make(family, folder / family.type), tokenizer_of(family)
    outcome = Outcome(family.name, type(tokenizer).__name__)
    ways = [("right", True), ("left", False), ("right", False), ("left", True)]
    reference: list[np.ndarray] = []
    for side, limited in ways if every else ways[:2]:
        given(tokenizer, place, side, limited)
        try:
            model = load(place, part=family.part, dtype="float32")
            pooled = pool(model, drawn(text), TOKENS, progress=False)
            if not reference:
                outcome.metrics = _metrics(model, text, pooled)
        except ShapelibError as error:
            outcome.refused = str(error)
            return outcome
        texts = ids_of(model, text, pooled.windows)
        reference = reference or Alone(place, family).apart(texts)
        assert len({len(each) for each in texts}) > 1, "windows of one length need no padding"
        assert len(reference) == model.layers + 1, (len(reference), model.layers)
        outcome.role, outcome.apart = model.role, model.leaks
        for layer, expected in enumerate(reference):
            off = np.abs(pooled.states[layer] - expected).max() / np.abs(expected).max()
            outcome.states = max(outcome.states or 0.0, float(off))
    _low(family, place, text, outcome)
    return outcome


def drawn(text: Path) -> list[Window]:
    return list(windows(load_corpus(text), WINDOW, seed=0))


def ids_of(model: Model, text: Path, count: int) -> list[list[int]]:
    return [list(model.tokenizer(each.text)["input_ids"]) for each in drawn(text)[:count]]


def _metrics(model: Model, text: Path, pooled: Pool) -> float:
    """The furthest of a table's values from those by every pair, as a share of these."""
    table = profile(
        model, text, tokens=TOKENS, batch=TOKENS, window=WINDOW, sets=["all"], progress=False
    )
    worst = 0.0
    for layer, rows in table.groupby("layer"):
        values = {
            (name, None if pd.isna(centered) else bool(centered)): value
            for name, centered, value in zip(
                rows["metric"], rows["centered"], rows["value"], strict=True
            )
        }
        for metric, expected in by_every_pair(pooled.states[layer][pooled.order[:TOKENS]]).items():
            # A cosine may be 0; anything else is far from it.
            size = max(abs(expected), 0.1 if metric[0] == "average_cosine" else 0.0)
            worst = max(worst, abs(values[metric] - expected) / size)
    return worst


def _low(family: Family, place: Path, text: Path, outcome: Outcome) -> None:
    """The same in bfloat16, beside what reading in another order does to it."""
    try:
        model = load(place, part=family.part, dtype="bfloat16")
        pooled = pool(model, drawn(text), TOKENS, progress=False)
    except ShapelibError as error:
        outcome.half_refused = str(error)
        outcome.half_runs = _runs_low(family, place)
        return
    texts = ids_of(model, text, pooled.windows)
    alone = Alone(place, family, torch.bfloat16)
    expected = alone.apart(texts)
    others = [alone.in_another_order(texts, passes, model.leaks) for passes in (1, 2, 3)]
    outcome.half = max(map(_far, pooled.states.values(), expected))
    outcome.reordered = max(max(map(_far, each, expected)) for each in others)


def _runs_low(family: Family, place: Path) -> bool:
    """Whether the family runs in bfloat16 by transformers alone."""
    try:
        Alone(place, family, torch.bfloat16).together([[1, 2, 3]])
    except RuntimeError:
        return False
    return True


def _far(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.linalg.norm(one - two) / np.linalg.norm(two))


# ---- judging it


def wrong(family: Family, outcome: Outcome) -> str | None:
    """What is wrong with an outcome; None where nothing is."""
    if outcome.refused is not None:
        if family.refused is None:
            return f"refused: {outcome.refused}"
        as_listed = re.search(family.refused, outcome.refused)
        return None if as_listed else f"refused otherwise: {outcome.refused}"
    if family.refused is not None:
        return "measured, though it is listed as refused"
    assert outcome.states is not None
    assert outcome.metrics is not None
    if not outcome.states < FLOAT32:
        return f"states are off by {outcome.states:.1e} of the largest"
    if not outcome.metrics < FLOAT32:
        return f"metrics are off by {outcome.metrics:.1e}"
    if outcome.half_refused is not None:
        told = "does not run in bfloat16" in outcome.half_refused and not outcome.half_runs
        return None if told and not family.low else f"in bfloat16: {outcome.half_refused}"
    if not family.low:
        return "runs in bfloat16, though it is listed as one that does not"
    assert outcome.half is not None
    assert outcome.reordered is not None
    if not outcome.half < max(_MANY * outcome.reordered, _ROUNDING):
        return (
            f"in bfloat16 states are off by {outcome.half:.1e}, where another order of reading "
            f"makes {outcome.reordered:.1e}"
        )
    return None
