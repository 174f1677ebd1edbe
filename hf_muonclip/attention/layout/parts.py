"""Read single parts of an attention module: projections under any wrapper, norms, head counts.

What a norm computes is not guessed from its name: a twin of it is run. A part that is not known is refused by name.
"""

import contextlib
import re
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..adapters import adapter_method
from ..head_layout import HeadRows, ProjectionPart, ProjectionRows, Role
from ..modules.class_source import own_class
from ..modules.find import stated_heads
from .module_twins import CannotRunError, follows_its_rows, gain_offset, output_length

_NORM = re.compile(r"^(q|k|query|key|qk)_?(layer_?)?(norm|ln)$|^(layer_?norm|norm|ln)_(q|k|query|key)$")
_NORMED_INPUTS = {"BltCrossAttention"}  # its q_norm and k_norm stand in front of the projections
_HEAD_DIM = ("head_dim", "attention_head_size", "head_size", "dim_per_head", "dim_head", "d_head", "kv_channels")
_HEAD_COUNT = ("num_heads", "num_attention_heads", "n_heads", "n_head", "heads", "num_attn_heads", "nb_heads", "groups")


@dataclass(frozen=True)
class Projection:
    """Where a projection keeps its weights.

    Attributes:
        path: path of the linear map, relative to the attention module.
        out_features: output width of the linear map.
        dim: the dimension of the weight that is the output; 1 for Conv1D.
        parameters: the names of what must be scaled with a row, relative to the attention module.
        note: why it can only be monitored; empty if it can be scaled.
    """

    path: str
    out_features: int
    dim: int
    parameters: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Norm:
    """How a norm behind a projection acts.

    Attributes:
        path: path of the norm, relative to the attention module.
        per_head: whether every head has a gain of its own.
        gain: name of the gain, relative to the attention module; None for a weightless norm.
        bias: name of the bias; None without one.
        offset: 1 where the norm multiplies by 1 + gain.
        head_axis: whether the gain is (num_heads, head_dim).
        gains_in_list: whether the gains are parameters of their own, one per head, under `path`.
        note: why it could not be read; empty if it was.
    """

    path: str
    per_head: bool
    gain: str | None
    bias: str | None
    offset: float
    head_axis: bool = False
    gains_in_list: bool = False
    note: str = ""


@dataclass(frozen=True)
class Knob:
    """The weights through which every query, or every key, can be scaled.

    Attributes:
        slices: (parameter, ranges per head, dim, offset).
        per_head: whether each head has slices of its own.
        note: why there are no slices.
    """

    slices: tuple[tuple[str, tuple[range, ...], int, float], ...]
    per_head: bool
    note: str = ""


class UnknownLayoutError(ValueError):
    """No rule covers an attention module, and its layout was not found otherwise."""


class NeedsWeightsError(UnknownLayoutError):
    """No rule covers an attention module, and without weights it cannot be run."""


class ContradictoryLayoutError(UnknownLayoutError):
    """The rules know the parts of an attention module, and their sizes do not fit together."""


class PartReader:
    """One attention module, whose parts are read one by one.

    Args:
        name: the module's name in its model.
        module: with weights or on the meta device.
        scale_lora_base: scale the frozen base weight of a LoRA layer together with its adapter.
    """

    def __init__(self, name: str, module: nn.Module, scale_lora_base: bool) -> None:
        self.name, self.module, self.scale_lora_base = name, module, scale_lora_base
        self.children = dict(module.named_children())
        self.used: set[str] = set()  # children and parameters that a rule has placed
        self.notes: list[str] = []
        self.projections: list[ProjectionRows] = []

    def norm(self, side: str, heads: int, head_dim: int) -> Norm | None:
        """Return the norm behind the queries ("q"), the keys ("k") or both ("qk")."""
        names = {"q": ("q", "query"), "k": ("k", "key"), "qk": ("qk",)}[side]
        for child, submodule in self.children.items():
            match = _NORM.match(child)
            if match is None or (match.group(1) or match.group(5)) not in names:
                continue
            self.used.add(child)
            if isinstance(submodule, nn.Identity) or own_class(self.module).__name__ in _NORMED_INPUTS:
                return None
            return self._read_norm(child, submodule, heads, head_dim)
        return None

    def _read_norm(self, path: str, module: nn.Module, heads: int, head_dim: int) -> Norm:
        parameters = dict(module.named_parameters())
        norms = getattr(module, "norms", None)
        if isinstance(norms, nn.ModuleList):  # one norm per head (StableLM)
            first = self._read_norm(f"{path}.norms.0", norms[0], 1, head_dim)
            if first.bias is not None:
                raise self.refusal(f"{path} has a norm with a bias for every head")
            return replace(first, path=f"{path}.norms", per_head=True, gains_in_list=True)
        if not parameters:
            return Norm(path, False, None, None, 0.0)
        if not parameters.keys() <= {"weight", "bias"} or "weight" not in parameters:
            raise self.refusal(f"{path} has {', '.join(parameters)}, which is not a norm that the rules know")
        shape = tuple(parameters["weight"].shape)
        try:
            offset = gain_offset(module)
        except CannotRunError as error:
            return Norm(path, False, None, None, 0.0, note=f"{path} is a {type(module).__name__} that {error}")
        if offset is None:
            raise self.refusal(f"{path} does not act as a norm: its output is not proportional to its gain")
        bias = f"{path}.bias" if "bias" in parameters else None
        if shape == (head_dim,) and heads * head_dim != head_dim:
            return Norm(path, False, f"{path}.weight", bias, offset)
        if shape == (heads * head_dim,):
            return Norm(path, True, f"{path}.weight", bias, offset)
        if shape == (heads, head_dim):
            return Norm(path, True, f"{path}.weight", bias, offset, head_axis=True)
        raise self.refusal(
            f"{path} has a gain of shape {shape}, neither one head's ({head_dim}) nor all {heads} heads'"
        )

    def norm_knob(self, norm: Norm, heads: int, head_dim: int) -> Knob:
        """Return the slices of a norm's gain, and bias, that make each head."""
        if norm.gain is None:
            return Knob((), False, "its norm has no gain")
        if norm.gains_in_list:
            own = [
                (f"{norm.path}.{h}.weight", tuple(range(head_dim if other == h else 0) for other in range(heads)))
                for h in range(heads)
            ]
            return Knob(tuple((name, rows, 0, norm.offset) for name, rows in own), True)
        names = [(norm.gain, norm.offset)] + ([(norm.bias, 0.0)] if norm.bias else [])
        if norm.head_axis:
            rows = tuple(range(h, h + 1) for h in range(heads))
        elif norm.per_head:
            rows = tuple(range(h * head_dim, (h + 1) * head_dim) for h in range(heads))
        else:
            rows = (range(head_dim),) * heads
        return Knob(tuple((name, rows, 0, offset) for name, offset in names), norm.per_head)

    def weightless_bound(self, query: Norm, key: Norm | None, head_dim: int) -> float | None:
        """Return scaling·‖q‖·‖k‖, which norms without gains fix; None unless both sides have one."""
        if key is None or key.gain is not None:
            return None
        try:
            lengths = [output_length(self.module.get_submodule(norm.path), head_dim) for norm in (query, key)]
        except CannotRunError:
            return None
        return lengths[0] * lengths[1] * self.scaling(head_dim)

    # Projections.

    def projection(self, child: str) -> Projection:
        """Find the linear map behind a child: itself, wrapped, quantized, or under an adapter."""
        return self._projection(child, self.module.get_submodule(child))

    def _projection(self, path: str, linear: nn.Module) -> Projection:
        if hasattr(linear, "base_layer") and hasattr(linear, "lora_A"):
            return self._adapted(path, linear)
        copies = linear._modules.get("modules_to_save")
        if isinstance(copies, nn.ModuleDict):  # PEFT trains a copy of the module, one for each adapter
            active = next((name for name in linear.active_adapters if name in copies), None)  # type: ignore[union-attr]
            if active is None or linear.disable_adapters:
                return self._projection(f"{path}.original_module", linear.original_module)  # type: ignore[arg-type]
            return self._projection(f"{path}.modules_to_save.{active}", copies[active])
        wrapped = getattr(linear, "base_layer", None)
        if isinstance(wrapped, nn.Module):
            base = self._projection(f"{path}.base_layer", wrapped)
            kind = adapter_method(linear) or type(linear).__name__
            note = f"{path} is a layer of {kind} around a frozen base, an adapter that QK-Clip cannot scale"
            return replace(base, parameters=(), note=note)
        weight: Any = getattr(linear, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim == 2 and own_class(linear).__name__ == "Conv1D":
            names = ("weight", "bias") if getattr(linear, "bias", None) is not None else ("weight",)
            return Projection(path, weight.shape[1], 1, tuple(f"{path}.{name}" for name in names))
        if isinstance(linear, nn.Linear) or (isinstance(weight, Tensor) and hasattr(linear, "out_features")):
            out_features = int(linear.out_features)  # type: ignore[arg-type]
            if "weight" not in linear._parameters:
                return self._made_weight(path, linear, out_features)
            if not weight.is_floating_point() or weight.shape[0] != out_features or weight.element_size() < 2:
                note = f"{path} is quantized ({type(linear).__name__}, {weight.dtype}), and its rows cannot be scaled"
                return Projection(path, out_features, 0, (), note)
            known = type(linear).forward is nn.Linear.forward or type(linear).__module__.startswith(
                ("torch.", "transformers.")
            )
            if not known and not follows_its_rows(linear):
                said = "whose outputs do not follow the rows of its weight, as nn.Linear's do"
                raise self.refusal(f"{path} is a {type(linear).__name__}, {said}")
            if linear._parameters.get("bias") is None and getattr(linear, "bias", None) is not None:
                note = f"{path} has a bias that is no parameter of its own, and cannot be scaled with its rows"
                return Projection(path, out_features, 0, (), note)
            names = ("weight", "bias") if getattr(linear, "bias", None) is not None else ("weight",)
            return Projection(path, out_features, 0, tuple(f"{path}.{name}" for name in names))
        inner = getattr(linear, "linear", None)
        if isinstance(inner, nn.Linear) and type(linear).__module__.startswith("transformers."):
            scale = getattr(getattr(linear, "norm", None), "scale", None)
            if isinstance(scale, nn.Parameter) and scale.ndim == 2:
                self.notes.append("an L2 clip also bounds queries and keys; gamma is exact where it does not act")
            elif list(linear.children()) != [inner] and not hasattr(linear, "sconv"):
                raise self.refusal(f"{path} is a {type(linear).__name__}, more than a linear map")
            if hasattr(linear, "sconv"):  # a convolution along time keeps heads apart, but not its rows' scale alone
                return Projection(f"{path}.linear", inner.out_features, 0, (f"{path}.linear.weight",))
            return self._projection(f"{path}.linear", inner)
        raise self.refusal(f"{path} is a {type(linear).__name__}, not an nn.Linear")

    def _made_weight(self, path: str, linear: Any, out_features: int) -> Projection:
        """Find the parameters that scale the rows of a computed weight, such as torch's weight_norm."""
        own = linear._parameters
        names: tuple[str, ...] = ()
        if set(own) - {"bias"} == {"weight_g", "weight_v"}:  # torch.nn.utils.weight_norm
            names = (f"{path}.weight_g",)
        elif set(own) - {"bias"} == {"weight_orig"} and "weight_mask" in linear._buffers:  # torch.nn.utils.prune
            names = (f"{path}.weight_orig",)
        elif parametrize.is_parametrized(linear, "weight"):
            makers = list(linear.parametrizations.weight)
            if len(makers) == 1 and type(makers[0]).__name__ == "_WeightNorm":
                names = (f"{path}.parametrizations.weight.original0",)
        bias = getattr(linear, "bias", None)
        scaled = bool(names) and self.module.get_parameter(names[0]).shape[0] == out_features
        if not scaled or (bias is not None and own.get("bias") is None):
            note = f"{path} is a {type(linear).__name__} whose weight is no parameter, and its rows cannot be scaled"
            return Projection(path, out_features, 0, (), note)
        return Projection(path, out_features, 0, (*names, *([f"{path}.bias"] if bias is not None else [])))

    def _adapted(self, path: str, linear: Any) -> Projection:
        base = self._projection(f"{path}.base_layer", linear.base_layer)
        if base.note or linear.merged or linear.disable_adapters or not linear.active_adapters:
            return base
        active = [adapter for adapter in linear.active_adapters if adapter in linear.lora_A]
        if not active:
            return base
        dora = [adapter for adapter in active if adapter in getattr(linear, "lora_magnitude_vector", {})]
        biases = tuple(name for name in base.parameters if name.endswith(".bias"))
        if dora == active and len(dora) == 1:
            if not all(self.module.get_parameter(name).requires_grad for name in biases):
                return replace(base, parameters=(), note=f"{path} is a DoRA layer whose frozen bias cannot follow")
            return replace(base, parameters=(f"{path}.lora_magnitude_vector.{dora[0]}.weight", *biases))
        if dora:
            note = f"{path} has several adapters active, DoRA among them, and no one weight scales their sum"
            return replace(base, parameters=(), note=note)
        variants = sorted({type(v).__name__ for name, v in linear.lora_variant.items() if name in active})
        if self.scale_lora_base and variants:
            note = f"{path} is a LoRA layer of a form that no rule knows ({', '.join(variants)})"
            return replace(base, parameters=(), note=note)
        if not self.scale_lora_base:
            kind = "an AdaLoRA" if adapter_method(linear) == "adalora" else "a LoRA"
            note = (
                f"{path} is {kind} layer: its frozen base cannot follow, and scaling the adapter alone would miss tau. "
                "Pass scale_lora_base=True to scale the base too (then save the whole model, not the adapter alone)"
            )
            return replace(base, parameters=(), note=note)
        adapters = []
        for adapter in active:
            factor = f"{path}.lora_B.{adapter}"
            if isinstance(linear.lora_B[adapter], nn.Parameter):  # AdaLoRA's
                adapters.append(factor)
                continue
            adapters.append(f"{factor}.weight")
            if linear.lora_B[adapter].bias is not None:
                adapters.append(f"{factor}.bias")
        return replace(base, parameters=(*base.parameters, *adapters))

    def state(self, projection: Projection, *parts: ProjectionPart, periods: int = 1) -> ProjectionRows:
        """Record which rows of a projection make what."""
        rows = ProjectionRows(f"{projection.path}.weight", parts, periods, projection.dim)
        self.projections.append(rows)
        return rows

    def state_value(self, child: str, heads: int) -> None:
        """Record the value projection beside a query and a key, if there is one that the rules can read."""
        if child in self.children:
            with contextlib.suppress(UnknownLayoutError):  # values are no part of the scores, so no reason to refuse
                value = self.projection(child)
                width = value.out_features // heads if value.out_features % heads == 0 else 0
                self.state(value, ProjectionPart("value", value.out_features, width))

    def knob(self, projection: Projection, rows: tuple[range, ...]) -> Knob:
        """Return the slices of a projection that make each head."""
        slices = []
        for name in projection.parameters:
            vector = self.module.get_parameter(name).ndim == 1
            out_first = vector or ".lora_B." in name  # an adapter's output comes first, also beside a Conv1D
            slices.append((name, rows, 0 if out_first else projection.dim, 0.0))
        return Knob(tuple(slices), True, projection.note)

    def rows_of(self, knob: Knob, role: Role) -> tuple[HeadRows, ...]:
        """Return slices with their role."""
        return tuple(HeadRows(name, rows, role, dim, offset) for name, rows, dim, offset in knob.slices)

    # Head counts.

    def head_dim(self, features: int) -> int:
        """Return the width of a head: as the module states it, else the projection's width over the number of heads."""
        for attribute in _HEAD_DIM:
            value = getattr(self.module, attribute, None)
            if isinstance(value, int) and value > 0:
                return value
        heads = stated_heads(self.module)
        if heads and features and features % heads == 0:
            return features // heads
        raise self.refusal("it does not say its head_dim")

    def heads(self) -> int:
        """Return the number of query heads that the module states."""
        heads = stated_heads(self.module)
        if heads is None:
            raise self.refusal("it does not say how many heads it has")
        return heads

    def fused_heads(self, features: int) -> tuple[int, int, int]:
        """Return query heads, key heads and head_dim of a fused projection."""
        heads = self.heads()
        head_dim = next((v for a in _HEAD_DIM if isinstance(v := getattr(self.module, a, None), int) and v > 0), None)
        key_heads = next(
            (
                v
                for a in ("num_key_value_heads", "num_kv_heads", "kv_heads")
                if isinstance(v := getattr(self.module, a, None), int) and v > 0
            ),
            heads,
        )
        groups = getattr(self.module, "num_key_value_groups", None)
        if key_heads == heads and isinstance(groups, int) and groups > 1:
            key_heads = heads // groups
        if head_dim is None:
            head_dim = features // (heads + 2 * key_heads)
        if features == 3 * heads * head_dim:
            key_heads = heads
        elif features == (heads + 2) * head_dim:
            key_heads = 1
        return heads, key_heads, head_dim

    def divide(self, projection: str, features: int, head_dim: int) -> int:
        """Return the number of heads of a projection."""
        if features % head_dim:
            raise self.contradiction(f"{projection} has {features} rows, which heads of {head_dim} do not divide")
        return features // head_dim

    def scaling(self, head_dim: int) -> float:
        """Return the factor of q·k."""
        scaling = getattr(self.module, "scaling", None)
        return float(scaling) if isinstance(scaling, int | float) else head_dim**-0.5

    # Refusals.

    def contradiction(self, what: str) -> ContradictoryLayoutError:
        """Return the error for parts that the rules know, whose sizes do not fit together."""
        return ContradictoryLayoutError(f"{self.refusal(what)} Pass qk_clip_threshold=None to train with Muon alone.")

    def refusal(self, what: str) -> UnknownLayoutError:
        """Return the error for parts that the rules do not know; the module's behaviour may still show it."""
        found = []
        for child, submodule in self.module.named_children():
            weight = getattr(submodule, "weight", None)
            shape = f" {tuple(weight.shape)}" if isinstance(weight, Tensor) else ""
            found.append(f"{child} {type(submodule).__name__}{shape}")
        return UnknownLayoutError(
            f"the head layout of {self.name} ({type(self.module).__name__}) is not one that QK-Clip knows: {what}. "
            f"Found: {', '.join(found) or 'no children'}."
        )
