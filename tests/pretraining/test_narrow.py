"""A step in bfloat16 on a CPU: the network's own numbers but for rounding; float32 is untouched."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from shapelib.pretraining import narrow, training
from shapelib.pretraining.recipe import KINDS, Recipe, recipe
from shapelib.pretraining.training import Batch, Training, build
from shapelib.text.corpus import Corpus, load_corpus

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
Gradients = dict[str, torch.Tensor]


def made(kind: str = "decoder", **changes: Any) -> Recipe:
    asked: dict[str, Any] = {
        "layers": 2, "width": 64, "heads": 4, "vocabulary": 600, "window": 48, "batch": 3,
        "precision": "bfloat16",
    }  # fmt: skip
    return recipe(kind, **{**asked, **changes})


def work_of(asked: Recipe) -> Batch:
    draw = np.random.default_rng(0)
    windows = draw.integers(2, asked.vocabulary, (asked.batch, asked.window))
    return training.batch(asked, windows, draw)


def gradients(network: Any, work: Batch, precision: str) -> tuple[float, Gradients]:
    network.zero_grad()
    with training._autocast(CPU, precision):
        mean, _ = training.loss(network, work)
    mean.backward()
    found = {name: each.grad.clone() for name, each in network.named_parameters()}
    return float(mean.detach()), found


def apart(one: Gradients, other: Gradients) -> float:
    """The length of the difference, as a share of the other's length."""
    squares = [((one[name] - other[name]) ** 2).sum() for name in other]
    return float((sum(squares) / sum((each**2).sum() for each in other.values())) ** 0.5)


@pytest.mark.parametrize("block", ["sequential", "parallel"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_step_is_no_further_from_float32_than_autocast_alone(
    kind: str, block: str, monkeypatch: pytest.MonkeyPatch
):
    asked = made(kind, block=block)
    network = build(asked).train()
    with torch.no_grad():
        for each in network.parameters():
            if each.ndim == 2:
                each.mul_(5)  # or attention would be even, and its rounding not be seen
    work = work_of(asked)
    exact, wanted = gradients(network, work, "float32")
    autocast, plain = gradients(network, work, "bfloat16")
    assert apart(plain, wanted) < 0.05, "autocast alone is no yardstick here"
    calls: list[torch.Size] = []
    own = narrow._turns
    monkeypatch.setattr(narrow, "_turns", lambda *a: calls.append(a[0].shape) or own(*a))
    narrow.quicken(network)
    value, found = gradients(network, work, "bfloat16")
    # A prefix has a mask of its own, which is left to the network's own attention.
    assert len(calls) == (0 if kind == "prefix" else asked.layers)
    assert value == pytest.approx(exact, abs=0.01)
    assert (value == autocast) == (kind == "prefix")
    assert 0 < apart(found, wanted) < 1.2 * apart(plain, wanted)
    assert all(each.dtype == torch.float32 for each in found.values())


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_who_sees_whom_stays(kind: str):
    """By effect: another last token changes the first position of an encoder only."""
    asked = made(kind)
    network = build(asked).eval()
    narrow.quicken(network)
    ids = work_of(asked).ids
    changed = ids.clone()
    changed[:, -1] = (ids[:, -1] + 1) % asked.vocabulary
    with torch.no_grad(), training._autocast(CPU, "bfloat16"):
        one, other = (network.base_model(each).last_hidden_state for each in (ids, changed))
    assert torch.equal(one[:, :-1], other[:, :-1]) == (kind == "decoder")
    assert torch.equal(one[:, 0], other[:, 0]) == (kind == "decoder")
    assert not torch.equal(one[:, -1], other[:, -1])


def test_padding_is_left_to_the_network():
    asked = made("encoder")
    network = build(asked).eval()
    narrow.quicken(network)
    ids = work_of(asked).ids
    padding = torch.ones_like(ids)
    padding[:, 30:] = 0
    changed = ids.clone()
    changed[:, 30:] = 2
    with torch.no_grad(), training._autocast(CPU, "bfloat16"):
        one, other = (
            network.base_model(each, attention_mask=padding).last_hidden_state
            for each in (ids, changed)
        )
    assert torch.equal(one[:, :30], other[:, :30])


@pytest.mark.parametrize("positions", [1, narrow._ROWS, narrow._ROWS + 1, 3 * narrow._ROWS - 5])
def test_the_loss_is_that_of_all_logits_at_once(positions: int):
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(positions, 32, generator=generator).requires_grad_()
    head = torch.randn(50, 32, generator=generator).requires_grad_()
    targets = torch.randint(0, 50, (positions,), generator=generator)
    expected = cross_entropy(linear(states, head), targets)
    wanted = torch.autograd.grad(3 * expected, (states, head))
    value = narrow.mean_loss(states, head, targets)
    found = torch.autograd.grad(3 * value, (states, head))
    assert value.item() == pytest.approx(expected.item(), rel=5e-3)
    for one, other in zip(found, wanted, strict=True):
        assert float((one - other).norm() / other.norm()) < 0.01


def test_it_applies_to_bfloat16_on_a_cpu_alone():
    assert not narrow.applies(CPU)
    with torch.autocast("cpu", torch.bfloat16):
        assert narrow.applies("cpu")
        assert not narrow.applies("cuda")
    with torch.autocast("cpu", torch.float16):
        assert not narrow.applies("cpu")


@pytest.fixture(scope="module")
def text() -> Corpus:
    return load_corpus("enwiki-sample")


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_training_in_float32_is_bit_for_bit_a_plain_loop(kind: str, text: Corpus):
    """The network of transformers with its own attention, all logits and torch's loss."""
    asked = recipe(kind, steps=3, warmup=1)
    ours = Training(asked, text, CPU)
    network = build(asked).train()
    optimizer = torch.optim.AdamW(
        network.parameters(), betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    for step in range(1, 4):
        ours.advance()
        windows = ours.stream.take((step - 1) * asked.batch, asked.batch)
        work = training.batch(asked, windows, np.random.default_rng([asked.seed, step]))
        optimizer.zero_grad()
        bearing = work.targets != training.IGNORED
        states = network.base_model(input_ids=work.ids, use_cache=False).last_hidden_state
        loss = cross_entropy(network.lm_head(states[bearing]), work.targets[bearing])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = asked.rate(step)
        optimizer.step()
        assert ours.losses[-1][0] == float(loss.detach())
    theirs = network.state_dict()
    assert all(torch.equal(each, theirs[name]) for name, each in ours.model.state_dict().items())


def test_a_checkpoint_of_a_quickened_network_is_an_ordinary_one(text: Corpus, tmp_path: Any):
    from transformers import AutoModelForCausalLM

    asked = dataclasses.replace(recipe("decoder", steps=2, warmup=1), precision="bfloat16")
    run = Training(asked, text, CPU)
    run.advance()
    run.save(tmp_path, "one", {"step": 1})
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "one")
    assert isinstance(again, type(run.model))
    assert not any("forward" in vars(each.attention) for each in again.base_model.layers)
    run.advance()
    onwards = Training(asked, text, CPU)
    assert onwards.restore(tmp_path / "one")
    onwards.advance()
    assert onwards.losses == run.losses
    state = run.model.state_dict()
    assert all(torch.equal(each, state[n]) for n, each in onwards.model.state_dict().items())
