"""The shape of a model while somebody else's Trainer trains it."""

import contextlib
import itertools
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from shapelib.errors import ShapelibError, is_whole_number, nearest
from shapelib.models import loading
from shapelib.models.halves import PARTS, Half, has_both
from shapelib.models.probe import left_as_it_was
from shapelib.states.profile import measured
from shapelib.states.settings import Measuring, Unit
from shapelib.store import tables
from shapelib.subspace.reparameterize import Subspace
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
    rank 0 measures. The row of a step is of that step's weights, whatever is loaded at the end, and
    of a model within PEFT's adapters, `reparameterize`, torch.compile or accelerate those that it
    runs with. A measurement of the default 4096 vectors takes one forward pass over 4096
    tokens and one neighbour search a layer: about five training steps of a model of a million
    parameters, on one core of a processor without bfloat16 units. The text is cut into windows once
    a training.

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
    :param part: of an encoder-decoder, which half: ``encoder`` or ``decoder``.
    :raises ShapelibError: where neither or both of `every` and `steps` are given, for an `output`
        that cannot be written, before the first step for a table in its place or a model that
        cannot be read, and for what `profile` refuses.
    """

    def __init__(
        self,
        text: str | Path | corpus.Corpus,
        output: str | Path,
        *,
        every: int | None = None,
        steps: Collection[int] | None = None,
        tokens: int = Measuring.batch,
        window: int = Measuring.window,
        unit: Unit = Measuring.unit,
        batch: int = Measuring.batch,
        seed: int = Measuring.seed,
        metrics: Sequence[str] = Measuring.metrics,
        tokenizer: Any = None,
        part: str | None = None,
    ) -> None:
        if (every is None) == (steps is None):
            raise ShapelibError("give either every= (a number of steps) or steps= (which ones)")
        if every is not None and not is_whole_number(every, 1, numpy=True):
            raise ShapelibError(f"every is {every!r}; a whole number of at least 1 is accepted")
        if part is not None and part not in PARTS:
            raise ShapelibError(f"no such part: {part!r}; {nearest(str(part), list(PARTS))}")
        self._output = tables.check_output(output)
        self._text = text if isinstance(text, corpus.Corpus) else corpus.load_corpus(text)
        self._every, self._steps, self._tokenizer = every, frozenset(steps or ()), tokenizer
        self._part = part
        self._done: int | None = None
        self._windows: Iterator[corpus.Window] | None = None
        self._asked = Measuring(tokens, window, unit, batch, seed=seed, metrics=metrics)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Before the first step, where a model that cannot be read is refused."""
        if state.global_step == 0 and state.is_world_process_zero and self._output.exists():
            raise ShapelibError(
                f"{str(self._output)!r} holds a table already, and training begins at step 0; "
                "give another output, or delete it"
            )
        self._done = self._windows = None
        if state.global_step == 0 and self._is_asked(0):
            self._measure(state, **kwargs)
        elif state.is_world_process_zero:
            tokenizer = self._reader(kwargs.get("processing_class"))
            with watched(kwargs.get("model"), self._part) as network:
                loading.live(network, tokenizer)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After an optimizer step."""
        if self._is_asked(state.global_step):
            self._measure(state, **kwargs)
        elif control.should_training_stop:
            self._measure_the_last(state, kwargs)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Where an evaluation has stopped the training: the weights are still those of the step."""
        if control.should_training_stop:
            self._measure_the_last(state, kwargs)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Where an evaluation after an epoch has stopped it."""
        if control.should_training_stop:
            self._measure_the_last(state, kwargs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The last step, where nothing has measured it and its weights are still there: the best
        checkpoint may have been put in their place."""
        if not getattr(args, "load_best_model_at_end", False):
            self._measure_the_last(state, kwargs)

    def _is_asked(self, step: int) -> bool:
        return step % self._every == 0 if self._every else step in self._steps

    def _measure_the_last(self, state: Any, given: dict[str, Any]) -> None:
        if self._every and self._done != state.global_step:
            self._measure(state, **given)

    def _reader(self, processing_class: Any) -> Any:
        tokenizer = self._tokenizer or processing_class
        if tokenizer is None:
            raise ShapelibError(
                "there is no tokenizer to read text with: give ShapeCallback(tokenizer=…) or the "
                "Trainer a processing_class"
            )
        return tokenizer

    def _measure(
        self, state: Any, model: Any = None, processing_class: Any = None, **_: Any
    ) -> None:
        self._done = step = state.global_step
        if not state.is_world_process_zero:
            return
        tokenizer = self._reader(processing_class)
        started = time.perf_counter()
        with watched(model, self._part) as network:
            live = loading.live(
                network, tokenizer, step=step, tokens_seen=state.num_input_tokens_seen or None
            )
            table = measured(live, self._text, self._cut(tokenizer), self._asked, started)
        table.attrs["provenance"] = [{**run, "step": step} for run in table.attrs["provenance"]]
        if self._output.is_file():
            before = tables.read_table(self._output)
            runs = before.attrs["provenance"]
            before = before[before["step"] != step]
            before.attrs["provenance"] = [each for each in runs if each.get("step") != step]
            table = tables.combine([before, table])
        tables.write_table(table, self._output)

    def _cut(self, tokenizer: Any) -> Iterator[corpus.Window]:
        """The windows to read: of one training always the same, so that its text is cut once."""
        if self._windows is None:
            self._windows = corpus.windows(
                self._text, self._asked.window, self._asked.unit,
                tokenizer=tokenizer, seed=self._asked.seed,
            )  # fmt: skip
        self._windows, again = itertools.tee(self._windows)
        return again


@contextlib.contextmanager
def watched(model: Any, part: str | None = None) -> Iterator[torch.nn.Module]:
    """The base network of a model in training, in eval mode and with the weights of now.

    What wraps it (accelerate, DistributedDataParallel, torch.compile, PEFT) is taken off, and a
    subspace's θ put in; afterwards each module's own mode, the random states and all settings are
    those of before.

    Raises `ShapelibError` for a model that has no such network, whose weights are spread over
    processes, or that is tuned by its prompt, which is no part of the network.
    """
    whole = _unwrapped(model)
    attached = [getattr(each, "subspace", None) for each in model.modules()]
    inside = [each for each in attached if isinstance(each, Subspace)]
    # transformers gives the model itself where it has no base network within.
    network = getattr(whole, "base_model", None)
    if not isinstance(network, torch.nn.Module) or not hasattr(network, "config"):
        raise ShapelibError(
            f"{type(whole).__name__} has no base network that gives hidden states; accepted: "
            "models of transformers, wrapped by accelerate, PEFT, torch.compile or a subspace"
        )
    sharded = "FullyShardedDataParallel", "DTensor"
    if any(
        type(each).__name__ in sharded or hasattr(each, "ds_id")
        for each in (*model.modules(), *model.parameters())
    ):
        raise ShapelibError(
            f"the weights of {type(whole).__name__} are spread over processes, and no process can "
            "measure them; measure its checkpoints with shapelib sweep"
        )
    if has_both(network):
        if part is None:
            raise ShapelibError(
                f"{type(whole).__name__} is an encoder-decoder model: give ShapeCallback(part=…), "
                "'encoder' or 'decoder'"
            )
        half = Half(network, part)
    elif part is not None:
        raise ShapelibError(
            f"part {part!r} was given, but {type(whole).__name__} is no encoder-decoder model"
        )
    else:
        half = None
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng())
        for each in inside:
            stack.enter_context(each.applied())
        stack.enter_context(left_as_it_was(model))
        model.eval()
        yield half.eval() if half is not None else network


def _unwrapped(model: Any) -> Any:
    """The model of transformers within whatever wraps it."""
    while True:
        peft = getattr(model, "peft_config", None)
        if isinstance(peft, dict) and hasattr(model, "get_base_model"):
            if any(getattr(each, "is_prompt_learning", False) for each in peft.values()):
                raise ShapelibError(
                    f"{type(model).__name__} is tuned by its prompt, which stands before the text "
                    "and is no part of the network: LoRA and other adapters inside it are accepted"
                )
            model = model.get_base_model()
        else:
            inner = getattr(model, "_orig_mod", None)
            if not isinstance(inner, torch.nn.Module):
                inner = getattr(model, "module", None)
            if not isinstance(inner, torch.nn.Module):
                return model
            model = inner
