"""The shape of a model while somebody else's Trainer trains it."""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import TrainerCallback

from shapelib.errors import ShapelibError
from shapelib.models import loading
from shapelib.states.choices import chosen
from shapelib.states.profile import profile as measure
from shapelib.store import tables
from shapelib.text import corpus


class ShapeCallback(TrainerCallback):
    """Measures the model of a transformers ``Trainer`` at chosen steps, into one shape table.

    ::

        watch = ShapeCallback("held-out.txt", "shape.parquet", every=100)
        Trainer(model, arguments, train_dataset=…, callbacks=[watch]).train()
        read_table("shape.parquet")  # with the columns of profile

    Training is not touched: weights, gradients, random states and each module's training mode are
    as before. ``step`` is the Trainer's ``global_step``; ``tokens_seen`` is known where its
    arguments say ``include_num_input_tokens_seen``. A Trainer that resumes from a checkpoint
    continues the table, and a step that is measured again replaces its rows. Only the process of
    rank 0 measures. A measurement of the default 4096 vectors takes one forward pass over 4096
    tokens and one neighbour search a layer: about a dozen training steps of a model of a million
    parameters.

    :param text: what `load_corpus` takes, or a corpus; not the text trained on.
    :param output: the table's file (.parquet or .csv), written anew, whole or not at all, after
        each measurement.
    :param every: measure at step 0, after every so many optimizer steps, and at the end.
    :param steps: or after these steps alone; 0 is before the first.
    :param tokens: how many vectors are measured, as in `profile`; so are `window`, `unit`, `batch`
        and `seed`.
    :param window: length of a window of text.
    :param unit: what that length counts, ``characters`` or ``tokens``.
    :param batch: how many vectors a batch has.
    :param seed: of the windows and the shuffling.
    :param metrics: what is measured, as in `profile`.
    :param tokenizer: that of the Trainer (its ``processing_class``) where none is given.
    :raises ShapelibError: where neither or both of `every` and `steps` are given, for an `output`
        that cannot be written, when training begins at step 0 with a table in its place, and for
        what `profile` refuses.
    """

    def __init__(
        self,
        text: str | Path | corpus.Corpus,
        output: str | Path,
        *,
        every: int | None = None,
        steps: Collection[int] | None = None,
        tokens: int = 4096,
        window: int = 512,
        unit: Literal["characters", "tokens"] = "characters",
        batch: int = 4096,
        seed: int = 0,
        metrics: Sequence[str] = ("default",),
        tokenizer: Any = None,
    ) -> None:
        if (every is None) == (steps is None):
            raise ShapelibError("give either every= (a number of steps) or steps= (which ones)")
        if every is not None and (isinstance(every, bool) or every < 1):
            raise ShapelibError(f"every is {every!r}; a whole number of at least 1 is accepted")
        self._output = tables.check_output(output)
        self._text = text if isinstance(text, corpus.Corpus) else corpus.load_corpus(text)
        self._every, self._steps, self._tokenizer = every, frozenset(steps or ()), tokenizer
        self._asked: dict[str, Any] = {
            "tokens": tokens, "window": window, "unit": unit, "batch": batch, "seed": seed,
            "metrics": chosen(metrics, batch),
        }  # fmt: skip

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Before the first step."""
        if state.global_step == 0:
            if state.is_world_process_zero and self._output.exists():
                raise ShapelibError(
                    f"{str(self._output)!r} holds a table already, and training begins at step 0; "
                    "give another output, or delete it"
                )
            self._measure_at(state, kwargs)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After an optimizer step."""
        self._measure_at(state, kwargs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The last step, where `every` has not come upon it."""
        if self._every is not None and state.global_step % self._every:
            self._measure(state, **kwargs)

    def _measure_at(self, state: Any, given: dict[str, Any]) -> None:
        step = state.global_step
        if step % self._every == 0 if self._every else step in self._steps:
            self._measure(state, **given)

    def _measure(
        self, state: Any, model: Any = None, processing_class: Any = None, **_: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        tokenizer = self._tokenizer or processing_class
        if tokenizer is None:
            raise ShapelibError(
                "there is no tokenizer to read text with: give ShapeCallback(tokenizer=…) or the "
                "Trainer a processing_class"
            )
        network = getattr(model, "module", model).base_model
        step = state.global_step
        with _left_as_it_is(network):
            live = loading.live(
                network, tokenizer, step=step, tokens_seen=state.num_input_tokens_seen or None
            )
            table = measure(live, self._text, progress=False, **self._asked)
        table.attrs["provenance"] = [{**run, "step": step} for run in table.attrs["provenance"]]
        if self._output.is_file():
            before = tables.read_table(self._output)
            runs = before.attrs["provenance"]
            before = before[before["step"] != step]
            before.attrs["provenance"] = [each for each in runs if each.get("step") != step]
            table = tables.combine([before, table])
        tables.write_table(table, self._output)


@contextlib.contextmanager
def _left_as_it_is(network: torch.nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards each module's own mode and the random states of before."""
    modes = [(module, module.training) for module in network.modules()]
    with torch.random.fork_rng():
        network.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
