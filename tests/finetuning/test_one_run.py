"""A classifier on a network that heeds no mask sees no padding."""

from pathlib import Path
from typing import Any

import pytest
import torch
from made import model_folder

from shapelib.finetuning.one_run import classifier
from shapelib.models import load

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("stem", ["FNet", "Bert"])
def test_a_text_has_one_score_whatever_stands_beside_it(stem: str, tokenizer: Any, tmp_path: Path):
    model = load(model_folder(tmp_path / stem, tokenizer, stem, initializer_range=0.3))
    net = classifier(model, 3, "pre-trained", 0)
    assert net.leaks == (stem == "FNet")
    ids = torch.randint(3, 320, (5, 12), generator=torch.Generator().manual_seed(0))
    sizes = torch.tensor([12, 5, 9, 5, 12])
    mask = (torch.arange(12)[None] < sizes[:, None]).long()
    together = net({"input_ids": ids, "attention_mask": mask})
    for row, size in enumerate(sizes.tolist()):
        one = {"input_ids": ids[row : row + 1, :size], "attention_mask": mask[row : row + 1, :size]}
        torch.testing.assert_close(net(one)[0], together[row], atol=1e-5, rtol=1e-4)
    together.sum().backward()
    assert net.head.weight.grad is not None
