"""Floating-point operations of training and inference with Kimi K2's architecture, by arithmetic from a configuration.

    python -m hf_muonclip.kimi_k2.flops                  # Kimi K2: a token by parts, and what 128 heads would cost
    python -m hf_muonclip.kimi_k2.flops CONFIG.JSON

A product of (m, k) and (k, n) counts 2·m·k·n operations, a multiplication and an addition each, as
`torch.utils.flop_counter` counts and as arXiv 2001.08361 (section 2.1) does. Only products count: norms, rotary
embeddings, softmax, activations, the choice of experts and the lookup in the embedding matrix are left out. Counted
this way, a weight costs a token 2 operations, and training takes three times the forward, because backward multiplies
once for the gradient of each of a product's two factors; nothing here recomputes activations.

What attention costs depends on how many keys a token meets and on the form of multi-head latent attention
(arXiv 2405.04434, section 2.1 and appendix C); `token_flops` has both as arguments. Multi-token prediction is not
counted.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from transformers import DeepseekV3Config

    Config = DeepseekV3Config | Mapping[str, Any]

Mla = Literal["expanded", "absorbed", "expanded again"]
MODEL_TYPES = ("deepseek_v3", "kimi_k2")
KIMI_K2_ACTIVE = 32.6e9  # parameters that one token uses, as the paper's table of architectures has them


@dataclass(frozen=True)
class Sizes:
    """The fields of a configuration that decide how much is multiplied, by their names there."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    first_k_dense_replace: int
    intermediate_size: int
    moe_intermediate_size: int
    n_routed_experts: int
    num_experts_per_tok: int
    n_shared_experts: int
    num_attention_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int


@dataclass(frozen=True)
class Flops:
    """Operations by part of the model, summed over its layers.

    Attributes:
        projections: attention's projections: query, latent, keys and values from the latent, output.
        scores: queries times keys.
        values: attention weights times values.
        dense_mlp: the MLPs of layers without experts.
        router: hidden states times the experts' centroids.
        experts: the routed ones that a token is sent to.
        shared_experts: those that every token meets.
        output_head: hidden states times the vocabulary.
    """

    projections: float
    scores: float
    values: float
    dense_mlp: float
    router: float
    experts: float
    shared_experts: float
    output_head: float

    @property
    def total(self) -> float:
        """Sum of all parts."""
        return float(sum(asdict(self).values()))

    @property
    def weights(self) -> float:
        """Sum of all parts but `scores` and `values`; for one token, twice the weights that it is multiplied with.

        The output head is among them and the embedding matrix is not: for Kimi K2 2 x 31.7B, without either 2 x 30.5B.
        """
        return self.total - self.scores - self.values

    def __mul__(self, factor: float) -> "Flops":
        """Return every part multiplied by a number."""
        return Flops(**{name: part * factor for name, part in asdict(self).items()})


@dataclass(frozen=True)
class HeadCost:
    """What one token's forward costs with the heads as they are and with another number of them.

    Attributes:
        convention: what was counted, in words.
        before: operations with the configuration's heads.
        after: operations with the other number.
    """

    convention: str
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """`after` over `before`."""
        return self.after / self.before


def sizes_of(config: "Config") -> Sizes:
    """Read the sizes from a `DeepseekV3Config` or from the content of a `config.json`.

    Raises:
        ValueError: the configuration is of another architecture, or a size is missing or not a whole number above 0.
    """
    given = config if isinstance(config, Mapping) else config.to_dict()
    if given.get("model_type") not in MODEL_TYPES:
        raise ValueError(
            f"model_type must be one of {MODEL_TYPES}, whose latent attention and experts are what is counted here; "
            f"got {given.get('model_type')!r}. Nothing is known of another architecture's products."
        )
    names = [field.name for field in fields(Sizes)]
    if missing := [name for name in names if name not in given]:
        raise ValueError(f"The configuration must have the fields {missing}. Pass a complete config.json.")
    for name in names:
        size = given[name]
        if name == "q_lora_rank" and size is None:
            continue
        least = 0 if name in ("first_k_dense_replace", "n_shared_experts") else 1
        if not isinstance(size, int) or isinstance(size, bool) or size < least:
            raise ValueError(f"{name} must be a whole number, at least {least}, got {size!r}. Correct the config.")
    if given["first_k_dense_replace"] > given["num_hidden_layers"]:
        raise ValueError(
            f"first_k_dense_replace must not exceed num_hidden_layers = {given['num_hidden_layers']}, got "
            f"{given['first_k_dense_replace']}. Correct the config."
        )
    if given["num_experts_per_tok"] > given["n_routed_experts"]:
        raise ValueError(
            f"num_experts_per_tok must not exceed n_routed_experts = {given['n_routed_experts']}, got "
            f"{given['num_experts_per_tok']}. Correct the config."
        )
    if given.get("moe_layer_freq", 1) != 1:
        raise ValueError(
            f"moe_layer_freq must be 1, experts in every layer after the first_k_dense_replace dense ones; got "
            f"{given['moe_layer_freq']!r}. transformers builds no other models of this architecture."
        )
    return Sizes(**{name: given[name] for name in names})


def token_flops(config: "Config | Sizes", keys: float, mla: Mla = "expanded") -> Flops:
    """Count the forward of one token that attends to `keys` keys.

    Args:
        config: see `sizes_of`.
        keys: number of keys, including the token's own; the mean where it differs between tokens.
        mla: "expanded" multiplies with every head's own keys and values, which each token expands from its latent once
            (training, prefill, and decoding with a cache of keys and values). "absorbed" stays in the latent space
            that all heads share: the up-projections act on the query and on the head's output, scores take
            kv_lora_rank + qk_rope_head_dim operands and values kv_lora_rank (decoding with a cache of latents in
            vLLM and SGLang). "expanded again" expands the latents of all keys for this one token (decoding in
            transformers 5.24, whose cache holds latents).

    Raises:
        ValueError: see `sizes_of`; or `keys` is below 1, or `mla` is none of the three.
    """
    s = config if isinstance(config, Sizes) else sizes_of(config)
    if keys < 1:
        raise ValueError(f"keys must be at least 1, the token's own, got {keys}. Give the context length.")
    qk_head_dim = s.qk_nope_head_dim + s.qk_rope_head_dim
    if s.q_lora_rank is None:
        query = s.hidden_size * s.num_attention_heads * qk_head_dim
    else:
        query = s.q_lora_rank * (s.hidden_size + s.num_attention_heads * qk_head_dim)
    latent = s.hidden_size * (s.kv_lora_rank + s.qk_rope_head_dim)
    # Absorbed, the same weights turn the query into latent space and the output out of it: as many operations.
    expansion = s.kv_lora_rank * s.num_attention_heads * (s.qk_nope_head_dim + s.v_head_dim)
    output = s.num_attention_heads * s.v_head_dim * s.hidden_size
    score_dim, value_dim, expansions = qk_head_dim, s.v_head_dim, 1.0
    if mla == "absorbed":
        score_dim, value_dim = s.kv_lora_rank + s.qk_rope_head_dim, s.kv_lora_rank
    elif mla == "expanded again":
        expansions = keys
    elif mla != "expanded":
        raise ValueError(f'mla must be "expanded", "absorbed" or "expanded again", got {mla!r}.')
    layers, moe_layers = s.num_hidden_layers, s.num_hidden_layers - s.first_k_dense_replace
    return Flops(
        projections=2 * layers * (query + latent + expansions * expansion + output),
        scores=2 * layers * s.num_attention_heads * score_dim * keys,
        values=2 * layers * s.num_attention_heads * value_dim * keys,
        dense_mlp=2 * s.first_k_dense_replace * 3 * s.hidden_size * s.intermediate_size,
        router=2 * moe_layers * s.hidden_size * s.n_routed_experts,
        experts=2 * moe_layers * s.num_experts_per_tok * 3 * s.hidden_size * s.moe_intermediate_size,
        shared_experts=2 * moe_layers * s.n_shared_experts * 3 * s.hidden_size * s.moe_intermediate_size,
        output_head=2 * s.hidden_size * s.vocab_size,
    )


def mean_keys(context: int) -> float:
    """Return the mean number of keys over a context's tokens behind a causal mask, each token's own among them.

    Raises:
        ValueError: the context is below 1.
    """
    if context < 1:
        raise ValueError(f"context must be at least 1 token, got {context}.")
    return (context + 1) / 2


def training_flops(config: "Config", tokens: float, context: int, causal: bool = True) -> Flops:
    """Count forward and backward of training on tokens in sequences of `context`, without the optimizer.

    Args:
        config: see `sizes_of`.
        tokens: number of tokens trained on.
        context: tokens per sequence.
        causal: count the pairs that a causal mask lets through, as FlashAttention multiplies; False counts the whole
            square, as eager attention multiplies.

    Raises:
        ValueError: see `token_flops` and `mean_keys`.
    """
    return token_flops(config, mean_keys(context) if causal else context) * (3 * tokens)


def prefill_flops(config: "Config", context: int, causal: bool = True) -> Flops:
    """Count the forward of a prompt of `context` tokens, with the output head for its last token alone.

    Args:
        config: see `sizes_of`.
        context: length of the prompt, in tokens.
        causal: see `training_flops`.

    Raises:
        ValueError: see `token_flops` and `mean_keys`.
    """
    one = token_flops(config, mean_keys(context) if causal else context)
    return replace(one * context, output_head=one.output_head)


def decode_flops(config: "Config", context: int, mla: Mla = "absorbed") -> Flops:
    """Count the forward of one new token, the last of `context`; see `token_flops`."""
    return token_flops(config, context, mla)


def head_costs(config: "Config", heads: int, context: int, active: float | None = None) -> list[HeadCost]:
    """Compare the configuration with one that has another number of attention heads, under each way to count.

    The paper (arXiv 2507.20534, section 2.3) says that 128 heads instead of 64 cost 83% more inference operations at a
    context of 128k, and not how it counts. Its figure follows, as 1.831, from the published configuration when the
    weights' operations are held at 2 x 32.6B, as if heads had no projections, and every token meets 128,000 keys. Held
    at the weights that are multiplied (31.7B: without the embedding matrix) it is 1.835; 131,072 keys give 1.834.

    Args:
        config: see `sizes_of`.
        heads: the other number of heads.
        context: in tokens.
        active: parameters that a token uses, to hold its operations at twice them; those of the configuration if None.

    Returns:
        The paper's way first.

    Raises:
        ValueError: see `token_flops` and `mean_keys`; or `heads` is below 1.
    """
    if heads < 1:
        raise ValueError(f"heads must be at least 1, got {heads}.")
    before = sizes_of(config)
    after = replace(before, num_attention_heads=heads)

    def counted(keys: float, mla: Mla) -> tuple[float, float]:
        return token_flops(before, keys, mla).total, token_flops(after, keys, mla).total

    few, many = (token_flops(sizes, context) for sizes in (before, after))
    held = few.weights if active is None else 2 * active
    named = "the weights" if active is None else f"2 x {active / 1e9:g}B"
    return [
        HeadCost(f"{named} held fixed, all keys", held + few.scores + few.values, held + many.scores + many.values),
        HeadCost("all keys", *counted(context, "expanded")),
        HeadCost("causal mean (training, prefill)", *counted(mean_keys(context), "expanded")),
        HeadCost("absorbed decode", *counted(context, "absorbed")),
        HeadCost("decode that expands latents again", *counted(context, "expanded again")),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print a token's operations by part at several contexts, and what another number of heads would cost.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        The exit code: 0.
    """
    parser = argparse.ArgumentParser(prog="python -m hf_muonclip.kimi_k2.flops", description=main.__doc__)
    parser.add_argument("config", nargs="?", default="full", help="a config.json or the name of a preset [full]")
    parser.add_argument("--contexts", type=int, nargs="+", default=[4096, 32768, 128000, 131072], metavar="TOKENS")
    parser.add_argument("--heads", type=int, help="to compare with; twice the configuration's unless given")
    arguments = parser.parse_args(argv)
    try:
        config = _read_config(arguments.config)
        active = KIMI_K2_ACTIVE if arguments.config == "full" else None
        own_heads = sizes_of(config).num_attention_heads
        heads = 2 * own_heads if arguments.heads is None else arguments.heads
        parts = [
            _parts_table(
                "One token's forward, causal mean (training: 3 times)",
                {context: token_flops(config, mean_keys(context)) for context in arguments.contexts},
            ),
            _parts_table(
                "One token's forward, absorbed decode",
                {context: decode_flops(config, context) for context in arguments.contexts},
            ),
        ]
        compared = {context: head_costs(config, heads, context, active) for context in arguments.contexts}
    except (OSError, ValueError) as error:
        parser.error(str(error))
    console = Console()
    for table in parts:
        console.print(table)
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"One token's forward, {heads} heads instead of {own_heads}",
        title_justify="left",
    )
    table.add_column("counted")
    for context in arguments.contexts:
        table.add_column(f"{context:,}", justify="right")
    for row in zip(*compared.values(), strict=True):
        table.add_row(row[0].convention, *(f"{cost.ratio - 1:+.1%}" for cost in row))
    console.print(table)
    return 0


def _read_config(name: str) -> "Config":
    """Return a preset, or the content of a file."""
    from .presets import PRESETS, kimi_k2_config

    if name in PRESETS:
        return kimi_k2_config(name)
    if not Path(name).is_file():
        raise ValueError(f"config must be a config.json or one of the presets {sorted(PRESETS)}, got {name!r}.")
    content = json.loads(Path(name).read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{name} must hold a JSON object, as config.json does; it holds a {type(content).__name__}.")
    return content


def _parts_table(title: str, counted: Mapping[int, Flops]) -> Table:
    """Return a table with a row for every part and a column for every context."""
    factor, prefix = (1e9, "G") if max(flops.total for flops in counted.values()) >= 1e9 else (1e6, "M")
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", show_footer=True)
    table.add_column(f"{prefix}FLOP", footer="total")
    for context, flops in counted.items():
        table.add_column(f"{context:,}", footer=f"{flops.total / factor:,.2f}", justify="right")
    for name in asdict(next(iter(counted.values()))):
        cells = [f"{getattr(flops, name) / factor:,.2f}" for flops in counted.values()]
        table.add_row(name.replace("_", " "), *cells)
    return table


if __name__ == "__main__":
    raise SystemExit(main())
