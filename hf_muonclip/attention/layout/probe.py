"""Run single attention modules on the inputs that the model gave them, and observe the scores of each head."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import Cache

from ..capture.interface import set_aside, start_observing, stop_observing
from ..capture.mask_convention import MaskConvention
from ..capture.max_logits import heads_first
from ..head_layout import AttentionLayout
from ..modules.attending import undisturbed
from ..modules.find import stated_heads
from ..modules.random_inputs import call_model, evaluation_mode


class Probe:
    """The attention modules of a model, each ready to be run again on its first call's arguments.

    Args:
        model: with weights.
        modules: the attention modules by name.
        inputs: what to call the model with; by default random tokens.

    Raises:
        ValueError: the model has no weights, takes no tokens and no inputs are given, or cannot run on them.
    """

    def __init__(self, model: nn.Module, modules: Mapping[str, nn.Module], inputs: Mapping[str, Any] | None) -> None:
        if any(parameter.is_meta for parameter in model.parameters()):
            raise ValueError(
                "a proof runs the model, so it needs weights; got a model on the meta device. Load it first; "
                "detect_head_layout works without weights."
            )
        if any(isinstance(parameter, DTensor) for parameter in model.parameters()):
            raise ValueError(
                "a proof scales weights and compares all heads, so it needs them whole; got a model whose parameters "
                "are DTensors. Prove the layout before the model is sharded; detect_head_layout works afterwards too."
            )
        self._modules = dict(modules)
        self._calls = _first_calls(model, self._modules, inputs)

    @property
    def not_run(self) -> list[str]:
        """Names of the modules that the model did not call on these inputs."""
        return sorted(self._modules.keys() - self._calls.keys())

    def run(self, name: str) -> "Observed":
        """Run one module again and return what was observed, with its autograd graph if gradients are on."""
        module = self._modules[name]
        args, kwargs = self._calls[name]
        observed = Observed(name)
        gpus = {parameter.device for parameter in module.parameters() if parameter.device.type == "cuda"}
        with set_aside({name: module}):
            start_observing({name: module}, {name: observed})
            try:
                # Some attentions draw random hashes in evaluation mode too. Seeding all devices takes long.
                with torch.random.fork_rng(devices=[*gpus]):
                    torch.default_generator.manual_seed(0)
                    for gpu in gpus:
                        with torch.cuda.device(gpu):
                            torch.cuda.manual_seed(0)
                    module(*_copy_caches(args), **_copy_caches(kwargs))
            finally:
                stop_observing({name: module})
        if not observed.scores:
            raise ValueError(
                f"{name} ({type(module).__name__}) ran, and showed no attention scores: it neither calls transformers' "
                "attention interface nor takes a softmax over a product of queries and keys."
            )
        return observed


class Observed:
    """The result of one run of a module: per attention call the scores of each head, and the values where known.

    Attributes:
        scores: per call (num_attention_heads, ...), float32 or float64, without additions or masks; scaling is left out
            where the interface passes it beside.
        values: the values, per call through the interface or SDPA.
        key_heads: number of key heads, per call through the interface or SDPA.
        queries: the queries, per call through the interface or SDPA.
        keys: the keys, per call through the interface or SDPA.
    """

    keeps_graph = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.scores: list[Tensor] = []
        self.values: list[Tensor] = []
        self.key_heads: list[int] = []
        self.queries: list[Tensor] = []
        self.keys: list[Tensor] = []

    def wants(self, module: nn.Module) -> bool:
        """Observe every forward."""
        return True

    def observe(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Any,
        kwargs: dict[str, Any],
        convention: MaskConvention | None,
    ) -> None:
        """Keep q·k of every pair."""
        groups = query.shape[1] // key.shape[1]
        wide = torch.promote_types(query.dtype, torch.float32)
        scores = query.to(wide) @ key.to(wide).repeat_interleave(groups, dim=1).mT
        self.scores.append(scores.transpose(0, 1))
        self.values.append(value)
        self.queries.append(query)
        self.keys.append(key)
        self.key_heads.append(key.shape[1])

    def observe_scores(self, module: nn.Module, scores: Tensor, final_scores: Tensor, blocked: Tensor | None) -> None:
        """Keep the scores without additions."""
        wide = torch.promote_types(scores.dtype, torch.float32)
        with torch.enable_grad():  # a softmax of the model's own may run inside an autograd function, where it is off
            self.scores.append(heads_first(self.name, scores, stated_heads(module)).to(wide))

    def flat(self) -> Tensor:
        """Return the scores of all calls, (num_attention_heads, pairs)."""
        return torch.cat([scores.flatten(1) for scores in self.scores], dim=1)


class _ObservedHeads(Observed):
    """Keeps the number of heads of every call, and goes on where it is not known."""

    keeps_graph = False

    def __init__(self, name: str, heads: int) -> None:
        super().__init__(name)
        self.heads, self.refusal = heads, ""

    def observe_scores(self, module: nn.Module, scores: Tensor, final_scores: Tensor, blocked: Tensor | None) -> None:
        """Keep the scores without additions."""
        try:
            self.scores.append(heads_first(self.name, scores, stated_heads(module) or self.heads))
        except ValueError as error:
            self.refusal = str(error)


@torch.no_grad()
def modules_without_scores(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    layouts: Mapping[str, AttentionLayout],
    inputs: Mapping[str, Any] | None,
) -> dict[str, str]:
    """Return {module name: why} of the modules whose scores cannot be observed as their layouts say.

    Args:
        model: with weights.
        modules: attention modules that run on the inputs, by name.
        layouts: the layouts of these modules.
        inputs: what to call the model with; by default random tokens.
    """
    observers = {name: _ObservedHeads(name, layouts[name].num_attention_heads) for name in modules}
    with set_aside(modules):
        start_observing(modules, observers)
        try:
            # What a model raises behind its attention, such as in a loss, is no matter here.
            with undisturbed(model), evaluation_mode(model), suppress(Exception):
                call_model(model, inputs)
        finally:
            stop_observing(modules)
    why = {}
    for name, observed in observers.items():
        heads = layouts[name].num_attention_heads
        if not observed.scores:
            why[name] = observed.refusal or "computes its scores where they cannot be followed"
        elif any(scores.shape[0] != heads for scores in observed.scores):
            why[name] = f"its {observed.scores[0].shape[0]} heads are not the {heads} of its projections"
    return why


@torch.no_grad()
def _first_calls(
    model: nn.Module, modules: dict[str, nn.Module], inputs: Mapping[str, Any] | None
) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return {module name: (args, kwargs)} of every module's first call in one forward."""
    calls: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def remember(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            calls.setdefault(name, (_copy_caches(args), _copy_caches(kwargs)))

        return hook

    handles = [m.register_forward_pre_hook(remember(name), with_kwargs=True) for name, m in modules.items()]
    try:
        call_model(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _copy_caches(arguments: Any) -> Any:
    """Return the arguments of a call with copies of key-value caches, which a call writes to."""
    if isinstance(arguments, dict):
        return {key: copy.deepcopy(a) if isinstance(a, Cache) else a for key, a in arguments.items()}
    return tuple(copy.deepcopy(a) if isinstance(a, Cache) else a for a in arguments)


@contextmanager
def differentiable(parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Let gradients flow to parameters, frozen ones too, inside the block."""
    frozen = [parameter for parameter in parameters.values() if not parameter.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def rows_with_gradient(gradient: Tensor | None, dim: int) -> set[int]:
    """Return the indices along a dimension where a gradient is not zero."""
    if gradient is None:
        return set()
    return set(gradient.movedim(dim, 0).reshape(gradient.shape[dim], -1).abs().amax(1).nonzero().flatten().tolist())


def describe_rows(rows: set[int]) -> str:
    """Return sorted rows as ranges, e.g. "0-15, 32-47"."""
    parts: list[list[int]] = []
    for row in sorted(rows):
        if parts and row == parts[-1][1] + 1:
            parts[-1][1] = row
        else:
            parts.append([row, row])
    return ", ".join(f"{first}-{last}" for first, last in parts) or "none"
