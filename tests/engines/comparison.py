"""How far an engine's log-probabilities are from transformers', beside the rounding noise of bfloat16."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

# No kernel sums in the order of another. Measured: 5e-6 in vLLM and in llama.cpp; faults cost 0.1 and more.
FLOAT32_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Difference:
    """Differences of log-probabilities, in nats, between an engine and transformers in the same dtype."""

    positions: int  # predicted tokens: of the prompts, and of the continuations that the engine chose
    largest: float
    mean: float
    largest_noise: float  # of transformers in bfloat16 against itself in float32, at the same positions
    mean_noise: float
    greedy_tokens: int
    greedy_equal: int  # how many of them are transformers' own choice
    greedy_wrong: int  # how many are not, although its two best tokens differ by more than rounding can turn around

    def is_rounding(self, dtype: str) -> bool:
        """Say whether the engine computes the same function as transformers."""
        if dtype == "float32":
            near = self.largest < FLOAT32_TOLERANCE
        else:
            # Two independent roundings differ by more than either from the truth; the largest of many has a long tail.
            near = self.mean < 1.5 * self.mean_noise and self.largest < 2 * self.largest_noise
        return near and self.greedy_wrong == 0


def compare(truth: Path, dtype: str, prompts: list[list[int]], answer: dict[str, Any]) -> Difference:
    """Hold an engine's answer against transformers' reading of the checkpoint `truth`, teacher-forced on both texts."""
    texts = [prompt + chosen for prompt, chosen in zip(prompts, answer["greedy_tokens"], strict=True)]
    exact, rounded = (log_probabilities(truth, each, texts) for each in (torch.float32, torch.bfloat16))
    expected = {"float32": exact, "bfloat16": rounded}[dtype]
    got = [torch.tensor(a + b) for a, b in zip(answer["prompt_logprobs"], answer["greedy_logprobs"], strict=True)]
    targets = [torch.tensor(text[1:]) for text in texts]

    differences = torch.cat([(g - _of(e, t)).abs() for g, e, t in zip(got, expected, targets, strict=True)])
    noise = torch.cat([(_of(r, t) - _of(e, t)).abs() for r, e, t in zip(rounded, exact, targets, strict=True)])
    margin = 2 * (FLOAT32_TOLERANCE if dtype == "float32" else noise.max().item())

    choices = torch.cat([t[len(p) - 1 :] for t, p in zip(targets, prompts, strict=True)])
    rows = torch.cat([e[len(p) - 1 :] for e, p in zip(expected, prompts, strict=True)])
    behind = rows.max(-1).values - _of(rows, choices)  # 0 where the engine chose what transformers chooses
    return Difference(
        positions=differences.numel(),
        largest=differences.max().item(),
        mean=differences.mean().item(),
        largest_noise=noise.max().item(),
        mean_noise=noise.mean().item(),
        greedy_tokens=choices.numel(),
        greedy_equal=int((behind == 0).sum()),
        greedy_wrong=int((behind > margin).sum()),
    )


@torch.no_grad()
def log_probabilities(checkpoint: Path, dtype: torch.dtype, texts: list[list[int]]) -> list[torch.Tensor]:
    """Return what transformers predicts after each token but the last: (len(text) - 1, vocabulary) for each text."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype).eval()
    logits = [model(torch.tensor([text])).logits[0, :-1] for text in texts]
    return [each.float().log_softmax(-1) for each in logits]


def _of(rows: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Pick each row's value for its token."""
    return rows.gather(-1, tokens[:, None])[:, 0]
