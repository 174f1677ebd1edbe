"""The routers of a model whose experts are chosen with a correction bias, and the experts that they choose."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..attention.capture.recomputation import Recomputations

BIAS = "e_score_correction_bias"


@dataclass
class Router:
    """The experts of one layer, with the count of their tokens.

    Attributes:
        bias_owner: module whose `e_score_correction_bias` it is.
        experts: module that is called with the chosen experts of every token.
        counts: (num_experts,), int64; tokens since the last update; None before the first of them.
        recomputations: tells a counted forward of the experts from its recomputation.
    """

    bias_owner: nn.Module
    experts: nn.Module
    counts: Tensor | None = None
    recomputations: Recomputations = field(default_factory=Recomputations)

    @property
    def bias(self) -> Tensor:
        """(num_experts,), or of any shape with as many elements."""
        # Asked for again each time: FSDP2 and `.to()` replace it.
        bias = getattr(self.bias_owner, BIAS)
        assert isinstance(bias, Tensor)
        return bias

    def no_counts(self, device: torch.device) -> Tensor:
        """Return (num_experts,), int64, zeros."""
        return torch.zeros(self.bias.numel(), dtype=torch.int64, device=device)


def find_routers(model: nn.Module) -> dict[str, Router]:
    """Return {name of the mixture of experts: its router}, in the order of the layers.

    Raises:
        ValueError: the model has no such bias, or a layer with one has no experts.
    """
    modules = dict(model.named_modules())
    routers: dict[str, Router] = {}
    for name, owner in modules.items():
        if not isinstance(getattr(owner, BIAS, None), Tensor):
            continue
        block = name
        while block and not isinstance(getattr(modules[block], "experts", None), nn.Module):
            block = block.rpartition(".")[0]
        experts = getattr(modules[block], "experts", None)
        if not isinstance(experts, nn.Module):
            raise ValueError(
                f"a router with {BIAS} must belong to a module with `experts`, whose call shows the chosen ones; "
                f"{name or type(owner).__name__} has none above it. Balance this model by its own means."
            )
        routers[block] = Router(owner, experts)
    if not routers:
        raise ValueError(
            f"balancing needs a model whose routers have {BIAS}; {type(model).__name__} has none. Train a mixture of "
            "experts with a sigmoid router (DeepseekV3, Glm4Moe, Dots1, ...), or leave the balancer out and use the "
            "model's auxiliary loss."
        )
    return routers


def chosen_experts(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return the chosen experts of each token, (tokens, num_experts_per_tok), int64: the one integer argument.

    Args:
        args: positional arguments of the call of a mixture's experts.
        kwargs: keyword arguments of that call.

    Raises:
        ValueError: there is no integer tensor among them.
    """
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor) and not value.dtype.is_floating_point:
            return value.detach().reshape(-1, value.shape[-1]).long()
    raise ValueError(
        "the experts of a mixture must be called with the numbers of the chosen ones, an integer tensor; got "
        f"{[type(value).__name__ for value in (*args, *kwargs.values())]}. Balance this model by its own means."
    )
