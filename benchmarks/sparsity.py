"""Is a sparser mixture of experts better at equal FLOPs per token, as in Kimi K2's sparsity scaling law?

Four tiny models of Kimi K2's architecture on Shakespeare's plays. Every token uses the same number of experts of the
same size, out of 8, 16, 32 or 64: sparsity, experts over active experts (arXiv 2507.20534, section 2.3), is 4, 8, 16 or
32, and a token costs the same FLOPs but for the router's own product. All see the same batches in the same order,
trained by MuonClip at one rate, and every seed draws other weights and batches. The question is the sign alone: models
of this size say nothing about the law's numbers. They are this small so that a few hundred steps bring sixteen tokens
for every weight that a token uses beside the embeddings; at width 128, with half a token for each, one seed showed no
order (its rows stand in the file too).

    OMP_NUM_THREADS=1 python benchmarks/sparsity.py          # appends a row a run; go on after an interruption
    python benchmarks/sparsity.py --plot                     # draws the picture from the rows
    python benchmarks/tables.py                              # renders the rows into benchmarks/README.md
"""

import argparse
import itertools
import math
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from convergence import Runs, batches, lr_share, validation_loss
from convergence_figures import read_rows
from sparsity_figures import ROWS, draw
from torch import Tensor
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

from hf_muonclip import MuonClip
from hf_muonclip.kimi_k2 import count_parameters, kimi_k2_config
from hf_muonclip.kimi_k2.expert_balance import ExpertBalancer, max_violation
from hf_muonclip.kimi_k2.flops import training_flops

EXPERTS = (8, 16, 32, 64)


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's numbers; what has run already with equal settings is not run again."""

    experts: int
    seed: int
    steps: int
    lr: float = 8e-3
    bias_update_rate: float = 1e-2  # ten times DeepSeek-V3's: its runs have many thousand steps, these a few hundred
    active: int = 2
    tau: float = 100.0
    batch_size: int = 16
    length: int = 128
    vocab_size: int = 512
    hidden_size: int = 48
    layers: int = 2
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    warmup: float = 0.1  # of the steps; then linear to zero
    max_grad_norm: float = 1.0
    evaluate_every: int = 100


def model_config(settings: Settings) -> DeepseekV3Config:
    """Return Kimi K2's architecture, smaller than the smallest preset."""
    return kimi_k2_config(
        "nano",
        vocab_size=settings.vocab_size,
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=4,
        q_lora_rank=settings.hidden_size // 2,
        kv_lora_rank=settings.hidden_size // 4,
        qk_nope_head_dim=settings.hidden_size // 8,
        qk_rope_head_dim=settings.hidden_size // 8,
        v_head_dim=settings.hidden_size // 8,
        intermediate_size=settings.hidden_size * 5 // 2,
        moe_intermediate_size=settings.hidden_size // 2,
        n_routed_experts=settings.experts,
        num_experts_per_tok=settings.active,
        max_position_embeddings=settings.length,
    )


def train(settings: Settings, training: Tensor, validation: Tensor) -> dict[str, Any]:
    """Run once and return the row, without the stamp. A run whose loss or gradient is not finite ends there."""
    torch.manual_seed(settings.seed)
    config = model_config(settings)
    model = DeepseekV3ForCausalLM(config).train()
    model.set_experts_implementation("grouped_mm")
    optimizer = MuonClip(
        model,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        adamw_betas=settings.betas,
        qk_clip_threshold=settings.tau,
    )
    balancer = ExpertBalancer(model, settings.bias_update_rate)
    violations: list[float] = []
    curve: dict[str, list[float]] = {"tokens": [], "losses": []}
    diverged_at = None

    def evaluate(step: int) -> None:
        curve["tokens"].append(step * settings.batch_size * settings.length)
        curve["losses"].append(round(validation_loss(model, validation), 5))

    evaluate(0)
    started = time.perf_counter()
    for step, batch in enumerate(
        itertools.islice(batches(training, settings.batch_size, settings.seed), settings.steps)
    ):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * lr_share(step, settings.steps, settings.warmup)
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        if not math.isfinite(loss.item() + norm.item()):
            diverged_at = step
            break
        optimizer.step()
        optimizer.zero_grad()
        balancer.update()
        violations.append(statistics.mean(max_violation(load).item() for load in balancer.loads.values()))
        if (step + 1) % settings.evaluate_every == 0 or step + 1 == settings.steps:
            evaluate(step + 1)
    balancer.detach()
    total, active = count_parameters(config)
    return {
        "settings": asdict(settings) | {"betas": list(settings.betas)},
        "sparsity": settings.experts / settings.active,
        "final_loss": None if diverged_at is not None else curve["losses"][-1],
        "diverged_at": diverged_at,
        "parameters": total,
        "active_parameters": active,
        "training_flops_per_token": training_flops(config, 1, settings.length).total,
        "max_violation": round(statistics.mean(violations[-max(1, settings.steps // 10) :]), 3) if violations else None,
        "seconds": round(time.perf_counter() - started, 1),
        "curve": curve,
    }


def told(row: dict[str, Any]) -> str:
    """Return the line that says how a run ended."""
    settings = row["settings"]
    return (
        f"{settings['experts']:3} experts, seed {settings['seed']}: loss {row['final_loss']}, largest load over the "
        f"mean {row['max_violation']} above 1, {row['seconds']:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--fresh", action="store_true", help="run again what has run already")
    parser.add_argument("--quick", action="store_true", help="a tiny model for a few steps, into a temporary folder")
    parser.add_argument("--plot", action="store_true", help="only draw the picture")
    arguments = parser.parse_args()
    base, path = Settings(EXPERTS[0], 0, arguments.steps), ROWS
    if arguments.quick:
        path = Path(tempfile.mkdtemp()) / ROWS.name
        base = replace(base, steps=10, hidden_size=32, vocab_size=512, length=32, evaluate_every=5)
    if not arguments.plot:
        run = Runs(path, arguments.fresh, train, told)
        for seed, experts in itertools.product(arguments.seeds, EXPERTS):
            run(replace(base, experts=experts, seed=seed))
    if rows := read_rows(path):
        print(f"wrote {draw(rows, path.with_suffix('.png'))}")


if __name__ == "__main__":
    main()
