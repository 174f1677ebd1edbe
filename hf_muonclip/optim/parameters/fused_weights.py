"""Matrix views that follow from a module itself: experts, fused gates, state spaces, convolutions.

A `MatrixView` is returned only if the module's attributes and shapes leave one reading. A linear map that is not known
to be fused is one matrix. Attention projections are not read here: the attention layout knows them.
"""

import re
from typing import Any

import torch
from torch import nn

from ..matrix_view import PLAIN, MatrixView

# {fused: next}: a feed-forward's first linear map holds gate and up one after the other where it is twice as wide as
# what its second one takes. Phi-3, GLM, Dia; ModernBERT; Granite-MoE, JetMoE; DINOv2's SwiGLU.
_GATED_PAIRS = {
    "gate_up_proj": "down_proj",
    "Wi": "Wo",
    "input_linear": "output_linear",
    "weights_in": "weights_out",
}
_FUSED_GATE_UP_NAME = re.compile(r"(^|\.)gate_up_proj$")
# What PEFT puts between a module and the attribute of its parent that it replaced.
_PEFT_WRAPPING = re.compile(r"(\.base_layer|\.modules_to_save\.[^.]+)+$")
# The parameters that torch.nn.utils makes a linear map's weight of, and of its parametrizations those that leave the
# matrix what it is, up to a factor of each row or of all.
_PARAMETRIZED = re.compile(r"^(?P<owner>.+)\.(parametrizations\.weight\.original\d*|weight_(?P<old>g|v|orig))$")
_KEEPING_ROWS = {"SpectralNorm", "WeightNorm"}
# Attributes that hold the length of an expert stack's first dimension; the last two are LongCat-Flash's.
_EXPERT_COUNTS = ("num_experts", "n_shared_experts", "num_routed_experts", "total_experts")
_KERNELS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def is_conv1d(module: nn.Module) -> bool:
    """Return whether a module is transformers' Conv1D, a linear map whose weight is stored (in, out)."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def is_linear(module: nn.Module) -> bool:
    """Return whether a module's weight is one linear map."""
    return isinstance(module, nn.Linear) or is_conv1d(module)


def read_parametrized(model: nn.Module, name: str) -> tuple[str, bool, str] | None:
    """Return the linear map whose weight a parameter makes, whether it holds its matrix, and a description.

    Args:
        model: holds the parameter.
        name: name of the parameter in the model.

    Returns:
        (path of the linear map, ...); None for a parameter that makes no linear map's weight by a parametrization of
        torch, by its older weight_norm and spectral_norm, or under a pruning mask.
    """
    match = _PARAMETRIZED.match(name)
    if match is None:
        return None
    linear: Any = model.get_submodule(match["owner"])
    if not is_linear(linear):
        return None
    parameter = model.get_parameter(name)
    sides = sorted(int(getattr(linear, side, 0)) for side in ("in_features", "out_features"))
    whole = sorted(parameter.shape) == sides
    if match["old"]:
        said = {"g": "weight_norm", "v": "weight_norm"}.get(match["old"], "a norm or mask of torch.nn.utils")
    else:
        makers = [type(maker).__name__.lstrip("_") for maker in linear.parametrizations.weight]
        said = " and ".join(makers)
        if not set(makers) <= _KEEPING_ROWS:
            told = "torch's parametrization, whose numbers are not known to act as the weight's do"
            return match["owner"], False, f"makes a weight by {said}, {told}; a group override can give it to muon"
    if not whole or match["old"] == "g":
        return match["owner"], False, f"magnitudes of a weight under {said}"
    return match["owner"], True, f"hidden matrix under {said}"


def is_convolution(module: nn.Module) -> bool:
    """Return whether a module is a convolution, a transposed one too."""
    return isinstance(module, (*_KERNELS, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d))


def view_of_kernel(module: nn.Module) -> MatrixView | None:
    """Return how a convolution's weight holds matrices: one (out/groups, in/groups·prod(kernel_size)) per group.

    Args:
        module: the module; a transposed convolution, whose weight is (in, out/groups, *kernel_size), has no such view.
    """
    if isinstance(module, _KERNELS) and not module.transposed:
        return MatrixView(stacked=module.groups, kernel=True)
    return None


def view_of_linear(model: nn.Module, path: str) -> tuple[MatrixView, str]:
    """Return how a linear map holds its matrices, and in words what is split ("" for one matrix).

    Args:
        model: holds the linear map.
        path: path of the linear map in the model.
    """
    linear = model.get_submodule(path)
    transposed = is_conv1d(linear)
    # Quantized weights are packed, so their shapes do not show it.
    outputs: Any = getattr(linear, "nf" if transposed else "out_features", None)
    if not isinstance(outputs, int):
        return PLAIN, ""
    parent_path, _, child = _PEFT_WRAPPING.sub("", path).rpartition(".")
    parent = model.get_submodule(parent_path)
    sections, periods, said = _fused(parent, child, outputs)
    if sections:
        return MatrixView(sections, periods, transposed=transposed), said
    return (MatrixView(transposed=True) if transposed else PLAIN), ""


def _fused(parent: Any, child: str, outputs: int) -> tuple[tuple[int, ...], int, str]:
    """Return (sections, periods, what they are) of a linear map that its parent splits; no sections if it does not."""
    half = (outputs // 2, outputs // 2)
    if child in _GATED_PAIRS and 2 * half[0] == outputs:
        taken = getattr(getattr(parent, _GATED_PAIRS[child], None), "in_features", None)
        if child == "gate_up_proj" or taken == half[0]:
            return half, 1, "gate and up split"
    groups, key_width = (getattr(parent, name, None) for name in ("num_k_heads", "head_k_dim"))
    if groups and key_width:  # DeltaNet of Qwen3-Next (interleaved per key head) and Qwen3.5 (one after the other)
        per_group = parent.num_v_heads // groups
        value_width = per_group * parent.head_v_dim
        stated = {
            "in_proj_qkvz": (
                (key_width, key_width, value_width, value_width),
                groups,
                "query, key, value and gate split",
            ),
            "in_proj_ba": ((per_group, per_group), groups, "beta and decay split"),
            "in_proj_qkv": (
                (groups * key_width, groups * key_width, groups * value_width),
                1,
                "query, key and value split",
            ),
        }
        sections, periods, said = stated.get(child, ((), 1, ""))
        if sum(sections) * periods == outputs:
            return sections, periods, said
    if child == "qkv_proj" and hasattr(parent, "slope_rate"):  # MiniMax's lightning attention: [q k v] per head
        width, heads = int(parent.head_dim), int(parent.num_attention_heads)
        if 3 * width * heads == outputs:
            return (width, width, width), heads, "query, key and value split"
    inner, state = (getattr(parent, name, None) for name in ("intermediate_size", "ssm_state_size"))
    if isinstance(inner, int) and isinstance(state, int):
        return _state_space(parent, child, outputs, inner, state)
    short = getattr(parent, "conv", None)
    if child == "in_proj" and isinstance(short, nn.Conv1d) and 3 * short.in_channels == 3 * short.groups == outputs:
        return (outputs // 3,) * 3, 1, "B, C and x split"  # LFM2's gated short convolution
    return (), 1, ""


def _state_space(parent: Any, child: str, outputs: int, inner: int, state: int) -> tuple[tuple[int, ...], int, str]:
    groups, heads = (getattr(parent, name, None) for name in ("n_groups", "num_heads"))
    if child == "in_proj" and groups and heads:  # Mamba-2
        sections = (inner, inner, groups * state, groups * state, heads)
        if sum(sections) == outputs:
            return sections, 1, "gate, x, B, C and dt split"
    if child == "in_proj" and hasattr(parent, "x_proj") and outputs == 2 * inner:  # Mamba
        return (inner, inner), 1, "x and gate split"
    if child == "in_proj" and hasattr(parent, "x_proj_weight") and outputs == 2 * inner:  # Zamba: output by output
        return (1, 1), inner, "x and gate split"
    rank = getattr(parent, "time_step_rank", None)
    if child == "x_proj" and isinstance(rank, int) and outputs == rank + 2 * state:
        return (rank, state, state), 1, "dt, B and C split"
    return (), 1, ""


def view_of_experts(model: nn.Module, name: str) -> tuple[MatrixView, int, str] | None:
    """Return how a parameter holds the matrices of several experts, how many experts, and what of each is split.

    Args:
        model: holds the parameter.
        name: name of the parameter in the model.

    Returns:
        None if the parameter's module is not known to hold experts.
    """
    path, _, own = name.rpartition(".")
    module: Any = model.get_submodule(path)
    parameter = model.get_parameter(name)
    stacked = getattr(module, "moe_num_experts", None)
    if parameter.ndim == 2 and stacked and {"w1", "v1", "w2"} <= module._parameters.keys():
        # DBRX: w1 and v1 are used as (ffn, hidden) of each expert, w2 as its (ffn in, hidden out).
        return MatrixView(transposed=own == "w2", stacked=stacked), stacked, ""
    if parameter.ndim != 3:
        return None
    experts = parameter.shape[0]
    counts = (getattr(module, field, None) for field in _EXPERT_COUNTS)
    if experts in counts or hasattr(module, "is_transposed") or _is_grouped(module):
        transposed = _stores_in_out(module)
        outputs = parameter.shape[2] if transposed else parameter.shape[1]
        sections, periods = _gate_and_up(model, path, own, outputs)
        view = MatrixView(sections, periods, transposed=transposed)
        return view, experts, "gate and up split" if sections else ""
    return None


def _gate_and_up(model: nn.Module, path: str, own: str, outputs: int) -> tuple[tuple[int, ...], int]:
    """Return the sections and periods of an expert's outputs; no sections where they are one matrix."""
    module: Any = model.get_submodule(path)
    if _FUSED_GATE_UP_NAME.search(own):
        # Modules that transformers' `use_experts_implementation` decorated say how they store their weights.
        if not getattr(module, "has_gate", True):
            return (), 1
        if not getattr(module, "is_concatenated", not _alternates(module, outputs)):
            return (1, 1), outputs // 2
        return (outputs // 2, outputs // 2), 1
    parent_path, _, child = path.rpartition(".")
    following = "fc2" if child == "fc1" and _is_grouped(module) else _GATED_PAIRS.get(child)
    if own == "weight" and following is not None:  # JetMoE: each side is a module of its own, stored (E, out, in)
        after: Any = getattr(model.get_submodule(parent_path), following, None)
        taken = getattr(after, "weight", None)
        inputs = 1 if _is_grouped(after) else 2
        if isinstance(taken, torch.Tensor) and taken.ndim == 3 and 2 * taken.shape[inputs] == outputs:
            return (outputs // 2, outputs // 2), 1
    return (), 1


def _alternates(module: Any, outputs: int) -> bool:
    """Return whether gate and up take turns, output by output, in experts of older transformers that do not say so."""
    if not hasattr(module, "_apply_gate"):
        return False
    with torch.enable_grad():
        both = torch.ones(1, outputs, requires_grad=True)
        (gradient,) = torch.autograd.grad(module._apply_gate(both)[0, 0], both)
    return bool(gradient[0, 1] != 0)


def _is_grouped(module: Any) -> bool:
    """Return whether a module holds one side of all experts, (E, in, out), as Aria's in older transformers."""
    sizes = [getattr(module, name, None) for name in ("groups", "in_features", "out_features")]
    return None not in sizes and sizes == list(getattr(getattr(module, "weight", None), "shape", ()))


def _stores_in_out(module: nn.Module) -> bool:
    """Return whether experts are stored (E, in, out): by the module's own attribute, otherwise by its shapes."""
    stated = getattr(module, "is_transposed", None)
    if stated is not None:
        return bool(stated)
    if _is_grouped(module):
        return True
    gate_up, down = getattr(module, "gate_up_proj", None), getattr(module, "down_proj", None)
    if isinstance(gate_up, nn.Parameter) and isinstance(down, nn.Parameter):
        # Of (E, 2·I, H), (E, H, I) and (E, H, 2·I), (E, I, H) only the second has these sizes in common (Llama 4).
        return gate_up.shape[2] == 2 * down.shape[1] and gate_up.shape[1] == down.shape[2]
    return False
