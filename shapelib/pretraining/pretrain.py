"""Train a recipe's model into a folder of checkpoints that is a suite, resumable at any moment."""

import json
import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from shapelib.errors import ShapelibError
from shapelib.models import loading
from shapelib.pretraining import checkpoints
from shapelib.pretraining.measured import table
from shapelib.pretraining.recipe import CONFIG, Recipe, differences, recipe_of
from shapelib.pretraining.training import LossNotFinite, Training
from shapelib.store import cache, keys, tables
from shapelib.text import corpus

TABLE = "training.parquet"
# Seconds between two states kept for going on: what a kill may cost.
_KEEP_EVERY = 30.0
_log = logging.getLogger("shapelib")


def suite(
    recipe: Recipe, *, until: int | None = None, device: str = "auto", progress: bool = True
) -> Path:
    """The folder of a recipe's checkpoints in the user's cache: trained once, then reused.

    Its key is the recipe, the text and the code. As with `train`, an interrupted run goes on, a
    deleted checkpoint is trained again, and `until` ends a run early. Raises `ShapelibError` as
    `train` does.
    """
    return train(recipe, _folder(recipe), until=until, device=device, progress=progress)


def suites(
    recipes: Sequence[Recipe],
    *,
    until: int | None = None,
    device: str = "auto",
    minutes: float | None = None,
    rising: Sequence[int] = (),
    progress: bool = True,
) -> list[Path]:
    """`suite` for several recipes at once, each in a process of its own with its share of cores.

    Small models train faster so than one after another with all cores. A progress bar shows the
    first. A script that calls it must guard its main part with ``if __name__ == "__main__"``. For
    `minutes` and `rising` see `train`.
    """
    folders = [_folder(each) for each in recipes]
    new = [
        (recipe, folder)
        for recipe, folder in zip(recipes, folders, strict=True)
        if _missing(recipe, folder, until, rising)
    ]
    if new:
        cores = torch.get_num_threads()
        at_once = min(len(new), cores)
        with ProcessPoolExecutor(
            at_once, get_context("spawn"), torch.set_num_threads, (cores // at_once,)
        ) as pool:
            running = [
                pool.submit(
                    train,
                    *each,
                    until=until,
                    device=device,
                    minutes=minutes,
                    rising=rising,
                    progress=progress and number == 0,
                )
                for number, each in enumerate(new)
            ]
            for each in running:
                each.result()
    return folders


def _folder(recipe: Recipe) -> Path:
    text = corpus.load_corpus(recipe.corpus)
    key = keys.key_of(recipe.as_dict(), text.sha256, keys.code_of(Training))
    return cache.folder("pretrained") / f"{recipe.name}-{key}"


def train(
    recipe: Recipe,
    output: str | Path,
    *,
    until: int | None = None,
    device: str = "auto",
    minutes: float | None = None,
    rising: Sequence[int] = (),
    progress: bool = True,
) -> Path:
    """Train what is missing of a recipe's checkpoints in the folder `output`, and return it.

    ::

        folder = train(recipe("decoder"), "runs/decoder")  # five minutes of one core
        sweep(folder, output="measured")  # every checkpoint

    A killed run goes on from its newest state when asked for again, and ends as if it had not been.
    A deleted checkpoint is trained again from the nearest one before it. Two processes that ask for
    one folder train it once.

    :param recipe: what to train, made by `shapelib.recipe`.
    :param output: a folder, new or of this recipe. It comes to hold ``recipe.json``,
        ``training.parquet`` (what `pretraining.table` gives) and, for each checkpoint, a
        safetensors folder ``step-…`` with tokenizer and ``training.json``.
    :param until: go no further than this checkpoint of the recipe, by its step: the beginning of
        the run, with the learning rates of the whole.
    :param device: as in `load`.
    :param minutes: stop by itself after that time.
    :param rising: checkpoints of the recipe, by their steps, such as the ends of epochs: the run
        ends at the first whose held-out perplexity is above that of the one before it.
    :param progress: whether a bar is shown.
    :returns: the folder, which is a suite for `sweep`.
    :raises ShapelibError: for a folder of another recipe or of other files, for a loss that is no
        longer finite (what was kept stays), for a device that is not there, for a text too short
        for the vocabulary or a single window, and for `until` where the recipe keeps nothing.
    """
    from filelock import FileLock

    if minutes is not None and not minutes > 0:
        raise ShapelibError(f"minutes is {minutes!r}; a number above 0 is accepted")
    asked_for = recipe.up_to(until)
    output, text = Path(output), corpus.load_corpus(recipe.corpus)
    where = loading.pick_device(device)
    asked = {**recipe.as_dict(), "corpus_sha256": text.sha256}
    _check_free(output, asked)
    # What a text or a recipe is refused for leaves no folder behind.
    first = None if checkpoints.begun(output) else Training(recipe, text, where)
    _claim(output, asked)
    with FileLock(checkpoints.work(output) / "lock"):
        checkpoints.clear_leftovers(output)
        checkpoints.whole(output, say=True)
        missing = _missing(recipe, output, until, rising)
        if missing:
            end = math.inf if minutes is None else time.monotonic() + 60 * minutes
            training = first or Training(recipe, text, where)
            _say_epochs(recipe, training.stream.tokens)
            try:
                _fill(training, output, missing, end, rising, progress)
            except LossNotFinite as error:
                kept = checkpoints.whole(output)
                raise ShapelibError(
                    f"{error}: training stopped. Checkpoints up to step {max(kept, default=None)} "
                    f"are kept in {output}; a lower learning rate than {recipe.learning_rate:g} "
                    "or a longer warm-up may help"
                ) from error
        elif there := set(asked_for) & set(checkpoints.whole(output)):
            _complete(output, max(there))
    return output


def _missing(recipe: Recipe, output: Path, until: int | None, rising: Sequence[int]) -> list[int]:
    """The steps of the checkpoints that are still to be trained."""
    kept, end = checkpoints.whole(output), checkpoints.risen(output, rising)
    return [
        step for step in recipe.up_to(until)
        if step not in kept and (end is None or step <= end)
    ]  # fmt: skip


def _complete(output: Path, last: int) -> None:
    """Write the table of a run that was killed after its last checkpoint and before its table."""
    try:
        told = int(tables.read_table(output / TABLE)["step"].max())
    except ShapelibError:
        told = -1
    if told < last:
        tables.write_table(table(output), output / TABLE)


def _claim(output: Path, asked: dict[str, Any]) -> None:
    """Make `output` this recipe's folder, or refuse one that is not."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ShapelibError(f"{output} cannot be made a folder: {error.strerror}") from error
    if _check_free(output, asked):
        text = json.dumps(asked, indent=1, ensure_ascii=False)
        tables.write_atomically(output / CONFIG, lambda file: file.write_text(text, "utf-8"))


def _check_free(output: Path, asked: dict[str, Any]) -> bool:
    """Whether the recipe is still to be written to `output`; refuse a folder of something else."""
    config = output / CONFIG
    if output.exists() and not output.is_dir():
        raise ShapelibError(f"{output} cannot be made a folder: it is a file")
    if not output.exists():
        return True
    if not config.is_file():
        if any(each.name != checkpoints.WORK for each in output.iterdir()):
            raise ShapelibError(
                f"{output} holds files and no {CONFIG}; an empty folder, a new one, or one that "
                "holds a run of this recipe is accepted"
            )
    else:
        # What a recipe did not say when it was written is what it has by default.
        made = recipe_of(output).as_dict()
        there = {**made, "corpus_sha256": json.loads(config.read_text("utf-8"))["corpus_sha256"]}
        if there == asked:
            return False
        # A recipe that nothing was trained by, for it was refused, holds no place.
        if checkpoints.begun(output):
            raise ShapelibError(
                f"{output} holds a run of another recipe: {'; '.join(differences(there, asked))}. "
                "Give another folder, or delete this one"
            )
    return True


def _say_epochs(recipe: Recipe, tokens: int) -> None:
    needed = recipe.steps * recipe.tokens_per_step
    if needed > tokens:
        _log.info(
            "%d steps of %d tokens read the text's %d tokens %.1f times",
            recipe.steps, recipe.tokens_per_step, tokens, needed / tokens,
        )  # fmt: skip


def _fill(
    training: Training,
    output: Path,
    missing: list[int],
    end: float,
    rising: Sequence[int],
    progress: bool,
) -> None:
    """Train to each missing checkpoint from the nearest state before it, up to where held-out
    perplexity has risen."""
    from tqdm import tqdm

    recipe = training.recipe
    bar = tqdm(
        total=missing[-1], unit="step", desc=f"{recipe.kind}: training",
        disable=None if progress else True,
    )  # fmt: skip
    with bar:
        for target in missing:
            risen = checkpoints.risen(output, rising)
            if risen is not None and risen < target:
                _log.info("ended at step %d: held-out perplexity has risen", risen)
                break
            _go_to(training, output, target)
            kept = time.monotonic()
            while training.step < target:
                training.advance()
                bar.update(training.step - bar.n)
                bar.set_postfix_str(f"loss {training.losses[-1][0]:.3f}", refresh=False)
                # After the step, so that even the shortest segment makes one.
                over = time.monotonic() > end and training.step < missing[-1]
                if over or time.monotonic() - kept > _KEEP_EVERY:
                    training.save(output, checkpoints.latest_of(training.step), _facts(training))
                    checkpoints.drop_latest(output, before=training.step)
                    kept = time.monotonic()
                if over:
                    _log.info(
                        "stopped at step %d of %d: the same command goes on from there",
                        training.step, missing[-1],
                    )  # fmt: skip
                    return
            facts = {**_facts(training), "perplexity": training.perplexity()}
            training.save(output, checkpoints.folder_of(target), facts)
            tables.write_table(table(output), output / TABLE)
    checkpoints.drop_latest(output)


def _go_to(training: Training, output: Path, target: int) -> None:
    """Take up the newest kept state that is not past `target`, if it is ahead of this one."""
    states = {**checkpoints.whole(output), **checkpoints.latest(output)}
    for step in sorted(states, reverse=True):
        if training.step < step <= target and training.restore(states[step]):
            _log.info("going on from step %d", step)
            return


def _facts(training: Training) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    recipe, step = training.recipe, training.step
    return {
        "step": step,
        "tokens_seen": step * recipe.tokens_per_step,
        "loss_tokens": sum(bearing for _, bearing in training.losses),
        "loss": training.losses[-1][0] if step else None,
        "learning_rate": recipe.rate(step) if step else None,
        "kind": recipe.kind,
        "mask": recipe.mask,
        "objective": recipe.objective,
        "seed": recipe.seed,
        "device": str(training.device),
    }
