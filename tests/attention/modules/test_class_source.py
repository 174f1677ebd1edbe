"""What the code of a module says counts with the functions of its file that it calls, however deep they lie."""

import pytest
from torch import Tensor, nn

from hf_muonclip.attention.modules.class_source import may_attend


def shares(query: Tensor, key: Tensor) -> Tensor:
    return (query @ key.mT).softmax(-1)  # for attend, which calls this in turn


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return shares(query, key) @ value


def gate(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (query @ key.mT).sigmoid() @ value


class CallingAttention(nn.Module):
    def forward(self, states: Tensor) -> Tensor:
        return attend(states, states, states)


class GatedAttention(nn.Module):
    def forward(self, states: Tensor) -> Tensor:
        return gate(states, states, states)


@pytest.mark.parametrize(("module", "attends"), [(CallingAttention(), True), (GatedAttention(), False)])
def test_functions_that_a_class_calls_are_read_with_it(module: nn.Module, attends: bool) -> None:
    assert may_attend(module) == attends
