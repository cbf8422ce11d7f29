"""Fine-tuning in a subspace: gradients by another way, ordinary loops, files, and bad input."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from shapelib import fastfood, reparameterize, subspace
from shapelib.errors import ShapelibError
from shapelib.subspace import trainable
from shapelib.subspace.projection import dense

pytestmark = pytest.mark.usefixtures("one_thread")
Build = Callable[[], nn.Module]


class Net(nn.Module):
    """Two tied tables, a list of layers, a norm, a recurrent part, a frozen and an integer one."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.norm = nn.BatchNorm1d(8)
        self.memory = nn.LSTM(8, 8, batch_first=True)
        self.frozen = nn.Linear(8, 8)
        self.frozen.requires_grad_(False)
        self.counts = nn.Parameter(torch.arange(3), requires_grad=False)
        self.out = nn.Linear(8, 11, bias=False)
        self.out.weight = self.table.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.table(ids)
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        x, _ = self.memory(self.frozen(x))
        return self.out(self.norm(x.flatten(0, 1)))


def net() -> Net:
    torch.manual_seed(0)
    return Net()


SIZE = 11 * 8 + 2 * (64 + 8) + 16 + (2 * 4 * 64 + 2 * 4 * 8)
IDS = torch.randint(0, 11, (6, 4), generator=torch.Generator().manual_seed(1))
TARGETS = torch.randint(0, 11, (24,), generator=torch.Generator().manual_seed(2))
GROUPS = ["embeddings", "layers.0", "layers.1", "head"]


def loss_of(model: nn.Module, rows: slice = slice(None)) -> torch.Tensor:
    targets = TARGETS.view(6, 4)[rows].flatten()
    return nn.functional.cross_entropy(model(IDS[rows]), targets)


def trained(model: nn.Module) -> list[nn.Parameter]:
    return [each for each in model.parameters() if each.requires_grad]


def count(model: nn.Module) -> int:
    return sum(each.numel() for each in trained(model))


def move(found: subspace.Subspace, seed: int = 3) -> None:
    """Leave the origin, where the scales have no gradient."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        found.z.copy_(torch.randn(found.z.shape, generator=draw))
        if found.scales is not None:
            found.scales.copy_(torch.rand(found.scales.shape, generator=draw) + 0.5)


def by_dense_matrix(
    model: nn.Module, found: subspace.Subspace, groups: dict[str, int] | None
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Gradients of z and scales, and θ: P as a matrix, `functional_call`, and autograd."""
    P = torch.stack([found.projection.matvec(row) for row in torch.eye(len(found.z))], dim=1)
    z = found.z.detach().clone().requires_grad_()
    scales = None if found.scales is None else found.scales.detach().clone().requires_grad_()
    moved, at, values, theta = P @ z, 0, {}, []
    for name, value in model.named_parameters():
        if not value.requires_grad:
            continue
        delta = moved[at : at + value.numel()]
        at += value.numel()
        if scales is not None and groups is not None:
            delta = delta * scales[groups[name]]
        values[name] = value.detach() + delta.view(value.shape)
        theta.append(values[name].detach().flatten())
    assert at == len(moved)
    output = torch.func.functional_call(model, values, (IDS,), tie_weights=True)
    loss = nn.functional.cross_entropy(output, TARGETS)
    loss.backward()
    assert z.grad is not None
    return z.grad, None if scales is None else scales.grad, torch.cat(theta)


@pytest.mark.parametrize("block", [1, 16, 64, 2048, None])
@pytest.mark.parametrize("groups", [None, "layers"])
def test_gradients_are_those_of_a_dense_matrix(block: int | None, groups: str | None):
    model = net()
    p = dense(SIZE, 12) if block is None else fastfood(SIZE, 12, 4, block=block)
    found = reparameterize(model, p, groups=groups)
    move(found)
    loss_of(model).backward()
    numbers = None
    if groups:
        assert found.groups is not None
        order = list(dict.fromkeys(found.groups.values()))
        assert order == GROUPS
        numbers = {name: order.index(group) for name, group in found.groups.items()}
    of_z, of_scales, theta = by_dense_matrix(net(), found, numbers)
    assert torch.allclose(found.flat(), theta, atol=1e-6)
    assert found.z.grad is not None
    assert torch.allclose(found.z.grad, of_z, rtol=1e-4, atol=1e-5 * float(of_z.norm()))
    if groups:
        assert found.scales is not None
        assert found.scales.grad is not None
        assert of_scales is not None
        assert torch.allclose(found.scales.grad, of_scales, rtol=1e-4, atol=1e-6)
        assert float(of_scales.norm()) > 1e-3


@pytest.mark.parametrize("groups", [None, "layers"])
def test_nothing_but_d_numbers_trains(groups: str | None):
    model, before = net(), net()
    expected = before(IDS)
    assert trainable.trainable_size(before) == SIZE
    found = reparameterize(model, 20, groups=groups)
    assert found.dimension == count(model) == 20
    assert {id(each) for each in trained(model)} == {id(each) for each in found.parameters()}
    # z is zero and the scales are one: the same model.
    assert torch.equal(model(IDS), expected)
    frozen = {name: value for name, value in model.named_parameters() if not value.requires_grad}
    assert set(frozen) == {"frozen.weight", "frozen.bias", "counts"}
    optimizer = torch.optim.AdamW(trained(model), lr=0.05, weight_decay=0)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1
    for name, value in frozen.items():
        assert torch.equal(value, before.state_dict()[name]), name
    # Buffers go their own way, as in any training.
    assert int(model.get_buffer("norm.num_batches_tracked")) == 41
    moved = found.projection.matvec(found.z.detach())
    theta = torch.cat([each.flatten() for each in before.parameters() if each.requires_grad])
    if found.scales is None:
        assert torch.allclose(found.flat() - theta, moved, atol=1e-6)
    else:
        ratio = (found.flat() - theta)[:88] / moved[:88]
        assert torch.allclose(ratio, found.scales[0], rtol=1e-2)
        assert found.scales[0].item() != 1


def test_tied_weights_count_once_and_move_together():
    model = net()
    found = reparameterize(model, 10)
    assert found.projection.size == SIZE
    move(found)
    model(IDS)
    assert model.out.weight.data_ptr() == model.table.weight.data_ptr()
    assert torch.equal(model.table.weight.detach().flatten(), found.flat()[:88])


def test_accumulated_gradients_are_those_of_one_batch():
    model = net().eval()
    found = reparameterize(model, 10, groups="layers")
    move(found)
    loss_of(model).backward()
    at_once = [each.grad.clone() for each in found.parameters() if each.grad is not None]
    model.zero_grad()
    for rows in (slice(0, 2), slice(2, 4), slice(4, 6)):
        (loss_of(model, rows) / 3).backward()
    assert len(at_once) == 2
    for each, expected in zip(found.parameters(), at_once, strict=True):
        assert each.grad is not None
        assert torch.allclose(each.grad, expected, rtol=1e-4, atol=1e-6)
    # One backward pass through two forward passes as well.
    model.zero_grad()
    sum(loss_of(model, rows) / 3 for rows in (slice(0, 2), slice(2, 4), slice(4, 6))).backward()
    for each, expected in zip(found.parameters(), at_once, strict=True):
        assert each.grad is not None
        assert torch.allclose(each.grad, expected, rtol=1e-4, atol=1e-6)


def test_writing_to_data_is_noticed():
    """As optimizers do that do not come from torch."""
    model = net().eval()
    found = reparameterize(model, 10)
    before = model(IDS)
    found.z.data += 1
    assert not torch.allclose(model(IDS), before)
    with torch.inference_mode():
        found.z.data -= 1
        assert torch.allclose(model(IDS), before, atol=1e-5)
    loss_of(model).backward()


def test_autocast_runs_the_network_low_and_the_projection_in_full():
    model = net().eval()
    found = reparameterize(model, 10)
    move(found)
    loss_of(model).backward()
    assert found.z.grad is not None
    exact = found.z.grad.clone()
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(IDS)
        loss = nn.functional.cross_entropy(output.float(), TARGETS)
    loss.backward()
    assert output.dtype == torch.bfloat16
    assert found.z.grad.dtype == found.flat().dtype == torch.float32
    assert float((found.z.grad - exact).norm() / exact.norm()) < 0.05


def test_parameters_that_take_no_part_get_no_gradient():
    class Idle(Net):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.out(self.table(ids)).flatten(0, 1)

    torch.manual_seed(0)
    model = Idle()
    found = reparameterize(model, fastfood(SIZE, 6))
    loss_of(model).backward()
    torch.manual_seed(0)
    plain = Idle()
    loss_of(plain).backward()
    flat = torch.zeros(SIZE)
    assert plain.table.weight.grad is not None
    flat[:88] = plain.table.weight.grad.flatten()
    assert found.z.grad is not None
    assert torch.allclose(found.z.grad, found.projection.rmatvec(flat), atol=1e-6)


def test_sparse_gradients():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Flatten(), nn.Linear(8, 3))
    found = reparameterize(model, 6)
    model(torch.tensor([[1, 2]])).sum().backward()
    assert found.z.grad is not None
    assert float(found.z.grad.norm()) > 0


def test_a_copy_is_a_model_of_its_own():
    model = net()
    reparameterize(model, 10)
    loss_of(model).backward()
    other = copy.deepcopy(model.eval()).eval()
    assert isinstance(other.subspace, subspace.Subspace)
    before = model(IDS)
    move(other.subspace)
    assert not torch.allclose(other(IDS), before)
    assert torch.equal(model(IDS), before)


@pytest.mark.parametrize("groups", [None, "layers"])
def test_merge_leaves_an_ordinary_model(groups: str | None):
    model, plain = net().eval(), net()
    before = dict(model.named_parameters(remove_duplicate=False))
    found = reparameterize(model, 10, groups=groups)
    move(found)
    expected = model(IDS)
    assert found.merge() is model
    assert torch.equal(model(IDS), expected)
    names = [name for name, _ in plain.named_parameters(remove_duplicate=False)]
    after = dict(model.named_parameters(remove_duplicate=False))
    assert list(after) == names
    # The same objects, tied as before, and what trained trains.
    assert all(after[name] is before[name] for name in names)
    assert model.out.weight is model.table.weight
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [each.requires_grad for each in model.parameters()] == [
        each.requires_grad for each in plain.parameters()
    ]
    loss_of(model).backward()
    assert all(each.grad is not None for each in trained(model))
    # No memory is shared with the subspace or among them, and a second subspace fits.
    assert len({each.untyped_storage().data_ptr() for each in trained(model)}) == 11
    reparameterize(model, 5)


@pytest.mark.parametrize("groups", [None, "layers", lambda name: name.split(".")[0]])
@pytest.mark.parametrize("block", [1, 16])
def test_saved_as_a_seed_and_d_numbers(groups: Any, block: int, tmp_path: Path):
    model = net().eval()
    found = reparameterize(model, fastfood(SIZE, 10, 77, block=block), groups=groups)
    move(found)
    path = found.save(tmp_path / "mine.safetensors")
    assert path.stat().st_size < 4096
    other = net().eval()
    again = subspace.load(other, path)
    assert torch.equal(other(IDS), model(IDS))
    assert again.groups == found.groups
    assert repr(again.projection) == repr(found.projection)
    for here, there in zip(found.parameters(), again.parameters(), strict=True):
        assert torch.equal(here, there)
    assert torch.equal(subspace.load(net(), path).merge().eval()(IDS), model(IDS))
    # Training goes on.
    loss_of(other).backward()


def test_a_dense_subspace_is_saved_too(tmp_path: Path):
    model = net().eval()
    found = reparameterize(model, dense(SIZE, 5, 8))
    move(found)
    found.save(tmp_path / "mine.safetensors")
    other = net().eval()
    subspace.load(other, tmp_path / "mine.safetensors")
    assert torch.equal(other(IDS), model(IDS))


def change_weight(model: nn.Module) -> None:
    with torch.no_grad():
        model.get_parameter("layers.1.bias")[3] += 1e-6


def change_frozen(model: nn.Module) -> None:
    with torch.no_grad():
        model.get_parameter("frozen.bias")[3] += 1e-6


def thaw(model: nn.Module) -> None:
    model.get_submodule("frozen").requires_grad_(True)


@pytest.mark.parametrize("change", [change_weight, change_frozen, thaw])
def test_another_base_is_refused(change: Callable[[nn.Module], None], tmp_path: Path):
    found = reparameterize(net(), 10)
    move(found)
    found.save(tmp_path / "mine.safetensors")
    model = net()
    change(model)
    kept = copy.deepcopy(model.state_dict())
    with pytest.raises(ShapelibError, match="was saved on another base model"):
        subspace.load(model, tmp_path / "mine.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())


def rewrite(path: Path, tensors: dict[str, torch.Tensor] | None = None, **facts: str) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        old = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file({**old, **(tensors or {})}, path, {**metadata, **facts})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda file: rewrite(file, version="1"), "has version 1; this shapelib reads version 2"),
        (lambda file: rewrite(file, format="other"), "no subspace that shapelib saved"),
        (lambda file: rewrite(file, {"probe": torch.ones(64)}), "draws another P from seed 0"),
        (lambda file: rewrite(file, seed="1"), "draws another P from seed 1"),
        (lambda file: file.write_bytes(file.read_bytes()[:100]), "is not a subspace"),
        (lambda file: file.write_text("hello"), "is not a subspace"),
        (lambda file: file.unlink(), "no such subspace"),
    ],
)
def test_files_that_are_refused(damage: Callable[[Path], object], says: str, tmp_path: Path):
    found = reparameterize(net(), 10)
    move(found)
    path = found.save(tmp_path / "mine.safetensors")
    damage(path)
    model = net()
    with pytest.raises(ShapelibError, match=says):
        subspace.load(model, path)
    # The model is as it was, and another subspace fits.
    assert sum(each.numel() for each in trained(model)) == SIZE
    assert all(
        torch.equal(value, net().state_dict()[name]) for name, value in model.state_dict().items()
    )
    reparameterize(model, 10)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: Any):
    found = reparameterize(net(), 10)
    path = found.save(tmp_path / "mine.safetensors")
    before = path.read_bytes()
    move(found)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        found.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ShapelibError, match="does not exist; make it first"):
        found.save(tmp_path / "nowhere" / "mine.safetensors")


def frozen_net() -> nn.Module:
    return net().requires_grad_(False)


def twice() -> None:
    model = net()
    reparameterize(model, 4)
    reparameterize(model, 4)


def halved() -> None:
    model = net()
    reparameterize(model, 4)
    model.half()(IDS)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: reparameterize(net(), SIZE + 1), rf"d is {SIZE + 1}; accepted: 1 to {SIZE}"),
        (lambda: reparameterize(net(), 0), "d is 0; accepted: 1 to"),
        (lambda: reparameterize(net(), 1.5), "d is 1.5"),  # type: ignore[arg-type]
        (lambda: reparameterize(net(), 4, groups="layers"), "d is 4; accepted: 5 to .* 4 groups"),
        (lambda: reparameterize(net(), fastfood(9, 4)), f"9 parameters, but Net has {SIZE}"),
        (lambda: reparameterize(frozen_net(), 4), "Net has no trainable parameters: all"),
        (lambda: reparameterize(nn.ReLU(), 4), "ReLU has no trainable parameters"),
        (lambda: reparameterize(net().double(), 4), "table.weight is torch.float64; .* float32"),
        (lambda: reparameterize(net().bfloat16(), 4), "is torch.bfloat16"),
        (twice, "Net has a 'subspace' already: merge it first"),
        (halved, r"converted to torch.float16; in a subspace float32 is accepted"),
        (lambda: reparameterize(net(), 9, groups="layer"), "groups is 'layer'; accepted: 'layers'"),
        (lambda: reparameterize(nn.Linear(9, 9), 9, groups="layers"), "Linear has no list"),
        (
            lambda: reparameterize(net(), 9, groups={"table.weight": "a"}),
            "groups miss 10 trained parameters, the first 'layers.0.weight'",
        ),
        (
            lambda: reparameterize(net(), 9, groups={"table.wieght": "a"}),
            "'table.wieght', which is none of its parameters; did you mean 'table.weight'",
        ),
        (
            lambda: reparameterize(net(), 9, groups={"counts": "a"}),
            r"'counts', which does not train \(torch.int64, frozen\)",
        ),
        (lambda: reparameterize(net(), 9, groups={"frozen.bias": "a"}), "torch.float32, frozen"),
        (lambda: reparameterize(net(), 9, groups={"out.weight": "a"}), "a tied weight's other"),
    ],
)  # fmt: skip
def test_bad_input(ask: Callable[[], object], says: str):
    with pytest.raises(ShapelibError, match=says):
        ask()


def bert(**settings: Any) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=16, num_labels=2, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, **settings,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def train(model: Any, folder: Path, **settings: Any) -> Any:
    """A Trainer over rows whose label is whether their first word is of the first half."""
    from transformers import Trainer, TrainingArguments

    draw = torch.Generator().manual_seed(0)
    words = torch.randint(0, 60, (64, 8), generator=draw)
    rows = [{"input_ids": row.tolist(), "labels": int(row[0] < 30)} for row in words]
    given = {
        "max_steps": 12, "per_device_train_batch_size": 16, "learning_rate": 0.1,
        "report_to": [], "disable_tqdm": True, "use_cpu": True, "save_steps": 6,
        "logging_steps": 1, "seed": 1, "weight_decay": 0.0, **settings,
    }  # fmt: skip
    return Trainer(model, TrainingArguments(output_dir=str(folder), **given), train_dataset=rows)


def test_the_trainer_of_transformers_runs_unchanged(tmp_path: Path):
    model = bert()
    found = reparameterize(model, 60, groups="layers")
    assert found.groups is not None
    assert list(dict.fromkeys(found.groups.values())) == [
        "embeddings", "bert.encoder.layer.0", "bert.encoder.layer.1", "head",
    ]  # fmt: skip
    run = train(model, tmp_path / "run", gradient_accumulation_steps=2, bf16=True)
    run.train()
    losses = [each["loss"] for each in run.state.log_history if "loss" in each]
    assert losses[-1] < losses[0] - 0.02
    assert count(model) == 60
    # Its checkpoint is of kilobytes, and it resumes there.
    checkpoint = tmp_path / "run" / "checkpoint-6"
    assert (checkpoint / "model.safetensors").stat().st_size < 8192
    again = bert()
    other = reparameterize(again, 60, groups="layers")
    resumed = train(again, tmp_path / "run", gradient_accumulation_steps=2, bf16=True)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    for here, there in zip(found.parameters(), other.parameters(), strict=True):
        assert torch.allclose(here, there, atol=1e-5)
    # Merged, it is saved and loaded like any other.
    other.merge().save_pretrained(tmp_path / "merged")
    saved = type(again).from_pretrained(tmp_path / "merged").state_dict()
    assert set(saved) == set(bert().state_dict())
    for name, value in again.state_dict().items():
        assert torch.equal(saved[name], value), name


def test_recomputed_activations_give_the_same_gradient():
    ids, labels = torch.arange(24).view(3, 8), torch.tensor([0, 1, 1])
    gradients = []
    for checkpointing in (False, True):
        model = bert().train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        found = reparameterize(model, 30)
        model(input_ids=ids, labels=labels).loss.backward()
        gradients.append(found.z.grad)
    assert gradients[0] is not None
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_tied_weights_of_transformers():
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=16,
    )  # fmt: skip
    model = BertForMaskedLM(config).eval()
    size = sum(each.numel() for each in model.parameters())
    found = reparameterize(model, 10)
    assert found.projection.size == size
    move(found)
    ids = torch.tensor([[1, 2, 3]])
    expected = model(ids).logits
    found.merge()
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    assert torch.equal(model(ids).logits, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_gives_the_same():
    here, there = net().eval(), net().eval()
    ours, theirs = (reparameterize(each, 10, groups="layers") for each in (here, there))
    move(ours)
    there.cuda()
    move(theirs)
    loss_of(here).backward()
    nn.functional.cross_entropy(there(IDS.cuda()), TARGETS.cuda()).backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad.cpu(), rtol=1e-3, atol=1e-5)


def test_what_is_compiled_already_is_refused():
    for compiled in (torch.compile(nn.Linear(4, 4), backend="eager"), nn.Linear(4, 4)):
        if isinstance(compiled, nn.Linear):
            compiled.compile(backend="eager")
        with pytest.raises(ShapelibError, match=r"is compiled already, .* compile it then"):
            reparameterize(compiled, 5)
        assert sum(each.numel() for each in compiled.parameters()) == 20


def test_compiled_afterwards_it_gives_the_same():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2))
    subspace = reparameterize(model, 5)
    x = torch.randn(3, 6)
    fast = torch.compile(model, backend="eager")
    for _ in range(2):
        found = []
        for each in (model, fast):
            subspace.z.grad = None
            each(x).pow(2).sum().backward()
            found.append(subspace.z.grad.clone())
        torch.testing.assert_close(*found)
        with torch.no_grad():
            subspace.z.sub_(0.1 * found[0])


def test_applied_is_the_model_with_ordinary_parameters():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2))
    subspace = reparameterize(model, 5)
    with torch.no_grad():
        subspace.z.add_(0.3)
    x = torch.randn(3, 6)
    with subspace.applied():
        # A part by itself, before any pass of the whole has brought it up to date.
        inside = model[0](x)
        flat = torch.cat([each.reshape(-1) for each in model.parameters()][1:])
        assert len(flat) == len(subspace.flat())
    assert [name for name, _ in model.named_parameters()] == ["subspace_z"]
    expected = model(x)
    model.subspace.merge()
    assert torch.equal(model[0](x), inside)
    torch.testing.assert_close(model(x), expected)
