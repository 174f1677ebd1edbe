"""Which modules of a model attend, by what runs: values weighed by a softmax over products of queries and keys.

An `AttendingTrace` watches the operators of one forward, below Python: whatever a model calls, in whichever class or
function, ends in matrix products and a softmax, or in one fused operator. It remembers of every tensor where it comes
from: a weight, the weights that it passed through last, a product of two activations, a softmax over one. A router, a
vocabulary, a pooling by a learned vector and a contrastive loss take a softmax as well, and do not attend: their scores
are products with a weight, or weigh no values.

It runs a forward of its own, without gradients. A training forward is never watched: it may be compiled.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

_PRODUCTS = {
    "mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "mv", "addmv", "dot", "convolution", "_convolution",
    "_grouped_mm", "_scaled_mm", "_scaled_grouped_mm", "_int_mm", "_weight_int4pack_mm", "_weight_int8pack_mm",
}  # fmt: skip
_ADDS_FIRST = {"addmm", "baddbmm", "addmv"}  # to the product of the operands after it
_NORMALIZES = {"_softmax", "_safe_softmax", "softmax", "_log_softmax", "log_softmax", "logsumexp", "exp"}
_FUSED = re.compile(r"attention|flash_?attn|fmha|^\w*(flash|attn)\w*::\w*fwd", re.IGNORECASE)
_COUNTER_SIZE = 2**20  # entries; a buffer that a forward counts in is no larger
_PROJECTION_DEPTH = 3  # of a projection in its attention module: q_proj.lora_B.default; beyond, it is another's

Owners = frozenset[nn.Module]


@dataclass(frozen=True)
class Attending:
    """Which modules attended in one forward.

    Attributes:
        attended: names of the modules that attended.
        used: names of the modules all of whose parameters took part; those of them that did not attend do not attend.
    """

    attended: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()


def see_attending(model: nn.Module, call: Callable[[], Any]) -> Attending:
    """Return which modules attend in one forward, without a trace of it: no gradient, random state or buffer changes.

    Args:
        model: on any device, also on the meta device.
        call: runs the forward. What it raises ends it, and what ran until then counts.
    """
    trace = AttendingTrace(model)
    # Suppressed is whatever the code of a model raises on inputs that it was not made for.
    with undisturbed(model), _followed(trace), trace, suppress(Exception):
        call()
    names = dict(model.named_modules())
    used = {
        name
        for name, module in names.items()
        if all(owner in trace.used for owner in module.modules() if _holds_parameters(owner))
    }
    return Attending(frozenset(name for name, module in names.items() if module in trace.attended), frozenset(used))


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Leave no gradient, random state or counter changed by the block, and run it uncompiled."""
    buffers = [buffer for buffer in model.buffers() if buffer.numel() <= _COUNTER_SIZE and not buffer.is_meta]
    before = [buffer.clone() for buffer in buffers]
    devices = {parameter.device.index for parameter in model.parameters() if parameter.device.type == "cuda"}
    fast_path, drawn = torch.backends.mha.get_fastpath_enabled(), random.getstate()
    # Compiled code shows no operators, and what would be compiled now would be skipped for good.
    stance = torch.compiler.set_stance("force_eager")
    with stance, torch.no_grad(), torch.random.fork_rng(devices=[d for d in devices if d is not None]):
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_path)
            random.setstate(drawn)
            for module in model.modules():
                if isinstance(module, FSDPModule):  # which may keep its weights gathered for a backward
                    module.reshard()
            for buffer, value in zip(buffers, before, strict=True):
                if not torch.equal(buffer, value):
                    buffer.copy_(value)


@contextmanager
def _followed(trace: "AttendingTrace") -> Iterator[None]:
    """Note in a trace which modules' forwards are running."""
    handles = (
        register_module_forward_pre_hook(lambda module, args: trace.enter(module)),
        register_module_forward_hook(lambda module, args, output: trace.leave(module), always_call=True),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where the values of a storage come from.

    Attributes:
        weight: from parameters and buffers alone, without a product.
        owners: the modules whose parameters they passed through last.
        product: the owners of both sides, where they are a product of two activations; else None.
        weighs: the owners of both sides, where they are a softmax over such a product; else None.
    """

    weight: bool = False
    owners: Owners = frozenset()
    product: Owners | None = None
    weighs: Owners | None = None


_UNKNOWN = _Origin()


class AttendingTrace(TorchDispatchMode):
    """Active inside one forward of a model.

    Attributes:
        attended: the modules that attended; each is the innermost one running that owns what projected its queries or
            keys.
        used: the modules of which a parameter took part in some operator.
    """

    supports_higher_order_operators = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.attended: set[nn.Module] = set()
        self.used: set[nn.Module] = set()
        self._running: list[nn.Module] = []
        self._projections: dict[nn.Module, Owners] = {}  # the modules that may project for one
        # By storage, so that views and writes in place need no rules.
        self._origins: Any = WeakIdKeyDictionary()
        for module in model.modules():
            self._know_weights(module)

    def enter(self, module: nn.Module) -> None:
        """Note that a forward begins."""
        self._know_weights(module)  # FSDP2 gathered them just before; what is tied belongs to the module that runs
        self._running.append(module)

    def leave(self, module: nn.Module) -> None:
        """Note that a forward ends."""
        while self._running and self._running.pop() is not module:
            pass

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operator and note where its results come from."""
        kwargs = dict(kwargs or {})
        result = func(*args, **kwargs)
        origins = [self._origin(tensor) for tensor in _tensors((*args, *kwargs.values()))]
        for origin in origins:
            if origin.weight:
                self.used |= origin.owners
        made = self._made_by(func.name().removeprefix("aten::").partition(".")[0], origins)
        if made is not _UNKNOWN:
            for tensor in _tensors((result,)):
                if tensor.is_floating_point() or tensor.is_complex():
                    self._know(tensor, made)
        return result

    def _made_by(self, name: str, origins: list[_Origin]) -> _Origin:
        if _FUSED.search(name) is not None and "backward" not in name:
            if len(origins) > 1 and not origins[0].weight and not origins[1].weight:
                self._attend(origins[0].owners | origins[1].owners)
            return _UNKNOWN
        if name in _PRODUCTS and len(origins) > 1:
            return self._product(*(origins[1:3] if name in _ADDS_FIRST else origins[:2]))
        projecting = [origin.owners for origin in origins if origin.weight and origin.owners]
        if "::" in name and projecting:  # another library's operator on a weight
            return _Origin(owners=frozenset().union(*projecting))
        made = _merged(origins)
        if name in _NORMALIZES and made.product is not None:
            return _Origin(owners=made.owners, weighs=made.product)
        return made

    def _product(self, first: _Origin, second: _Origin) -> _Origin:
        for weights, values in ((first, second), (second, first)):
            if weights.weighs is not None and not values.weight:
                self._attend(weights.weighs)
        if first.weight or second.weight:
            return _Origin(owners=frozenset().union(*(side.owners for side in (first, second) if side.weight)))
        owners = first.owners | second.owners
        return _Origin(owners=owners, product=owners)

    def _attend(self, owners: Owners) -> None:
        for module in reversed(self._running):
            if module not in self._projections:
                near = (part for name, part in module.named_modules() if name.count(".") < _PROJECTION_DEPTH)
                self._projections[module] = frozenset(near)
            if owners & self._projections[module]:
                self.attended.add(module)
                return

    def _know_weights(self, module: nn.Module) -> None:
        for parameter in module._parameters.values():
            if parameter is not None:
                self._know(parameter, _Origin(True, frozenset([module])))
        for buffer in module._buffers.values():
            if buffer is not None:
                self._know(buffer, _Origin(True))

    def _origin(self, tensor: Tensor) -> _Origin:
        storage = _storage(tensor)
        found: _Origin = _UNKNOWN if storage is None else self._origins.get(storage, _UNKNOWN)
        return found

    def _know(self, tensor: Tensor, origin: _Origin) -> None:
        storage = _storage(tensor)
        if storage is not None:
            self._origins[storage] = origin


def _holds_parameters(module: nn.Module) -> bool:
    return any(parameter is not None for parameter in module._parameters.values())


def _merged(origins: list[_Origin]) -> _Origin:
    """Return the origin of the result of an operator that is neither a product nor a softmax."""
    if not origins:
        return _UNKNOWN
    activations = [origin for origin in origins if not origin.weight]
    counted = activations or origins
    if len(counted) == 1:
        return counted[0]
    products = [origin.product for origin in counted if origin.product is not None]
    weighing = [origin.weighs for origin in counted if origin.weighs is not None]
    return _Origin(
        weight=not activations,
        owners=frozenset().union(*(origin.owners for origin in counted)),
        product=frozenset().union(*products) if products else None,
        weighs=frozenset().union(*weighing) if weighing else None,
    )


def _storage(tensor: Tensor) -> Any:
    try:
        return tensor.untyped_storage()
    except NotImplementedError:  # sparse and nested tensors have none
        return None


def _tensors(arguments: Any) -> Iterator[Tensor]:
    for argument in arguments:
        if isinstance(argument, Tensor):
            yield argument
        elif isinstance(argument, list | tuple):
            yield from _tensors(argument)
