"""A tiny language model whose layers attend as code of one's own does: outside of transformers' own modules.

Every layer keeps the true maximum of its heads, taken from its queries and keys by products of its own.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812, the field's name for it
from torch import Tensor, nn
from transformers import LlamaConfig, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

WIDTH, HEADS, HEAD_DIM = 32, 4, 8


class OwnConfig(PretrainedConfig):
    model_type = "own_attention"


class OwnLayer(nn.Module):
    """Projects queries, keys and values, and hands them to `attend`."""

    def __init__(self, config: OwnConfig) -> None:
        super().__init__()
        self.config, self.is_causal = config, True
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.truth = torch.full((HEADS,), -torch.inf)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (
            projection(states).unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        self.remember(q, k, mask)
        return self.o_proj(self.attend(q, k, v, mask).transpose(1, 2).flatten(2))

    def remember(self, q: Tensor, k: Tensor, mask: Tensor) -> None:
        """Keep the true maximum, loop by loop."""
        if torch.is_grad_enabled() and self.training:
            allowed = (mask == 0).expand(len(q), 1, -1, -1)[:, 0]
            pairs = torch.stack(
                [(q[:, h].detach().double() @ k[:, h].detach().double().mT)[allowed].max() for h in range(HEADS)]
            )
            self.truth = torch.maximum(self.truth, (pairs * HEAD_DIM**-0.5).float())

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        raise NotImplementedError


def eager(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float
) -> tuple[Tensor, None]:
    scores = (query @ key.transpose(2, 3)) * scaling + mask
    return (torch.softmax(scores, dim=-1) @ value).transpose(1, 2), None


def mix(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) * HEAD_DIM**-0.5
    return torch.einsum("bhqk,bhkd->bhqd", (scores + mask).softmax(-1), value)


@torch.jit.script
def scripted(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    return torch.softmax(query @ key.transpose(2, 3) * 0.35355339 + mask, dim=-1) @ value


class LooksUp(OwnLayer):
    """As most code written for transformers 4.48 to 4.57."""

    num_heads, head_dim = HEADS, HEAD_DIM

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        attention: Any = eager
        if self.config._attn_implementation != "eager":
            attention = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
        return attention(self, q, k, v, mask, scaling=HEAD_DIM**-0.5)[0].transpose(1, 2)


class Mixer(OwnLayer):
    """Calls a function of its file, says nowhere how many heads it has, and is not called attention."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return mix(q, k, v, mask)


class Switching(OwnLayer):
    """Attends in training alone."""

    num_heads, head_dim = HEADS, HEAD_DIM

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return mix(q, k, v, mask) if self.training else v + 0 * (q + k)


class Scripted(OwnLayer):
    """Attends in TorchScript, whose calls no mode of Python sees."""

    num_heads, head_dim = HEADS, HEAD_DIM

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return scripted(q, k, v, mask)


class Functional(OwnLayer):
    """Calls torch's function with separate weights."""

    num_heads = HEADS

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        q, k = (p(states).unflatten(-1, (HEADS, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj))
        self.remember(q, k, mask)
        first = states.transpose(0, 1)
        attended, _ = F.multi_head_attention_forward(
            first, first, first, WIDTH, HEADS, None, None, None, None, False, 0.0, self.o_proj.weight, None,
            attn_mask=mask[0, 0], use_separate_proj_weight=True, q_proj_weight=self.q_proj.weight,
            k_proj_weight=self.k_proj.weight, v_proj_weight=self.v_proj.weight,
        )  # fmt: skip
        return attended.transpose(0, 1)


class OwnModel(PreTrainedModel):
    """Layers of one's own, beside one of Llama's if asked for; its forward cannot do without labels."""

    config_class, base_model_prefix, _supports_sdpa = OwnConfig, "model", True

    def __init__(self, config: OwnConfig, *kinds: type[OwnLayer], native: bool = False) -> None:
        super().__init__(config)
        self.embed, self.lm_head = nn.Embedding(50, WIDTH), nn.Linear(WIDTH, 50, bias=False)
        self.layers = nn.ModuleList(kind(config) for kind in kinds)
        self.native = None
        if native:
            sizes = {"hidden_size": WIDTH, "intermediate_size": 48, "num_attention_heads": HEADS}
            own = LlamaConfig(**sizes, attn_implementation="sdpa")
            self.native, self.rotary = LlamaDecoderLayer(own, 0), LlamaRotaryEmbedding(own)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embed

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def forward(self, input_ids: Tensor, labels: Any = None) -> CausalLMOutput:
        states, length = self.embed(input_ids), input_ids.shape[1]
        if self.native is not None:
            states = self.native(states, position_embeddings=self.rotary(states, torch.arange(length)[None]))
        mask = torch.full((length, length), -1e9).triu(1)[None, None]
        for layer in self.layers:
            states = states + layer(states, mask)
        logits = self.lm_head(states)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits)


def own_model(*kinds: type[OwnLayer], native: bool = False, attn_implementation: str = "eager") -> OwnModel:
    """Return a model in training mode whose queries and keys are large."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = OwnModel(OwnConfig(attn_implementation=attn_implementation), *kinds, native=native)
        with torch.no_grad():
            for layer in model.layers:
                layer.q_proj.weight.normal_(std=0.5)  # type: ignore[operator, union-attr]
                layer.k_proj.weight.normal_(std=0.5)  # type: ignore[operator, union-attr]
            model.embed.weight.normal_()
    return model.train()


def own_tokens() -> Tensor:
    """Return (2, 12) tokens."""
    return torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(0))
