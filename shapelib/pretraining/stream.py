"""The text of a training run: articles held out, a tokenizer, and a stream of windows by seed."""

from typing import Any

import numpy as np
from jaxtyping import Int

from shapelib.errors import ShapelibError
from shapelib.pretraining.recipe import MASK, PAD, SPECIAL_TOKENS
from shapelib.text.corpus import Corpus, windows


def train_tokenizer(text: Corpus, vocabulary: int, window: int) -> Any:
    """A byte-level BPE of `vocabulary` tokens, ``<pad>`` and ``<mask>`` the first two.

    It adds no special token to a text. Raises `ShapelibError` where the text is too short to have
    that many.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator((article.text for article in text.articles), trainer)
    if raw.get_vocab_size() < vocabulary:
        raise ShapelibError(
            f"{text.name} is too short for a vocabulary of {vocabulary}: it gives "
            f"{raw.get_vocab_size()} tokens; ask for at most that many, or give a longer text"
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token=PAD, mask_token=MASK, model_max_length=window
    )


class Stream:
    """Windows of tokens by number, without end: each epoch cuts and shuffles the text anew."""

    def __init__(self, text: Corpus, tokenizer: Any, window: int, seed: int) -> None:
        articles = [article.text for article in text.articles]
        read = tokenizer(articles, add_special_tokens=False, verbose=False)["input_ids"]
        self._ids = dict(zip(articles, read, strict=True))
        self._text, self._window, self._seed = text, window, seed
        self._epoch = -1
        self._windows = self._cut(0)

    @property
    def tokens(self) -> int:
        """Tokens in one epoch's windows."""
        return self._windows.size

    def _cut(self, epoch: int) -> Int[np.ndarray, "windows window"]:
        if epoch != self._epoch:
            drawn = windows(
                self._text,
                self._window,
                "tokens",
                tokenizer=lambda article, **_: {"input_ids": self._ids[article]},
                # A seed of its own for each epoch, and no two runs share any.
                seed=int(np.random.SeedSequence([self._seed, epoch]).generate_state(1)[0]),
            )
            self._windows = np.array([each.ids for each in drawn], dtype=np.int32)
            self._epoch = epoch
        return self._windows

    def take(self, start: int, count: int) -> Int[np.ndarray, "count window"]:
        """Windows `start` to ``start + count`` of the stream."""
        size = len(self._windows)
        numbers = np.arange(start, start + count)
        parts = [
            self._cut(int(epoch))[numbers[numbers // size == epoch] % size]
            for epoch in np.unique(numbers // size)
        ]
        return np.concatenate(parts)
