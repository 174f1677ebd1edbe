"""What the census asks of one model type: all that attends found, its layout proven, its max logits and clip exact.

The truth is taken here, apart from the package. For a module that calls transformers' attention interface, from the
arguments of that call. For one that computes its scores itself, from what it hands to its softmax, run twice: once as
it is and once with its keys (or queries) set to zero. The difference is q·k; what remains is biases and masks.
"""

import copy
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F  # noqa: N812, the field's name for it
from census_models import CENSUS, CENSUS_ABSENT, census_batch, census_model
from torch import Tensor, nn
from transformers import Cache
from transformers.modeling_utils import AttentionInterface

from hf_muonclip import capture_max_logits, detect_head_layout, qk_clip_, verify_head_layout
from hf_muonclip.attention import AttentionLayout, HeadLayout, MaxLogitCapture
from hf_muonclip.attention.modules.attending import see_attending
from hf_muonclip.attention.modules.class_source import _with_functions as code_of

_BLOCKED = -1e3  # no tiny model has a bias that large
_ROUNDED_ZERO = 1e-12  # scores of queries that are zero but for rounding
_CLIPPED_TO = 0.7
_DRAWS_AT_RANDOM = {"LSHSelfAttention", "InformerProbSparseAttention"}  # hashes or samples, again in every forward
CAPTURE_TOLERANCE = 1e-5
LANDING_TOLERANCE = 1e-4
STILLNESS_TOLERANCE = 1e-5

Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass
class CensusResult:
    """One row of the published table.

    `capture_error`, `landing_error` and `stillness_error` are the largest relative errors over all heads: of the
    captured maxima against the truth, of clipped heads against tau, and of the other heads against where they were.
    """

    model_type: str
    model_class: str = ""
    status: str = "passes"  # or "no softmax attention", "fails", "absent"
    reason: str = ""
    layouts: list[str] = field(default_factory=list)
    granularity: list[str] = field(default_factory=list)
    attention_modules: int = 0
    found_by_behavior: int = 0
    not_run: int = 0
    capture_error: float = 0.0
    landing_error: float = 0.0
    stillness_error: float = 0.0
    seconds: float = 0.0


def check_type(model_type: str, proven: set[Any] | None = None, **options: Any) -> CensusResult:
    """Run one model type through detection, proof, capture and clip.

    Args:
        model_type: a key of the census.
        proven: what `_computation` returned of modules that were proven before, which need no proof here; it is added
            to.
        options: fields of its configuration that are set otherwise.
    """
    if model_type in CENSUS_ABSENT:
        return CensusResult(model_type, status="absent", reason=CENSUS_ABSENT[model_type])
    model = census_model(model_type, **options)
    if hasattr(model, "set_default_language"):
        model.set_default_language("en_XX")
    batch = census_batch(model_type, model)
    result = CensusResult(model_type, CENSUS[model_type].model_class)
    attended = see_attending(model, lambda: model(**_fresh(batch))).attended
    started = time.perf_counter()
    try:
        layout = detect_head_layout(model, inputs=batch)
    except ValueError as error:
        none = "needs softmax attention" in str(error) and not attended
        result.status, result.reason = ("no softmax attention" if none else "fails"), str(error)
        return result
    result.attention_modules, result.found_by_behavior = len(layout), len(layout.found_by_behavior)
    result.layouts = sorted({module.kind for module in layout.values()})
    result.granularity = sorted({module.granularity for module in layout.values()})
    try:
        assert attended <= {*layout}, f"{', '.join(sorted(attended - {*layout}))} attends and is not in the layout"
        _check_layout(model, batch, layout, result, set() if proven is None else proven)
    except (AssertionError, ValueError) as error:
        result.status, result.reason = "fails", str(error)
    result.seconds = time.perf_counter() - started
    return result


def _check_layout(
    model: nn.Module, batch: dict[str, Tensor], layout: HeadLayout, result: CensusResult, proven: set[Any]
) -> None:
    calls, captured = _forward(model, batch, layout)
    result.not_run = len(layout) - len(calls)
    assert calls, "no attention module ran"
    computations = {name: _computation(name, model, layout[name], calls[name]) for name in layout if name in calls}
    first = {computation: name for name, computation in reversed(computations.items()) if computation not in proven}
    ran = HeadLayout({name: layout[name] for name in computations if name in first.values()})
    if not len(ran):
        return
    verify_head_layout(model, ran, inputs=batch)
    padding = batch.get("attention_mask")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name, module_layout in ran.items():
        module = model.get_submodule(name)
        truth = _true_maxima(name, module, module_layout, calls[name], padding)
        alone = _captured_alone(module, name, calls[name], batch)
        _fold(
            result,
            "capture_error",
            _relative_error(alone, truth),
            CAPTURE_TOLERANCE,
            f"{name}: captured {alone}, {truth}",
        )
        whole = captured[name].double()  # all calls of the forward: at least the first one's maximum
        random = type(module).__name__ in _DRAWS_AT_RANDOM
        # Over a forward, cross-attention knows which of its queries are padding; alone it does not.
        if not random and not _is_cross(name):
            slack = CAPTURE_TOLERANCE * truth.abs().max() + _ROUNDED_ZERO
            assert bool((whole >= truth - slack).all()), f"{name}: {whole} over a forward, {truth} in its first call"
        if module_layout.head_rows:
            _check_clip(model, module, module_layout, layout, calls[name], batch, alone, result)
    with torch.no_grad():
        for output in _tensors(model(**_fresh(batch))):
            assert bool(torch.isfinite(output).all()) or not output.is_floating_point(), "an output is not finite"
    _check_sdpa(model, batch, ran, result)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before), "undo left a weight changed"
    proven.update(first)


def _computation(name: str, model: nn.Module, layout: AttentionLayout, call: Call) -> Any:
    """Return what two attention modules have in common that compute the same with other weights.

    That is their code but for the names of classes, their layout, what they hold but weights, and how they are called.
    """
    module = model.get_submodule(name)
    family = type(module).__name__.partition("Attention")[0]
    code = code_of(type(module)).replace(family, "") if family else code_of(type(module))
    held = {key: value for key, value in vars(module).items() if isinstance(value, int | float | str | None)}
    try:
        held |= {key: getattr(getattr(module, "config", None), key, None) for key in re.findall(r"config\.(\w+)", code)}
        held.pop("layer_idx", None)
    except RuntimeError:  # of a config whose layers differ, which refuses to be asked for all of them: not alike
        pass
    parts = [(path, type(part).__name__.replace(family, "")) for path, part in module.named_modules() if path]
    given = [(key, _kind(value)) for key, value in [*enumerate(call[0]), *sorted(call[1].items())]]
    alike = replace(layout, name="", attention_class="", shares_weights_with=layout.shares_weights_with and "another")
    sdpa = getattr(model, "_supports_sdpa", False)
    return str((code, alike, sorted(held.items(), key=str), parts, given, _is_cross(name), sdpa))


def _kind(value: Any) -> Any:
    """Return the kind of an argument: shape and dtype, and of a mask what it lets through."""
    if isinstance(value, Tensor):
        kept = value.tolist() if value.dtype == torch.bool or value.ndim == 4 else None
        return tuple(value.shape), value.dtype, kept
    if isinstance(value, tuple | list):
        return [_kind(part) for part in value]
    return value if isinstance(value, int | float | str | None) else type(value).__name__


def _check_sdpa(model: Any, batch: dict[str, Tensor], layout: HeadLayout, result: CensusResult) -> None:
    """Capture behind SDPA, whose masks are other ones, where the model can run it."""
    if not getattr(model, "_supports_sdpa", False):
        return
    try:
        model.set_attn_implementation("sdpa")
    except ValueError:  # a part of the model cannot
        return
    calls, _ = _forward(model, batch, layout)
    for name, call in calls.items():
        module = model.get_submodule(name)
        truth = _true_maxima(name, module, layout[name], call, batch.get("attention_mask"))
        alone = _captured_alone(module, name, call, batch)
        what = f"{name}: captured {alone} behind SDPA, {truth}"
        _fold(result, "capture_error", _relative_error(alone, truth), CAPTURE_TOLERANCE, what)


def _check_clip(
    model: nn.Module,
    module: nn.Module,
    layout: AttentionLayout,
    whole: HeadLayout,
    call: Call,
    batch: dict[str, Tensor],
    before: Tensor,
    result: CensusResult,
) -> None:
    """Clip every second head (or group that is scaled as one) to 0.7 of its maximum and measure the module again."""
    groups = torch.tensor(layout.gamma_groups or range(layout.num_attention_heads))
    weights = {rows.parameter: module.get_parameter(rows.parameter).clone() for rows in layout.head_rows}
    for chosen in (groups % 2 == 0, groups % 2 == 1):
        if not chosen.any():
            continue
        ask = torch.where(chosen, 1.0 / _CLIPPED_TO, -math.inf)
        gammas = qk_clip_(model, whole, {layout.name: ask}, threshold=1.0)[layout.name]
        assert torch.allclose(gammas, torch.where(chosen, _CLIPPED_TO, 1.0))
        after = _captured_alone(module, layout.name, call, batch)
        for path, weight in weights.items():
            module.get_parameter(path).data.copy_(weight)
        landed = _relative_error(after[chosen], _CLIPPED_TO * before[chosen])
        stayed = _relative_error(after[~chosen], before[~chosen])
        _fold(
            result,
            "landing_error",
            landed,
            LANDING_TOLERANCE,
            f"{layout.name}: {after[chosen]} after, {before[chosen]}",
        )
        _fold(result, "stillness_error", stayed, STILLNESS_TOLERANCE, f"{layout.name}: {after} after, {before} before")


def _fold(result: CensusResult, name: str, error: float, tolerance: float, what: str) -> None:
    setattr(result, name, max(getattr(result, name), error))
    assert error <= tolerance, f"{name.replace('_', ' ')} {error:.2g} exceeds {tolerance:g}. {what}"


def _relative_error(found: Tensor, expected: Tensor) -> float:
    if not len(found):
        return 0.0
    same = found.double() == expected.double()  # also where both are -inf
    size = expected.double().abs()
    finite = size[torch.isfinite(size)]
    largest = float(finite.max()) if len(finite) else 0.0
    # A head whose maximum is near zero is a difference of larger numbers: a tenth of the largest head's counts.
    error = (found.double() - expected.double()).abs() / size.clamp(min=max(1e-12, 1e-1 * largest))
    return float(torch.where(same, 0.0, error).nan_to_num(nan=math.inf).max())


@torch.no_grad()
def _forward(
    model: nn.Module, batch: dict[str, Tensor], layout: HeadLayout
) -> tuple[dict[str, Call], dict[str, Tensor]]:
    """Return the first call of every attention module, and the maxima that the package captured over the forward."""
    calls: dict[str, Call] = {}

    def remember(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            calls.setdefault(name, (_fresh(args), _fresh(kwargs)))

        return hook

    handles = [model.get_submodule(name).register_forward_pre_hook(remember(name), with_kwargs=True) for name in layout]
    try:
        with capture_max_logits(model, layout) as captured, torch.random.fork_rng():
            torch.manual_seed(0)
            model(**_fresh(batch))
            return calls, {name: captured[name].clone() for name in captured}
    finally:
        for handle in handles:
            handle.remove()


def _captured_alone(module: nn.Module, name: str, call: Call, batch: dict[str, Tensor]) -> Tensor:
    """Return what the package captures when one module runs alone, knowing of padding what the model was told."""
    capture = MaxLogitCapture({name: module})
    told = batch.get("decoder_attention_mask", batch.get("attention_mask"))
    capture.told.enter(module, {"attention_mask": told})
    try:
        _run(module, call)
        return capture[name].clone()
    finally:
        capture.close()


@torch.no_grad()
def _run(module: nn.Module, call: Call) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module(*_fresh(call[0]), **_fresh(call[1]))


def _fresh(arguments: Any) -> Any:
    """Copy what a call may write to."""
    if isinstance(arguments, dict):
        return {key: copy.deepcopy(a) if isinstance(a, Cache) else a for key, a in arguments.items()}
    return tuple(copy.deepcopy(a) if isinstance(a, Cache) else a for a in arguments)


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, tuple | list):
        for value in output:
            yield from _tensors(value)


# The truth.


def _true_maxima(name: str, module: nn.Module, layout: AttentionLayout, call: Call, padding: Tensor | None) -> Tensor:
    with _recorded_interface(module) as interface_calls:
        _run(module, call)
    if interface_calls:
        maxima = [_maxima_of_call(name, *recorded, padding) for recorded in interface_calls]
        return torch.stack(maxima).amax(0)
    with _recorded_softmax() as final:
        _run(module, call)
    zeroed_rows = [rows for rows in layout.head_rows if rows.role == "key"] or [
        rows for rows in layout.head_rows if rows.role == "query of shared key"
    ]
    whole = [path for path, _ in module.named_parameters() if not zeroed_rows and re.match(r"(q|query)[._]", path)]
    weights = {path: module.get_parameter(path).clone() for path in [*(rows.parameter for rows in zeroed_rows), *whole]}
    shared = layout.kind == "query is key"
    try:
        for rows in zeroed_rows if not shared else []:
            for head in rows.rows:
                module.get_parameter(rows.parameter).data.narrow(rows.dim, head.start, len(head)).zero_()
        for path in whole:  # of a module that is only monitored
            module.get_parameter(path).data.zero_()
        with _recorded_softmax() as without:
            _run(module, call)
    finally:
        for path, weight in weights.items():
            module.get_parameter(path).data.copy_(weight)
    assert final, f"{name} takes no softmax that the truth can see"
    assert len(final) == len(without)
    maxima = []
    for scores, rest in zip(final, without, strict=True):
        by_head, rest_by_head = (_by_head(tensor.double(), layout.num_attention_heads) for tensor in (scores, rest))
        allowed = rest_by_head > _BLOCKED
        product = by_head if shared else by_head - rest_by_head
        if (
            product.ndim == 4
            and product.shape[-1] == product.shape[-2]
            and "cross" not in ".".join(name.split(".")[-2:])
        ):
            allowed = allowed & ~_padded(allowed, padding).transpose(0, 1)
        maxima.append(product.masked_fill(~allowed, -math.inf).flatten(1).amax(1))
    return torch.stack(maxima).amax(0)


def _is_cross(name: str) -> bool:
    return "cross" in ".".join(name.split(".")[-2:]) or "encoder_attn" in name


def _by_head(scores: Tensor, heads: int) -> Tensor:
    if scores.ndim == 3:
        scores = scores.unflatten(0, (-1, heads))
    return scores.transpose(0, 1) if scores.shape[1] == heads else scores.movedim(2, 0)


def _padded(allowed: Tensor, padding: Tensor | None) -> Tensor:
    """Return (batch, 1, length, 1): queries that are padding, as the batch says or else as no key column is open."""
    length = allowed.shape[-1]
    batch = allowed.shape[1]
    if padding is not None and tuple(padding.shape) == (batch, length):
        seen_by_others = (allowed & ~torch.eye(length, dtype=torch.bool)).any(dim=-2).any(0)  # (batch, length)
        return ((padding == 0) & ~seen_by_others)[:, None, :, None]
    return ~allowed.any(dim=-2).transpose(0, 1)[..., None]


def _maxima_of_call(
    name: str, module: nn.Module, query: Tensor, key: Tensor, mask: Any, scaling: Any, padding: Tensor | None
) -> Tensor:
    per_key = query.shape[1] // key.shape[1]
    product = query.double() @ key.double().repeat_interleave(per_key, dim=1).mT
    product = product * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    product = product.transpose(0, 1)  # (heads, batch, query, key)
    allowed = torch.ones_like(product, dtype=torch.bool)
    if isinstance(mask, Tensor):
        mask = mask[..., : key.shape[2]] if mask.ndim == 4 else mask[:, None]
        passes = mask if mask.dtype == torch.bool else mask > _BLOCKED * 1e3
        allowed = passes.expand(query.shape[0], query.shape[1], *product.shape[-2:]).transpose(0, 1)
    if query.shape[2] == key.shape[2] and not _is_cross(name):
        allowed = allowed & ~_padded(allowed, padding).transpose(0, 1)
    return product.masked_fill(~allowed, -math.inf).flatten(1).amax(1)


def _seen(module: Any, query: Tensor, mask: Any, kwargs: dict[str, Any]) -> Any:
    """Return the mask of a call; behind SDPA none means causal where the module says so."""
    causal = kwargs.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    if mask is None and causal and query.shape[2] > 1 and module.config._attn_implementation == "sdpa":
        return torch.ones(query.shape[2], query.shape[2], dtype=torch.bool).tril()[None, None]
    return mask


@contextmanager
def _recorded_interface(observed: nn.Module) -> Iterator[list[tuple[Any, ...]]]:
    calls: list[tuple[Any, ...]] = []
    original = AttentionInterface.get_interface

    def get_interface(self: Any, implementation: str, default: Any) -> Any:
        function = original(self, implementation, default)

        def attention(
            module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, *args: Any, **kwargs: Any
        ) -> Any:
            if module is observed:
                calls.append((module, query, key, _seen(module, query, attention_mask, kwargs), kwargs.get("scaling")))
            return function(module, query, key, value, attention_mask, *args, **kwargs)

        return attention

    with mock.patch.object(AttentionInterface, "get_interface", get_interface):
        yield calls


@contextmanager
def _recorded_softmax() -> Iterator[list[Tensor]]:
    """Record the argument of every softmax over at least three dimensions."""
    seen: list[Tensor] = []

    def recording(original: Any) -> Any:
        def softmax(scores: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if scores.ndim >= 3:
                seen.append(scores.detach().clone())
            return original(scores, *args, **kwargs)

        return softmax

    def attention(
        query: Tensor, key: Tensor, value: Tensor, attn_mask: Any = None, *args: Any, **kwargs: Any
    ) -> Tensor:
        scale = kwargs.get("scale") or query.shape[-1] ** -0.5
        scores = (query @ key.repeat_interleave(query.shape[1] // key.shape[1], dim=1).mT) * scale
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
        seen.append(scores.detach())
        return original_attention(query, key, value, attn_mask, *args, **kwargs)

    original_attention = F.scaled_dot_product_attention
    with (
        mock.patch.object(F, "softmax", recording(F.softmax)),
        mock.patch.object(torch, "softmax", recording(torch.softmax)),
        mock.patch.object(Tensor, "softmax", recording(Tensor.softmax)),
        mock.patch.object(torch, "logsumexp", recording(torch.logsumexp)),
        mock.patch.object(F, "scaled_dot_product_attention", attention),
        mock.patch.object(torch.nn.functional, "scaled_dot_product_attention", attention),
    ):
        yield seen


def as_row(result: CensusResult) -> dict[str, Any]:
    """Return a result as one line of the published rows."""
    return asdict(result)
