"""The parameters that the optimizer benchmarks step: those of real models, with random weights and gradients.

There is one set of weights and gradients in memory. Every optimizer gets the same hidden matrices (those that
`MuonClip` gives to Muon) as parameters that share this memory, and holds nothing but its own state. Only matrices whose
rows lie apart in their parameter (heads that take turns in a fused projection) are copied: no 2-D view shows them.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from transformers import (
    DeepseekV3ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from hf_muonclip import MuonClip
from hf_muonclip.kimi_k2 import kimi_k2_config
from hf_muonclip.optim.matrix_view import MatrixView, to_matrices


@dataclass
class Workload:
    """A model's parameters as optimizers take them.

    Attributes:
        model: the matrices share the memory of its parameters.
        matrices: what Muon steps, 2-D.
        stacks: the same, but with all matrices of one parameter as one (count, out, in).
        rest: what AdamW steps.
    """

    name: str
    model: PreTrainedModel
    matrices: list[nn.Parameter]
    stacks: list[nn.Parameter]
    rest: list[nn.Parameter]
    _gradients: list[tuple[nn.Parameter, Tensor]]
    _kept: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def prepare(self) -> None:
        """Give every parameter its gradient again: some optimizers take it away."""
        for parameter, gradient in self._gradients:
            parameter.grad = gradient

    def keep_gradients(self) -> None:
        """Copy the gradients, so that `restore` works; those that share memory once."""
        owners = {gradient.untyped_storage().data_ptr(): gradient for _, gradient in reversed(self._gradients)}
        self._kept = [(gradient, gradient.clone()) for gradient in owners.values()]

    def restore(self) -> None:
        """Write the copied gradients back: some optimizers use them as scratch memory."""
        for gradient, kept in self._kept:
            gradient.copy_(kept)

    def shapes(self) -> Counter[tuple[int, int]]:
        """Return how many matrices of each shape there are."""
        return Counter((matrix.shape[0], matrix.shape[1]) for matrix in self.matrices)


def workload(name: str, model: PreTrainedModel) -> Workload:
    """Draw gradients for a model and cut its hidden matrices apart as `MuonClip` does.

    The parameter that owns a gradient's memory stands before those that share it.
    """
    planned = MuonClip(model, qk_clip_threshold=None)
    matrices: list[nn.Parameter] = []
    stacks: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    gradients: list[tuple[nn.Parameter, Tensor]] = []
    for group in planned.param_groups:
        for parameter_name, parameter in zip(group["param_names"], group["params"], strict=True):
            gradient = torch.randn_like(parameter)
            gradients.append((parameter, gradient))
            if group["algorithm"] != "muon":
                rest.append(parameter)
                continue
            view = planned.views[parameter_name]
            pairs = zip(stacked(parameter.detach(), view), stacked(gradient, view), strict=True)
            for stack, stack_gradient in pairs:
                if stack[0].shape == parameter.shape and stack[0].stride() == parameter.stride():
                    matrices.append(parameter)
                    stacks.append(parameter)
                    continue
                cut = [(nn.Parameter(matrix), piece) for matrix, piece in zip(stack, stack_gradient, strict=True)]
                matrices += [matrix for matrix, _ in cut]
                stacks.append(nn.Parameter(stack))
                gradients += [*cut, (stacks[-1], stack_gradient)]
    made = Workload(name, model, matrices, stacks, rest, gradients)
    made.prepare()
    return made


def stacked(parameter: Tensor, view: MatrixView) -> list[Tensor]:
    """Return a parameter's matrices as stacks (count, out, in), one for each shape."""
    cut = to_matrices(parameter, view)
    return [cut] if isinstance(cut, Tensor) else list(cut)


def random_model(model_class: type[PreTrainedModel], config: PreTrainedConfig, device: str) -> PreTrainedModel:
    """Build a model on the device without running its initialization."""
    with torch.device("meta"):
        model = model_class(config)
    model = model.to_empty(device=device)
    model.tie_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.02)
    return model


def smollm2(device: str) -> Workload:
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    return workload("SmolLM2-135M", random_model(LlamaForCausalLM, config, device))


def qwen3(device: str, layers: int = 28) -> Workload:
    """Qwen3-0.6B, or some of its equal layers: all of them and every peer's state do not fit a small machine."""
    config = Qwen3Config(
        vocab_size=151936,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
    )
    name = "Qwen3-0.6B" if layers == 28 else f"Qwen3-0.6B, {layers} of 28 layers"
    return workload(name, random_model(Qwen3ForCausalLM, config, device))


def kimi_k2_nano(device: str) -> Workload:
    return workload("Kimi K2 nano", random_model(DeepseekV3ForCausalLM, kimi_k2_config("nano"), device))


def kimi_k2_layer(device: str) -> Workload:
    """One MoE layer of Kimi K2 as a rank of its 16-way expert parallelism holds it, without the embeddings' rows."""
    config = kimi_k2_config(
        "full", num_hidden_layers=1, first_k_dense_replace=0, n_routed_experts=384 // 16, vocab_size=1024
    )
    name = "Kimi K2, one layer, 24 of 384 experts"
    return workload(name, random_model(DeepseekV3ForCausalLM, config, device))


WORKLOADS: dict[str, Callable[[str], Workload]] = {
    "smollm2-135m": smollm2,
    "kimi-k2-nano": kimi_k2_nano,
    "qwen3-0.6b": qwen3,
    "qwen3-0.6b-4-layers": partial(qwen3, layers=4),
    "kimi-k2-layer": kimi_k2_layer,
}


def quick(device: str) -> list[str]:
    """Return the keys of the workloads that the device steps within seconds."""
    return list(WORKLOADS) if device == "cuda" else ["smollm2-135m", "kimi-k2-nano"]
