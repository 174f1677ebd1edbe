"""Follow attention scores through a module that computes them itself, outside of transformers' attention interface.

Such a module multiplies queries with keys, scales, adds biases and masks, and takes a softmax. A `ScoreTrace` watches
the torch calls inside its forward: from the product on, it carries along what the scores would be without anything
that was added to them, and hands both to an observer where the softmax is taken. Pairs that the mask blocks are those
whose final score is at or below what models write for "blocked".
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812, the field's name for it
from torch import Tensor
from torch.overrides import TorchFunctionMode

_PRODUCTS = {"matmul", "bmm", "baddbmm", "einsum"}
_ENDS = {"softmax", "log_softmax", "logsumexp"}
# Applied to the scores without additions as well: they move, convert or scale them.
_CARRIED = {
    "mul", "multiply", "div", "divide", "true_divide", "truediv", "neg",
    "view", "view_as", "reshape", "reshape_as", "transpose", "swapaxes", "permute", "movedim", "T", "mT",
    "contiguous", "flatten", "unflatten", "squeeze", "unsqueeze", "expand", "expand_as", "pad", "as_strided",
    "getitem", "cat", "concat", "stack", "repeat",
    "clone", "to", "float", "half", "bfloat16", "double", "type", "type_as",
}  # fmt: skip
_MULTIPLIES = {"mul", "multiply"}  # maybe by a mask of zeros and ones
_JOINS = {"cat", "concat", "stack"}
_KEEPS_PLACES = {
    "mul", "multiply", "div", "divide", "true_divide", "truediv", "neg",
    "to", "float", "half", "bfloat16", "double", "type", "type_as", "contiguous", "clone",
}  # fmt: skip
# Leave the scores without additions as they are: additions, masks, soft-caps.
_LEFT_OUT = {
    "add", "sub", "subtract", "masked_fill", "masked_scatter", "where",
    "clamp", "clip", "tanh", "maximum", "max", "minimum",
}  # fmt: skip
_IN_PLACE = re.compile(r"^__i\w+__$|^__setitem__$|[a-z]_$")


@dataclass
class _Scores:
    """A tensor on its way to the softmax."""

    tensor: Tensor  # kept, so that its id stays its own
    without_additions: Tensor
    blocked: Tensor | None = None  # where the module multiplied by zero


class ScoreTrace(TorchFunctionMode):
    """Active inside one forward of one module.

    Attributes:
        paused: whether calls are currently ignored.

    Args:
        on_scores: called with (scores without additions, final scores, blocked by multiplication or None), both as the
            module holds them, where it takes the softmax.
        on_operands: called with (query, key, value, attention_mask, kwargs) where it calls SDPA.
        keep_graph: follow the scores with their autograd graph, for a proof; else detached.
    """

    def __init__(
        self,
        on_scores: Callable[[Tensor, Tensor, Tensor | None], None],
        on_operands: Callable[[Tensor, Tensor, Tensor, Any, dict[str, Any]], None],
        keep_graph: bool = False,
    ) -> None:
        super().__init__()
        self._on_scores, self._on_operands, self._keep_graph = on_scores, on_operands, keep_graph
        self._tracked: dict[int, _Scores] = {}
        self.paused = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one torch call and follow what it does to scores."""
        kwargs = dict(kwargs or {})
        if self.paused:
            return func(*args, **kwargs)
        name = _name_of(func)
        if name == "scaled_dot_product_attention":
            self._observe_sdpa(*args, **kwargs)
            return func(*args, **kwargs)
        if name == "multi_head_attention_forward":
            self._observe_multi_head(*args, **kwargs)
            return func(*args, **kwargs)
        if name in _ENDS:
            scores = self._scores_of(args, kwargs)
            if scores is not None:
                self._on_scores(scores.without_additions, scores.tensor, scores.blocked)
            return func(*args, **kwargs)
        scores = self._scores_of(args, kwargs)
        if name == "setitem" and scores is not None:
            self._write(*args)
            return None
        if scores is None:
            result = func(*args, **kwargs)
            if name in _PRODUCTS and isinstance(result, Tensor):
                self._start(name, args, kwargs, result)
            return result
        in_place = _IN_PLACE.search(func.__name__) is not None
        if in_place and scores.without_additions is scores.tensor:
            scores.without_additions = scores.tensor.clone()  # the tensor itself is about to be written
        untouched = scores.without_additions is scores.tensor and scores.blocked is None and name not in _MULTIPLIES
        if untouched and name in _CARRIED and name not in _JOINS:
            result = func(*args, **kwargs)
            self._track(result, result, None)
            return result
        carried = self._carry(func, name, args, kwargs, scores)
        result = func(*args, **kwargs)
        if name in _PRODUCTS:
            self._start(name, args, kwargs, result)
        elif carried is not None and isinstance(result, Tensor) and carried[0].shape == result.shape:
            self._track(result, *carried)
        return result

    def _start(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> None:
        """Follow what may be a product of queries and keys, without what baddbmm adds to it."""
        operands = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
        if name == "einsum" and len(args) == 2 and isinstance(args[1], list | tuple):
            operands = list(args[1])
        if len(operands) < 2 or any(operand.ndim < 3 for operand in operands[-2:]):
            return
        if name != "baddbmm":
            self._track(result, result, None)
            return
        with torch.set_grad_enabled(self._keep_graph and torch.is_grad_enabled()):
            _, first, second = (*args, *(kwargs[key] for key in ("input", "batch1", "batch2") if key in kwargs))[:3]
            self._track(result, torch.bmm(first, second) * kwargs.get("alpha", 1), None)

    def _write(self, target: Tensor, index: Any, value: Any) -> None:
        """Follow scores that are written into a part of another tensor, or masks written into scores."""
        found, written = self._find(target), self._find(value)
        without = target if found is None else found.without_additions
        if found is None or without is target:
            without = target.clone()
        with torch.set_grad_enabled(self._keep_graph and torch.is_grad_enabled()):
            if written is not None:
                without[index] = written.without_additions
        blocked = None if found is None else found.blocked
        target[index] = value
        self._track(target, without, blocked)

    def _carry(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], scores: _Scores
    ) -> tuple[Tensor, Tensor | None] | None:
        """Return the scores without additions after a call, and where it blocked them; None if they end here."""
        if name == "where" and sum(self._find(a) is not None for a in (*args, *kwargs.values())) > 1:
            with torch.set_grad_enabled(self._keep_graph and torch.is_grad_enabled()):
                return _call_on_shadow(func, name, args, kwargs, self._shadow), scores.blocked
        if name in _LEFT_OUT:
            replaced = self._replaced(name, args, kwargs)
            if replaced is None:
                return scores.without_additions, scores.blocked
            replaced = replaced.expand_as(scores.without_additions)
            return scores.without_additions, replaced if scores.blocked is None else scores.blocked | replaced
        if name not in _CARRIED:
            return None
        blocked = scores.blocked
        with torch.set_grad_enabled(self._keep_graph and torch.is_grad_enabled()):
            without = _call_on_shadow(func, name, args, kwargs, self._shadow)
            if name in _MULTIPLIES:
                factors = [
                    a
                    for a in (*args, *kwargs.values())
                    if isinstance(a, Tensor) and a.numel() > 1 and self._find(a) is None
                ]
                zero = (factors[0] == 0).expand_as(without) if factors else None
                if zero is not None and bool(zero.any()):
                    blocked = zero if blocked is None else blocked | zero
            elif blocked is not None and name not in _KEEPS_PLACES:
                blocked = _call_on_shadow(func, name, args, kwargs, self._blocked_shadow)
        return without, blocked

    def _replaced(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
        """Return where a call replaces scores by something else: those pairs are blocked."""
        replaced: Tensor | None = None
        if name == "masked_fill":
            replaced = (kwargs["mask"] if "mask" in kwargs else args[1]).bool()
        elif name == "where":
            arguments = [*args, *kwargs.values()]
            if self._find(arguments[0]) is not None:  # scores.where(condition, other)
                replaced = ~arguments[1]
            elif len(arguments) == 3:
                replaced = arguments[0] if self._find(arguments[2]) is not None else ~arguments[0]
        return replaced

    def _shadow(self, argument: Any) -> Any:
        found = self._find(argument)
        return argument if found is None else found.without_additions

    def _blocked_shadow(self, argument: Any) -> Any:
        found = self._find(argument)
        if found is not None and found.blocked is not None:
            return found.blocked
        if (
            isinstance(argument, Tensor) and argument.is_floating_point()
        ):  # joined with scores of which some are blocked
            return torch.zeros_like(argument, dtype=torch.bool)
        return argument

    def _find(self, argument: Any) -> _Scores | None:
        return self._tracked.get(id(argument)) if isinstance(argument, Tensor) else None

    def _scores_of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Scores | None:
        flat: list[Any] = []
        for argument in (*args, *kwargs.values()):
            flat.extend(argument if isinstance(argument, list | tuple) else [argument])
        return next((found for argument in flat if (found := self._find(argument)) is not None), None)

    def _track(self, result: Tensor, without_additions: Tensor, blocked: Tensor | None) -> None:
        self._tracked[id(result)] = _Scores(result, without_additions, blocked)

    def _observe_sdpa(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        if query.ndim == 4:
            self._on_operands(query, key, value, attn_mask, {"is_causal": is_causal, "scaling": scale})
            return
        with torch.set_grad_enabled(self._keep_graph and torch.is_grad_enabled()):
            if enable_gqa:
                key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
            scores = (query @ key.mT) * (query.shape[-1] ** -0.5 if scale is None else scale)
            final = scores
            if is_causal:
                attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
            if attn_mask is not None:
                additive = attn_mask.is_floating_point()
                final = scores + attn_mask if additive else scores.masked_fill(~attn_mask, -torch.inf)
        self._on_scores(scores, final, None)

    def _observe_multi_head(self, *args: Any, **kwargs: Any) -> None:
        """Compute the scores of torch's own multi-head attention, whose parts cannot be watched."""
        call = _MULTI_HEAD.bind(*args, **kwargs)
        call.apply_defaults()
        given = call.arguments
        query, key, num_heads = given["query"], given["key"], given["num_heads"]
        mask, padding = given["attn_mask"], given["key_padding_mask"]
        if query.ndim == 2:  # no batch
            query, key = query.unsqueeze(1), key.unsqueeze(1)
            padding = None if padding is None else padding.unsqueeze(0)
        with torch.set_grad_enabled(self._keep_graph and torch.is_grad_enabled()):
            if given["use_separate_proj_weight"]:
                q_weight, k_weight = given["q_proj_weight"], given["k_proj_weight"]
            else:
                q_weight, k_weight, _ = given["in_proj_weight"].chunk(3)
            bias = given["in_proj_bias"]
            q_bias, k_bias, _ = bias.chunk(3) if bias is not None else (None, None, None)
            # (length, batch, embed_dim) -> (batch, num_heads, length, head_dim)
            q, k = (
                F.linear(states, w, b).unflatten(-1, (num_heads, -1)).permute(1, 2, 0, 3)
                for states, w, b in ((query, q_weight, q_bias), (key, k_weight, k_bias))
            )
            if given["static_k"] is not None:
                k = given["static_k"].unflatten(0, (-1, num_heads))
            scores = (q @ k.mT) * q.shape[-1] ** -0.5
            final = scores
            if mask is not None:
                mask = mask if mask.ndim == 2 else mask.unflatten(0, (-1, num_heads))
                final = final.masked_fill(mask, -torch.inf) if mask.dtype == torch.bool else final + mask
            if padding is not None:
                padding = padding[:, None, None]
                final = final.masked_fill(padding, -torch.inf) if padding.dtype == torch.bool else final + padding
            if given["bias_k"] is not None:  # one key more, which nothing masks
                learned = given["bias_k"].unflatten(-1, (num_heads, -1)).permute(1, 2, 0, 3)
                more = (q @ learned.mT) * q.shape[-1] ** -0.5
                scores, final = torch.cat([scores, more], dim=-1), torch.cat([final, more], dim=-1)
        if not self._keep_graph:
            scores, final = scores.detach(), final.detach()
        self._on_scores(scores, final, None)


_MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)


def _call_on_shadow(
    func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], shadow: Callable[[Any], Any]
) -> Any:
    mapped = [[shadow(a) for a in arg] if isinstance(arg, list | tuple) else shadow(arg) for arg in args]
    if name == "getitem":
        mapped[1] = args[1]
    out_of_place = _OUT_OF_PLACE.get(func.__name__)
    if out_of_place is not None:
        return out_of_place(*mapped, **kwargs)
    return func(*mapped, **kwargs)


_OUT_OF_PLACE: dict[str, Callable[..., Any]] = {
    "mul_": torch.mul, "__imul__": torch.mul, "div_": torch.div, "__itruediv__": torch.div, "__idiv__": torch.div,
    "neg_": torch.neg, "squeeze_": torch.squeeze, "unsqueeze_": torch.unsqueeze, "transpose_": torch.transpose,
    "view": Tensor.reshape,  # what stands in for the scores may be laid out otherwise
}  # fmt: skip


def _name_of(func: Any) -> str:
    """Return the plain name of a torch function: "add" for torch.add, Tensor.add_, __iadd__ and __radd__."""
    name = str(getattr(func, "__name__", ""))
    if name == "__get__":  # Tensor.T and the like
        return str(getattr(getattr(func, "__self__", None), "__name__", ""))
    if name.startswith("__"):
        name = name.strip("_")
        return (
            name[1:]
            if name in {"iadd", "radd", "isub", "rsub", "imul", "rmul", "itruediv", "rtruediv", "idiv", "rmatmul"}
            else name
        )
    return name.rstrip("_")
