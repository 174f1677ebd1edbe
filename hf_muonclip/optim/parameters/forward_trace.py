"""Find the parameters whose products a model returns, by running it without its weights.

The forward runs on a skeleton of the model: the same modules, but every parameter on the meta device, so that it costs
neither memory nor arithmetic, needs no weights, writes nothing into the model, and is the same for whole, sharded and
weightless models. Hooks are left out, so that no rank waits for another. Every operation is watched: the product of a
matrix carries the matrix's name as long as it is only reshaped, scaled, shifted or passed through a function, and loses
it in another matrix, a norm or a residual stream. The names that the model's outputs carry are those of its output
heads.
"""

import copy
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from ...common.forward_inputs import guessed_inputs
from ...common.patching import PatchedMethod

# Exceptions of a forward on guessed inputs and without values: shapes that do not fit, kernels without a meta form.
FORWARD_ERRORS = (
    ValueError,
    TypeError,
    RuntimeError,
    AttributeError,
    LookupError,
    AssertionError,
    ArithmeticError,
    OSError,
    ImportError,
)
# Fields of a model's output that hold hidden states, and not predictions.
_STATES = re.compile(r"hidden_state|embed|pool|attention|past_key|cache|state|feature|encod|token|position|mem|weights")
_MOST_OPERATIONS = 20_000  # of all guesses together: some models generate hundreds of tokens in a forward
_aten = torch.ops.aten
_PRODUCTS = {
    _aten.mm,
    _aten.addmm,
    _aten.bmm,
    _aten.baddbmm,
    _aten.addbmm,
    _aten.mv,
    _aten.addmv,
    _aten.dot,
    _aten.linear,
    _aten.matmul,
    _aten.einsum,
    _aten._grouped_mm,
}
_LOOKUPS = {_aten.embedding, _aten._embedding_bag, _aten._embedding_bag_forward_only, _aten.embedding_bag}
_LAYERS = {  # with weights of their own, or over several positions: their output is a new state
    _aten.convolution,
    _aten.native_layer_norm,
    _aten.native_group_norm,
    _aten.native_batch_norm,
    _aten._native_batch_norm_legit_no_training,
    _aten.cudnn_batch_norm,
    _aten.lstm,
    _aten.gru,
    _aten.rnn_tanh,
    _aten._fused_rms_norm,
}
_GAINS = {_aten.mul, _aten.mul_}


@dataclass(frozen=True)
class ForwardTrace:
    """Result of a traced forward.

    Attributes:
        returned: {parameter name: output field, "" where outputs have no names} of matrices whose products are
            returned, with no other matrix, norm or residual stream after them.
        multiplied: names of the parameters of two dimensions or more that the forward multiplied with.
        looked_up: names of the parameters whose rows the forward looked up.
    """

    returned: Mapping[str, str]
    multiplied: frozenset[str]
    looked_up: frozenset[str]


def trace_forward(model: nn.Module) -> ForwardTrace | None:
    """Run a model on guessed inputs without its weights, and return its trace; None if it does not run that way.

    Args:
        model: on any device, sharded or without weights; it is not changed.
    """
    try:
        skeleton, names = _skeleton(model)
    except FORWARD_ERRORS:
        return None
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.no_grad(), _without_autocast(skeleton):
        warnings.simplefilter("ignore")
        left = _MOST_OPERATIONS
        for inputs in guessed_inputs(skeleton):
            watch = _Watch(names, left)
            try:
                with watch:
                    watch.start(inputs)
                    output = skeleton(**inputs)
                return watch.result(output, named=hasattr(model, "config"))
            except FORWARD_ERRORS:
                left = watch.left
    return None


def _ask_of_autocast(ask: Callable[..., bool], *device_type: str) -> bool:
    return device_type != ("meta",) and ask(*device_type)


# torch raises if asked whether it casts on "meta", and rotary embeddings of older transformers ask.
_asked_of_autocast = PatchedMethod(torch, "is_autocast_enabled", _ask_of_autocast)


@contextmanager
def _without_autocast(skeleton: nn.Module) -> Iterator[None]:
    """Answer inside the block that torch does not cast on the device "meta", where it would raise."""
    _asked_of_autocast.start(skeleton)
    try:
        yield
    finally:
        _asked_of_autocast.stop(skeleton)


def _skeleton(model: nn.Module) -> tuple[nn.Module, list[tuple[str, Tensor]]]:
    """Return the modules of a model in evaluation mode, without weights or hooks, and its parameters by name."""
    tensors: dict[int, Tensor] = {}

    def weightless(tensor: Tensor | None) -> Tensor | None:
        if tensor is None:
            return None
        if id(tensor) not in tensors:
            empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
            tensors[id(tensor)] = nn.Parameter(empty, False) if isinstance(tensor, nn.Parameter) else empty
        return tensors[id(tensor)]

    copies: dict[int, nn.Module] = {}

    def copied(module: nn.Module) -> nn.Module:
        if id(module) in copies:
            return copies[id(module)]
        compiled = module._modules.get("_orig_mod")
        if compiled is not None:  # torch.compile's wrapper calls the original
            return copied(compiled)
        kind = type(module)
        if issubclass(kind, FSDPModule):  # fully_shard() puts a class of its own before the module's
            kind = kind.__bases__[1]
        twin = kind.__new__(kind)
        copies[id(module)] = twin
        attributes = {key: _own(value) for key, value in module.__dict__.items() if key != "forward"}
        for key in attributes:
            if key.endswith("_hooks") or key.endswith("_hooks_with_kwargs") or key.endswith("_hooks_always_called"):
                attributes[key] = type(attributes[key])()
        attributes["training"] = False
        attributes["_compiled_call_impl"] = None
        twin.__dict__ = attributes
        attributes["_parameters"] = {key: weightless(value) for key, value in module._parameters.items()}
        attributes["_buffers"] = {key: weightless(value) for key, value in module._buffers.items()}
        attributes["_modules"] = {
            key: None if child is None else copied(child) for key, child in module._modules.items()
        }
        return twin

    skeleton = copied(model)
    return skeleton, [(name, tensors[id(parameter)]) for name, parameter in model.named_parameters()]


def _own(value: Any) -> Any:
    """Return an attribute that the forward may change without changing the model's."""
    if type(value).__module__.partition(".")[0] == __name__.partition(".")[0]:  # this package's own, for measuring
        return None
    if isinstance(value, dict | list | set):
        return copy.copy(value)
    if hasattr(value, "_attn_implementation"):  # a config: kernels that need values would not run
        value = copy.copy(value)
        value._attn_implementation_internal = "eager"
        value._experts_implementation_internal = "eager"
    return value


@dataclass(frozen=True)
class _Origin:
    """Origin of a tensor: a parameter ("weight"), products of parameters ("product"), or a later state ("state")."""

    kind: str
    names: frozenset[str] = frozenset()


_STATE = _Origin("state")


class _Watch(TorchDispatchMode):
    """Follows products of matrices through every operation, and supplies values that meta tensors do not have."""

    def __init__(self, parameters: Iterable[tuple[str, Tensor]], left: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.left = left  # operations
        self._origins: Any = WeakTensorKeyDictionary()
        self._written: dict[int, tuple[Any, _Origin]] = {}  # by storage, which is kept so that no other takes its place
        self._multiplied: set[str] = set()
        self._looked_up: set[str] = set()
        for name, parameter in parameters:
            self._origins[parameter] = _Origin("weight", frozenset({name}))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep torch from importing its compiler for the first operation, which takes seconds."""
        return False

    def start(self, inputs: Mapping[str, Any]) -> None:
        """Mark floating-point inputs as hidden states."""
        for tensor in tree_flatten(dict(inputs))[0]:
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                self._origins[tensor] = _STATE

    def result(self, output: Any, named: bool) -> ForwardTrace:
        """Return the trace, given what the forward returned."""
        returned: dict[str, str] = {}
        for field, tensor in _leaves(output, ""):
            origin = self._origin(tensor)
            if origin is None or origin.kind != "product" or (named and not field) or _STATES.search(field):
                continue
            for name in origin.names:
                returned.setdefault(name, field)
        return ForwardTrace(returned, frozenset(self._multiplied), frozenset(self._looked_up))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("the forward takes too many operations to be traced")
        kwargs = kwargs or {}
        packet = func.overloadpacket
        made_up = _made_up(packet, args)
        if made_up is not None:
            return made_up
        tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
        if any(tensor.is_meta for tensor in tensors) and any(not tensor.is_meta for tensor in tensors):
            args, kwargs = tree_map(self._to_meta, (args, kwargs))
        if packet is _aten.index or packet is _aten.index_put or packet is _aten.index_put_:
            args = (args[0], _without_masks(args[1]), *args[2:])
        if packet in (_aten.index_put, _aten.index_put_) and args[0].is_meta:
            result = args[0] if packet is _aten.index_put_ else torch.empty_like(args[0])
        else:
            result = func(*args, **kwargs)
        origin = self._origin_of_result(packet, tensors)
        if origin is not None:
            for leaf in tree_flatten(result)[0]:
                if isinstance(leaf, Tensor) and leaf.is_floating_point():
                    self._origins[leaf] = origin
                    if func._schema.is_mutable:
                        storage = leaf.untyped_storage()
                        self._written[storage._cdata] = (storage, origin)
        return result

    def _origin(self, tensor: Tensor) -> _Origin | None:
        origin: _Origin | None = self._origins.get(tensor)
        written = self._written.get(tensor.untyped_storage()._cdata)
        if written is None or origin is written[1]:
            return origin
        return written[1] if origin is None else _merged([origin, written[1]])

    def _to_meta(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or leaf.is_meta:
            return leaf
        moved = torch.empty(leaf.shape, dtype=leaf.dtype, device="meta")
        if (origin := self._origin(leaf)) is not None:
            self._origins[moved] = origin
        return moved

    def _origin_of_result(self, packet: Any, tensors: list[Tensor]) -> _Origin | None:
        floats = [(tensor, self._origin(tensor)) for tensor in tensors if tensor.is_floating_point()]
        origins = [(tensor, origin) for tensor, origin in floats if origin is not None]
        if not origins:
            return None
        weights = [(tensor, origin) for tensor, origin in origins if origin.kind == "weight"]
        if packet in _LOOKUPS or (packet in (_aten.index, _aten.index_select, _aten.gather) and len(weights) == 1):
            for tensor, origin in weights:
                if tensor.ndim > 1:
                    self._looked_up |= origin.names
            return _STATE
        if packet in _PRODUCTS:
            matrices = [origin for tensor, origin in weights if tensor.ndim > 1]
            names = frozenset().union(*(origin.names for origin in matrices))
            if matrices and len(matrices) == len([tensor for tensor in tensors if tensor.ndim > 1]):
                return _Origin("weight", names)  # of weights alone
            self._multiplied |= names
            return _Origin("product", names) if names else _STATE
        if packet in _LAYERS:
            return _STATE
        others = [origin for _, origin in origins if origin.kind != "weight"]
        if packet in _GAINS and others and any(tensor.numel() > 1 for tensor, _ in weights):
            return _STATE  # the gain of a norm, or of a residual branch
        return _merged(others or [origin for _, origin in weights])


def _merged(origins: list[_Origin]) -> _Origin:
    if any(origin.kind == "state" for origin in origins):
        return _STATE
    products = [origin for origin in origins if origin.kind == "product"] or origins
    return _Origin(products[0].kind, frozenset().union(*(origin.names for origin in products)))


def _made_up(packet: Any, args: Any) -> Any:
    """Return a value where an operation asks a meta tensor for one; None for all other operations."""
    if not args or not isinstance(args[0], Tensor) or not args[0].is_meta:
        return None
    if packet is _aten._local_scalar_dense or packet is _aten.is_nonzero:
        if packet is _aten.is_nonzero or args[0].dtype == torch.bool:
            return False
        return 1.0 if args[0].is_floating_point() else 1
    if packet is _aten.nonzero:
        return torch.empty(1, args[0].ndim, dtype=torch.int64, device="meta")
    if packet is _aten.equal:
        return False
    return None


def _without_masks(indices: Any) -> list[Any]:
    """Return indices with each mask replaced by one position, because the number of its positions is not known."""
    plain: list[Any] = []
    for index in indices:
        if isinstance(index, Tensor) and index.dtype == torch.bool and index.is_meta:
            plain += [torch.empty(1, dtype=torch.int64, device="meta") for _ in range(index.ndim)]
        else:
            plain.append(index)
    return plain


def _leaves(output: Any, field: str) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of an output with the name of its field, "" where it has none."""
    if isinstance(output, Tensor):
        yield field, output
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from _leaves(value, f"{field}.{key}" if field else str(key))
    elif hasattr(output, "_asdict"):
        yield from _leaves(output._asdict(), field)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _leaves(value, field)
    elif hasattr(output, "__dict__") and not isinstance(output, nn.Module):
        yield from _leaves(vars(output), field)
