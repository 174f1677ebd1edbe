"""Kimi K2 from scratch: the architecture in one file of plain PyTorch, small enough to read in one sitting.

Kimi K2 (arXiv 2507.20534) is DeepSeek-V3 (arXiv 2412.19437) with more experts and fewer heads: a decoder whose
attention keeps one short latent per token instead of keys and values (MLA, arXiv 2405.04434), and whose feed-forward
layers are mixtures of experts, of which every token uses a few.

Modules and parameters have the names of transformers' `DeepseekV3ForCausalLM`, so a state dict of one loads into the
other, and `tests/examples/test_kimi_k2_from_scratch.py` holds both to the same logits and the same gradients. What is
left out is what Kimi K2 does not use at this size: expert groups (n_group = 1), YaRN, dropout, a query without
compression.

Shapes: B sequences of T tokens, S keys (T and those in the cache), H heads, N = B·T tokens, E experts.
"""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812, the field's name for it
from torch import Tensor, nn


@dataclass(frozen=True)
class KimiK2Config:
    """Sizes, under transformers' names. The comments give Kimi K2's own."""

    vocab_size: int  # 163,840
    hidden_size: int = 128  # 7168
    num_hidden_layers: int = 4  # 61
    num_attention_heads: int = 4  # 64
    q_lora_rank: int = 64  # 1536, of the query's latent
    kv_lora_rank: int = 48  # 512, of the latent that keys and values share
    qk_nope_head_dim: int = 32  # 128, of a head's query and key without position
    qk_rope_head_dim: int = 16  # 64, of the part with position
    v_head_dim: int = 32  # 128
    intermediate_size: int = 256  # 18,432, of the dense layers
    first_k_dense_replace: int = 1  # 1: so many layers in front are dense
    moe_intermediate_size: int = 64  # 2048, of one expert
    n_routed_experts: int = 8  # 384
    num_experts_per_tok: int = 2  # 8
    n_shared_experts: int = 1  # 1
    routed_scaling_factor: float = 2.827  # 2.827
    rope_theta: float = 50_000.0  # 50,000
    rms_norm_eps: float = 1e-6
    initializer_range: float = 0.02
    max_position_embeddings: int = 512  # 131,072
    tie_word_embeddings: bool = False  # False


class RMSNorm(nn.Module):
    """x / rms(x) · gain, without a mean and without a bias (arXiv 1910.07467)."""

    def __init__(self, size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()  # also where the model runs in bfloat16
        normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * normed.to(x.dtype)


def rotate(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """Rotary embedding (arXiv 2104.09864): turn each pair of dimensions by an angle that grows with the position.

    Two turned vectors have a product that depends on the distance of their positions alone. DeepSeek's pairs are
    neighbours, (x0, x1), (x2, x3), ...; the turned ones come out as all firsts, then all seconds. Queries and keys are
    reordered alike, so their products do not notice.

    Args:
        x: (B, heads, T, D).
        positions: (T,).
        theta: pair i turns by position · theta^(-2i / D).
    """
    frequencies = theta ** -(torch.arange(0, x.shape[-1], 2, device=x.device).float() / x.shape[-1])
    angles = positions[:, None].float() * frequencies  # (T, D / 2)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x[..., 0::2], x[..., 1::2]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class LatentCache:
    """What MLA keeps of the tokens before: of each layer one latent and one rotary key per token, not per head.

    Kimi K2 keeps 512 + 64 numbers per token and layer. Its 64 heads' keys and values would be 64 · (192 + 128).
    """

    def __init__(self) -> None:
        self.layers: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return next(iter(self.layers.values()))[0].shape[1] if self.layers else 0

    def extend(self, layer: nn.Module, latent: Tensor, key_rope: Tensor) -> tuple[Tensor, Tensor]:
        if layer in self.layers:
            latent = torch.cat([self.layers[layer][0], latent], dim=1)
            key_rope = torch.cat([self.layers[layer][1], key_rope], dim=2)
        self.layers[layer] = latent, key_rope
        return latent, key_rope


class MultiHeadLatentAttention(nn.Module):
    """MLA (arXiv 2405.04434, section 2.1): queries, keys and values are expanded from short latents.

        c_q = norm(W_DQ h)                  q_h = [W_UQ_h c_q ; rope(W_QR_h c_q)]
        [c_kv ; k_r] = W_DKV h              k_h = [W_UK_h norm(c_kv) ; rope(k_r)]      v_h = W_UV_h norm(c_kv)

    A rotation between the latent and the key would have to be undone for every distance, so position has a part of its
    own: k_r, the rotary key, is made from h itself and is one for all heads. That is why QK-Clip leaves it alone.

    Attributes:
        max_logits: (H,), the largest scaled q·k of each head over all pairs that attend, since QK-Clip last looked.
            Kept in training only: S_max of Kimi K2's Algorithm 1.
    """

    def __init__(self, config: KimiK2Config) -> None:
        super().__init__()
        self.num_heads, heads = config.num_attention_heads, config.num_attention_heads
        self.qk_nope_head_dim, self.qk_rope_head_dim = config.qk_nope_head_dim, config.qk_rope_head_dim
        self.kv_lora_rank, self.v_head_dim = config.kv_lora_rank, config.v_head_dim
        self.rope_theta = config.rope_theta
        qk_head_dim = config.qk_nope_head_dim + config.qk_rope_head_dim
        self.q_a_proj = nn.Linear(config.hidden_size, config.q_lora_rank, bias=False)  # W_DQ
        self.q_a_layernorm = RMSNorm(config.q_lora_rank)
        # Rows, head after head: [W_UQ_h | W_QR_h].
        self.q_b_proj = nn.Linear(config.q_lora_rank, heads * qk_head_dim, bias=False)
        # Rows: [the latent | the rotary key of all heads].
        self.kv_a_proj_with_mqa = nn.Linear(
            config.hidden_size, config.kv_lora_rank + config.qk_rope_head_dim, bias=False
        )
        self.kv_a_layernorm = RMSNorm(config.kv_lora_rank)
        # Rows, head after head: [W_UK_h | W_UV_h].
        self.kv_b_proj = nn.Linear(
            config.kv_lora_rank, heads * (config.qk_nope_head_dim + config.v_head_dim), bias=False
        )
        self.o_proj = nn.Linear(heads * config.v_head_dim, config.hidden_size, bias=False)
        self.scaling = qk_head_dim**-0.5
        self.register_buffer("max_logits", torch.full((heads,), -torch.inf), persistent=False)

    def forward(self, hidden: Tensor, positions: Tensor, attends: Tensor, cache: LatentCache | None) -> Tensor:
        query = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(hidden)))
        query = query.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, H, T, nope + rope)
        query_nope, query_rope = query.split([self.qk_nope_head_dim, self.qk_rope_head_dim], dim=-1)

        latent, key_rope = self.kv_a_proj_with_mqa(hidden).split([self.kv_lora_rank, self.qk_rope_head_dim], dim=-1)
        latent = self.kv_a_layernorm(latent)  # (B, T, kv_lora_rank)
        key_rope = rotate(key_rope.unsqueeze(1), positions, self.rope_theta)  # (B, 1, T, rope)
        if cache is not None:
            latent, key_rope = cache.extend(self, latent, key_rope)

        # Keys and values of all tokens so far, expanded again: (B, H, S, nope + v).
        key_value = self.kv_b_proj(latent).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        key_nope, value = key_value.split([self.qk_nope_head_dim, self.v_head_dim], dim=-1)
        query = torch.cat([query_nope, rotate(query_rope, positions, self.rope_theta)], dim=-1)
        key = torch.cat([key_nope, key_rope.expand(-1, self.num_heads, -1, -1)], dim=-1)

        scores = (query @ key.mT * self.scaling).float()  # (B, H, T, S)
        scores = scores.masked_fill(~attends, torch.finfo(scores.dtype).min)  # -inf would make padding's rows nan
        if self.training and torch.is_grad_enabled():
            self.max_logits = torch.maximum(self.max_logits, scores.detach().amax(dim=(0, 2, 3)))
        weights = scores.softmax(dim=-1).to(value.dtype)
        return self.o_proj((weights @ value).transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """W_down(silu(W_gate x) * W_up x) (arXiv 2002.05202): the dense layer, and the expert that every token uses."""

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Router(nn.Module):
    """Choose K experts for every token (arXiv 2412.19437, equations 12 to 16).

    Scores are sigmoids, so experts do not compete for a sum of one. The K best by s + b are chosen, where b steers
    against imbalance; their weights are the scores without b, divided by their sum, times a constant.
    """

    def __init__(self, config: KimiK2Config) -> None:
        super().__init__()
        self.top_k, self.scaling = config.num_experts_per_tok, config.routed_scaling_factor
        self.weight = nn.Parameter(torch.empty(config.n_routed_experts, config.hidden_size))
        # No gradient reaches b: after each step it falls where an expert had more than its share of the tokens, and
        # rises where it had less (arXiv 2408.15664).
        self.register_buffer("e_score_correction_bias", torch.zeros(config.n_routed_experts))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = F.linear(x.float(), self.weight.float()).sigmoid()  # (N, E)
        chosen = (scores + self.e_score_correction_bias).topk(self.top_k, dim=-1).indices  # (N, K)
        weights = scores.gather(1, chosen)
        return chosen, weights / weights.sum(dim=-1, keepdim=True) * self.scaling


class Experts(nn.Module):
    """E small SwiGLUs as two stacks of matrices; the gate's and the up-projection's rows lie in one stack."""

    def __init__(self, config: KimiK2Config) -> None:
        super().__init__()
        hidden, inner = config.hidden_size, config.moe_intermediate_size
        self.num_experts = config.n_routed_experts  # tells MuonClip that each stack is so many matrices
        self.gate_up_proj = nn.Parameter(torch.empty(self.num_experts, 2 * inner, hidden))
        self.down_proj = nn.Parameter(torch.empty(self.num_experts, hidden, inner))

    def forward(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        output = torch.zeros_like(x)
        for expert in chosen.unique().tolist():
            tokens, place = torch.where(chosen == expert)
            gate, up = F.linear(x[tokens], self.gate_up_proj[expert]).chunk(2, dim=-1)
            result = F.linear(F.silu(gate) * up, self.down_proj[expert])
            output = output.index_add(0, tokens, (result * weights[tokens, place, None]).to(x.dtype))
        return output


class MixtureOfExperts(nn.Module):
    """The shared expert's output plus that of the chosen ones, weighted."""

    def __init__(self, config: KimiK2Config) -> None:
        super().__init__()
        self.experts, self.gate = Experts(config), Router(config)
        self.shared_experts = SwiGLU(config.hidden_size, config.moe_intermediate_size * config.n_shared_experts)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)  # (N, hidden)
        return self.experts(flat, *self.gate(flat)).view_as(x) + self.shared_experts(x)


class DecoderLayer(nn.Module):
    """h + attention(norm(h)), then h + feed-forward(norm(h))."""

    def __init__(self, config: KimiK2Config, index: int) -> None:
        super().__init__()
        dense = index < config.first_k_dense_replace
        self.self_attn = MultiHeadLatentAttention(config)
        self.mlp = SwiGLU(config.hidden_size, config.intermediate_size) if dense else MixtureOfExperts(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, hidden: Tensor, positions: Tensor, attends: Tensor, cache: LatentCache | None) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), positions, attends, cache)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class Decoder(nn.Module):
    """Embedding, layers, and a last norm."""

    def __init__(self, config: KimiK2Config) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, index) for index in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None, cache: LatentCache | None) -> Tensor:
        past, length = 0 if cache is None else len(cache), input_ids.shape[1]
        positions = torch.arange(past, past + length, device=input_ids.device)
        # Who attends to whom, (B or 1, 1, T, S): a token to itself and to those before it, and padding to nobody.
        attends = (torch.arange(past + length, device=input_ids.device) <= positions[:, None])[None, None]
        if attention_mask is not None:
            real = attention_mask.bool()
            attends = attends & real[:, None, None, :] & real[:, None, past:, None]
        hidden = self.embed_tokens(input_ids)
        for layer in self.layers:
            hidden = layer(hidden, positions, attends, cache)
        return self.norm(hidden)


class Output(NamedTuple):
    logits: Tensor  # (B, T, vocab_size)
    loss: Tensor | None


class KimiK2(nn.Module):
    """The decoder and the language model head."""

    def __init__(self, config: KimiK2Config) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        for parameter in self.parameters():
            if parameter.ndim > 1:  # norm gains stay at one
                nn.init.normal_(parameter, std=config.initializer_range)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        cache: LatentCache | None = None,
    ) -> Output:
        """Predict every next token.

        Args:
            input_ids: (B, T).
            attention_mask: (B, S), 1 for tokens and 0 for padding.
            labels: (B, T), the input's own tokens; -100 where there is nothing to learn. Shifted here.
            cache: of the tokens before; it takes up these as well.
        """
        logits = self.lm_head(self.model(input_ids, attention_mask, cache))
        if labels is None:
            return Output(logits, None)
        return Output(logits, F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten()))

    def get_output_embeddings(self) -> nn.Linear:
        """Tell MuonClip, as transformers' models do, which matrix is the head: AdamW updates it, not Muon."""
        return self.lm_head

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        eos_token_id: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Continue one sequence, (1, T), token by token; temperature 0 takes the likeliest. Ends at the eos token."""
        cache, new = LatentCache(), input_ids
        for _ in range(max_new_tokens):
            logits = self(new, cache=cache).logits[:, -1]
            if top_k is not None:
                worst_kept = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
                logits = logits.masked_fill(logits < worst_kept, -torch.inf)
            if temperature == 0:
                new = logits.argmax(dim=-1, keepdim=True)
            else:
                new = torch.multinomial((logits / temperature).softmax(dim=-1), 1, generator=generator)
            input_ids = torch.cat([input_ids, new], dim=1)
            if new.item() == eos_token_id:
                break
        return input_ids

    def to_transformers(self, **fields: object) -> nn.Module:
        """Return the same model as a `DeepseekV3ForCausalLM`, with more fields of its config, such as eos_token_id."""
        from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

        sizes = asdict(self.config)
        rope = {"rope_type": "default", "rope_theta": sizes.pop("rope_theta")}
        heads = {"num_key_value_heads": self.config.num_attention_heads, "n_group": 1, "topk_group": 1}
        config = DeepseekV3Config(**sizes, **heads, rope_parameters=rope, **{"bos_token_id": None, **fields})
        model = DeepseekV3ForCausalLM(config).to(self.lm_head.weight.dtype)
        model.load_state_dict(self.state_dict())
        return model.train(self.training)
