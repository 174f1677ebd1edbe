"""Forwards and their repetitions inside backward, against what checkpointing of torch runs."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hf_muonclip.attention.capture.recomputation import Recomputations


class Counted(nn.Linear):
    """Counts its forwards with gradients."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.recomputations = Recomputations()
        self.counted = self.repeated = 0

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            if self.recomputations.is_one():
                self.repeated += 1
            else:
                self.counted += 1
        return super().forward(input)


@pytest.mark.parametrize(("use_reentrant", "repeated"), [(True, 0), (False, 2)])
def test_a_checkpointed_forward_counts_once(use_reentrant: bool, repeated: int) -> None:
    layer = Counted()
    inputs = [torch.ones(1, 2, requires_grad=True) for _ in range(2)]
    losses = [checkpoint(layer, each, use_reentrant=use_reentrant).sum() for each in inputs]
    for loss in losses:
        loss.backward()
    assert (layer.counted, layer.repeated) == (2, repeated)


def test_without_checkpointing_every_forward_counts() -> None:
    layer = Counted()
    for _ in range(2):
        layer(torch.ones(1, 2)).sum().backward()
    assert (layer.counted, layer.repeated) == (2, 0)


def test_what_is_forgotten_counts_again() -> None:
    layer = Counted()
    loss = checkpoint(layer, torch.ones(1, 2, requires_grad=True), use_reentrant=False).sum()
    layer.recomputations.forget()
    loss.backward()
    assert (layer.counted, layer.repeated) == (2, 0)
