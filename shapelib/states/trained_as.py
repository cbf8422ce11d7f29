"""How a model was trained, as far as what was loaded tells: what a claim's regime may ask for."""

from pathlib import Path
from typing import Any

from shapelib.models.catalogue import Entry
from shapelib.models.loading import Model

LANGUAGE, CONTRASTIVE, CLASSES, UNKNOWN = (
    "language modelling",
    "contrastive",
    "classification",
    "of a kind that its files do not tell",
)
# Files that sentence-transformers writes beside a model that it tuned.
_SENTENCES = ("modules.json", "config_sentence_transformers.json")
# How the classes of transformers end, by what their head was trained for.
_HEADS = {
    LANGUAGE: ("ForMaskedLM", "ForCausalLM", "LMHeadModel", "ForPreTraining", "LMHead"),
    CLASSES: ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"),
}


def trained_as(model: Model) -> str:
    """What a model was last trained for: by the catalogue, its files, the class it was saved as.

    A base network that was saved without its head, and that no file tells more of, is of an unknown
    kind: sentence encoders are saved like that.
    """
    known = model.source.known
    if known is not None and known.training:
        return known.training
    folder = model.source.folder
    return from_files(folder, getattr(model.network.config, "architectures", None) or [])


def from_files(folder: Path, architectures: list[Any]) -> str:
    """As `trained_as`, from a model's folder and the classes that its configuration names.

    >>> from pathlib import Path
    >>> from shapelib.states.trained_as import from_files
    >>> from_files(Path("no-such-folder"), ["BertForMaskedLM"])
    'language modelling'
    """
    if any((folder / each).is_file() for each in _SENTENCES):
        return CONTRASTIVE
    for kind, ends in _HEADS.items():
        if any(str(each).endswith(ends) for each in architectures):
            return kind
    return UNKNOWN


def warmup_tokens(known: Entry | None) -> int | None:
    """Tokens read when the learning rate was at its height, as the first paper prints it."""
    printed = known.table1.printed if known is not None and known.table1 is not None else {}
    tokens = printed.get("warm_up")
    return None if tokens is None else int(tokens)
