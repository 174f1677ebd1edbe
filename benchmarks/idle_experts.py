"""What should an optimizer do with an expert that no token chose in a step?

Its gradient is zero, and Muon's rule taken literally moves it all the same: the momentum shrinks, and Newton–Schulz
blows it up again. Small mixtures of Kimi K2's architecture on Shakespeare's plays compare five rules for such experts,
from the same initial weights on the same batches: update them as all others ("updated"); write no update, and let the
momentum shrink ("shrinking", what MuonClip does) or keep it ("kept"); and both of these with weight decay going on. In
one setting most experts are idle in a step, in the other few are, so that nothing should be lost there. The first three
run at several rates, because rules that write fewer updates may want another.

    OMP_NUM_THREADS=1 python benchmarks/idle_experts.py      # appends a row a run; go on after an interruption
    python benchmarks/tables.py                              # renders the rows into the READMEs
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from convergence import Runs, batches, lr_share, validation_loss
from idle_experts_figures import ROWS
from torch import Tensor
from transformers import DeepseekV3ForCausalLM

from hf_muonclip import MuonClip
from hf_muonclip.kimi_k2 import kimi_k2_config
from hf_muonclip.kimi_k2.expert_balance import ExpertBalancer, max_violation
from hf_muonclip.optim.idle_matrices import ActiveMatrices
from hf_muonclip.optim.step import StepResult

RULES = ("updated", "shrinking", "kept", "shrinking, decayed", "kept, decayed")
RATES = (4e-3, 8e-3, 16e-3, 32e-3)
TUNED = 16e-3  # the best of them for MuonClip
MANY_IDLE = {"experts": 192, "active": 1, "batch_size": 1}  # 64 tokens a step: two of three experts at least are idle
FEW_IDLE = {"experts": 16, "active": 2, "batch_size": 8}


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's numbers; what has run already with equal settings is not run again."""

    rule: str
    lr: float
    seed: int
    batch_size: int
    experts: int
    active: int
    length: int = 64
    steps: int = 300
    layers: int = 2
    hidden_size: int = 48
    vocab_size: int = 512
    bias_update_rate: float = 1e-2  # ten times DeepSeek-V3's: its runs have many thousand steps, these a few hundred
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    warmup: float = 0.1  # of the steps; then linear to zero


class UpdatesEveryMatrix(MuonClip):
    """MuonClip for which no matrix is idle."""

    def _find_active(self, *args: Any) -> ActiveMatrices:
        active = super()._find_active(*args)
        active.make_masks = lambda finite: None  # type: ignore[method-assign]
        return active


class RuledMuonClip(UpdatesEveryMatrix):
    """MuonClip that follows one of `RULES` for experts without a gradient; of stacked experts on one rank."""

    def __init__(self, *args: Any, rule: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rule = rule

    def _update(self) -> StepResult:
        before = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if group["algorithm"] == "muon" and parameter.ndim == 3 and parameter.grad is not None:
                    momentum = self.state[parameter].get("momentum_buffer", torch.zeros_like(parameter))
                    before.append((group, parameter, idle(parameter), parameter.clone(), momentum.clone()))
        result = super()._update()
        if self.rule != "updated":
            for group, parameter, resting, weights, momentum in before:
                share = 1 - group["lr"] * group["weight_decay"] if self.rule.endswith("decayed") else 1
                parameter[resting] = weights[resting] * share
                if self.rule.startswith("kept"):
                    self.state[parameter]["momentum_buffer"][resting] = momentum[resting]
        return result


def idle(parameter: Tensor) -> Tensor:
    """Return (experts,) bool: which of a stack's experts have a gradient of zeros."""
    assert parameter.grad is not None
    return (parameter.grad == 0).flatten(1).all(1)


def train(settings: Settings, training: Tensor, validation: Tensor) -> dict[str, Any]:
    """Run once and return the row, without the stamp."""
    torch.manual_seed(settings.seed)
    config = kimi_k2_config(
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
        intermediate_size=settings.hidden_size * 2,
        moe_intermediate_size=settings.hidden_size // 2,
        n_routed_experts=settings.experts,
        num_experts_per_tok=settings.active,
        max_position_embeddings=settings.length,
    )
    model = DeepseekV3ForCausalLM(config).train()
    model.set_experts_implementation("grouped_mm")
    optimizer = RuledMuonClip(
        model,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        adamw_betas=settings.betas,
        rule=settings.rule,
    )
    stacks = [p for group in optimizer.param_groups for p in group["params"] if p.ndim == 3]
    balancer = ExpertBalancer(model, settings.bias_update_rate)
    moved = {True: 0.0, False: 0.0}  # Frobenius norms of all experts' steps, idle or not
    shares, violations = [], []
    started = time.perf_counter()
    for step, batch in enumerate(
        itertools.islice(batches(training, settings.batch_size, settings.seed), settings.steps)
    ):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * lr_share(step, settings.steps, settings.warmup)
        model(input_ids=batch, labels=batch, use_cache=False).loss.backward()
        resting, before = [idle(stack) for stack in stacks], [stack.detach().clone() for stack in stacks]
        optimizer.step()
        for stack, old, rests in zip(stacks, before, resting, strict=True):
            norms = torch.linalg.vector_norm(stack.detach() - old, dim=(1, 2))
            moved[True] += float(norms[rests].sum())
            moved[False] += float(norms[~rests].sum())
        optimizer.zero_grad()
        balancer.update()
        shares.append(float(torch.cat(resting).float().mean()))
        violations.append(statistics.mean(max_violation(load).item() for load in balancer.loads.values()))
    balancer.detach()
    last = max(1, settings.steps // 10)
    return {
        "settings": asdict(settings) | {"betas": list(settings.betas)},
        "validation_loss": round(validation_loss(model, validation), 5),
        "idle_share": round(statistics.mean(shares), 4),
        "idle_movement_share": round(moved[True] / sum(moved.values()), 4),
        "movement": round(sum(moved.values()) / (settings.steps * sum(len(stack) for stack in stacks)), 6),
        "max_violation": round(statistics.mean(violations[-last:]), 3),
        "seconds": round(time.perf_counter() - started, 1),
    }


def told(row: dict[str, Any]) -> str:
    """Return the line that says how a run ended."""
    settings = row["settings"]
    return (
        f"{settings['experts']:3} experts, lr {settings['lr']:<6g} seed {settings['seed']}, {settings['rule']:18} loss "
        f"{row['validation_loss']:.4f}, idle {row['idle_share']:.1%}, their movement {row['idle_movement_share']:.1%}, "
        f"max violation {row['max_violation']:.2f}, {row['seconds']:.0f} s"
    )


def benchmark(base: Settings, seeds: list[int], run: Callable[[Settings], dict[str, Any]]) -> None:
    for seed in seeds:
        for lr, rule in itertools.product(RATES, RULES[:3]):
            run(replace(base, **MANY_IDLE, seed=seed, lr=lr, rule=rule))
        for rule in RULES[3:]:
            run(replace(base, **MANY_IDLE, seed=seed, lr=TUNED, rule=rule))
        for rule in RULES[:3]:
            run(replace(base, **FEW_IDLE, seed=seed, lr=RATES[1], rule=rule))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--fresh", action="store_true", help="run again what has run already")
    parser.add_argument("--quick", action="store_true", help="a few steps, into a temporary folder")
    arguments = parser.parse_args()
    base = Settings("", 0.0, 0, **MANY_IDLE, steps=arguments.steps)
    path = ROWS
    if arguments.quick:
        path = Path(tempfile.mkdtemp()) / ROWS.name
        base = replace(base, steps=4, length=16)
    benchmark(base, arguments.seeds, Runs(path, arguments.fresh, train, told))


if __name__ == "__main__":
    main()
