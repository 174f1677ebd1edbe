"""Each head's max logit by brute force, on operands that are rebuilt from the projections' own outputs."""

import sys
from typing import Any

import reference
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


def operands(model: PreTrainedModel, batch: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor, float]]:
    """Return {module name: (query, key, scaling)} of one forward, from the projections' outputs and the model's own
    rotary function; the attention interface has no part in it."""
    modules = {name: module for name, module in model.named_modules() if name.endswith("self_attn")}
    outputs: dict[str, dict[str, Tensor]] = {name: {} for name in modules}
    positions: dict[str, tuple[Tensor, Tensor]] = {}
    handles = []
    for name, module in modules.items():

        def keep_positions(_: nn.Module, args: Any, kwargs: dict[str, Any], name: str = name) -> None:
            positions[name] = kwargs["position_embeddings"]

        handles.append(module.register_forward_pre_hook(keep_positions, with_kwargs=True))
        for child, submodule in module.named_children():

            def keep_output(_: nn.Module, args: Any, output: Tensor, name: str = name, child: str = child) -> None:
                outputs[name][child] = output

            handles.append(submodule.register_forward_hook(keep_output))
    try:
        with torch.no_grad():
            model(**batch)
            return {name: _rebuild(modules[name], outputs[name], positions[name]) for name in modules}
    finally:
        for handle in handles:
            handle.remove()


def _rebuild(module: nn.Module, output: dict[str, Tensor], positions: Any) -> tuple[Tensor, Tensor, float]:
    modeling = sys.modules[type(module).__module__]
    batch, length = output["o_proj"].shape[:2]
    if "kv_b_proj" not in output:
        query, key = (output[name].view(batch, length, -1, module.head_dim).mT.mT for name in ("q_proj", "k_proj"))
        query, key = modeling.apply_rotary_pos_emb(query.transpose(1, 2), key.transpose(1, 2), *positions)
        return query, key, module.scaling
    nope, rope = module.qk_nope_head_dim, module.qk_rope_head_dim
    query = output.get("q_b_proj", output.get("q_proj")).view(batch, length, -1, nope + rope).transpose(1, 2)
    key = output["kv_b_proj"].view(batch, length, query.shape[1], nope + module.v_head_dim).transpose(1, 2)[..., :nope]
    rotary_key = output["kv_a_proj_with_mqa"][:, None, :, -rope:]
    rotary_query, rotary_key = modeling.apply_rotary_pos_emb_interleave(query[..., nope:], rotary_key, *positions)
    query = torch.cat((query[..., :nope], rotary_query), dim=-1)
    return query, torch.cat((key, rotary_key.expand(*key.shape[:-1], rope)), dim=-1), module.scaling


def brute_force(
    model: PreTrainedModel, batch: dict[str, Tensor], documents: Tensor | None = None, causal: bool = True
) -> dict[str, Tensor]:
    attention_mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))
    truth = {}
    for name, (query, key, scaling) in operands(model, batch).items():
        module = model.get_submodule(name)
        config_window = getattr(module.config, "sliding_window", None)
        window = getattr(module, "sliding_window", config_window)  # the module knows better: layers may differ
        allowed = reference.allowed_pairs(attention_mask, causal, window, documents)
        truth[name] = reference.max_logits(query, key, scaling, allowed)
    return truth
