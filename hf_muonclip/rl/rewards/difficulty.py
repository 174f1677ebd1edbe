"""How difficult prompts are for a model, and the selection of those that are neither too easy nor too hard for it."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ...common.loggers import get_logger
from ...evaluation import EvaluationData, Question, measure_avg_at_k
from .reward_check import name_of, rewards_of
from .reward_guard import causes_of, codes_of, guarded
from .spec import Spec

logger = get_logger(__name__)


def sample_rewards(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    spec: Spec,
    samples: int = 8,
    **sampling_kwargs: Any,
) -> list[list[float]]:
    """Sample completions of every prompt of a Spec and return their rewards, for `select_moderate`.

    Args:
        model: a transformers model; dropout is off while it samples, whatever its mode.
        tokenizer: the model's.
        spec: without environments; each prompt a text, or a chat of one user message.
        samples: completions per prompt.
        sampling_kwargs: further arguments of `measure_avg_at_k`: token_cap, temperature, batch_size, answers_file,
            seed.

    Returns:
        (prompts, samples); the sum of the rewards of all functions, NaN where a reward that there should be is missing.

    Raises:
        ValueError: the Spec has environments, a prompt is another kind of chat, a function returns something else than
            rewards, or a setting is out of range.
    """
    if spec.environment_factory is not None:
        raise ValueError(f"sample_rewards runs no environments; the domain {spec.name} has some.")
    prompts = spec.train_dataset["prompt"]
    questions = [Question(_one_message(prompt, place)) for place, prompt in enumerate(prompts)]
    if isinstance(prompts[0], str):  # like TRL, which applies no chat template to a text
        tokenizer = copy.copy(tokenizer)
        tokenizer.chat_template = None
    found = measure_avg_at_k(
        model,
        questions,
        lambda *_: 0.0,  # all completions are rewarded at once, below
        tokenizer,
        data=EvaluationData(name=spec.name),
        k=samples,
        **sampling_kwargs,
    )
    answers = sorted(found.answers, key=lambda answer: (answer.question, answer.run))
    places, texts = [answer.question for answer in answers], [answer.text for answer in answers]
    functions = [guarded(function, name_of(function)) for function in spec.reward_funcs]
    given = [rewards_of(function, spec.train_dataset, places, texts) for function in functions]
    guards = [function.guard for function in functions]
    if malformed := [f"{guard.name}: {guard.malformed}" for guard in guards if guard.malformed]:
        raise ValueError(f"a reward function must return one number or None per completion. {'; '.join(malformed)}.")
    rewards = torch.tensor([[math.nan if r is None else r for r in of_function] for of_function in given]).T
    causes = causes_of(rewards, codes_of(functions, rewards.device), samples)
    sums = rewards.nansum(1).masked_fill((causes != 0).any(1), math.nan)
    of_prompts: list[list[float]] = sums.view(-1, samples).tolist()
    return of_prompts


def _one_message(prompt: Any, place: int) -> str:
    if isinstance(prompt, str):
        return prompt
    if len(prompt) != 1 or prompt[0]["role"] != "user" or not isinstance(prompt[0]["content"], str):
        raise ValueError(
            f"a prompt must be a text or one user message; prompt {place} has the roles "
            f"{[message['role'] for message in prompt]}. Leave such prompts out, or sample them another way."
        )
    return str(prompt[0]["content"])


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Return the probability that at least one of k samples is right, 1 - C(n - c, k) / C(n, k).

    Unbiased (arXiv 2107.03374, section 2.1), unlike 1 - (1 - c/n)^k.

    Args:
        samples: n, at least k.
        right: c, how many of them were right.
        k: samples drawn from these.

    Raises:
        ValueError: k is not in [1, samples], or right not in [0, samples].
    """
    if not 1 <= k <= samples or not 0 <= right <= samples:
        raise ValueError(f"pass@k needs 1 <= k <= samples and 0 <= right <= samples; got {k=}, {samples=}, {right=}.")
    return 1 - math.comb(samples - right, k) / math.comb(samples, k)


def select_moderate(
    dataset: Dataset,
    rewards: Sequence[Sequence[float | None]],
    k: int = 1,
    low: float = 0.1,
    high: float = 0.9,
    passing: float = 1.0,
) -> Dataset:
    """Return the prompts that are neither too easy nor too hard for a model, by its pass@k.

    K2 selects prompts in this way with its supervised model (arXiv 2507.20534, section 3.2.1). A sample without a
    reward (None, NaN, NotMeasured) does not count in n. A prompt with fewer than k measured samples is left out, with a
    warning.

    Args:
        dataset: the prompts.
        rewards: (prompts, samples), as `sample_rewards` returns them.
        k: of pass@k.
        low: smallest pass@k; in [0, high].
        high: largest pass@k; in [low, 1].
        passing: smallest reward of a right sample.

    Returns:
        The dataset with a column "pass_at_k".

    Raises:
        ValueError: bounds or sizes do not fit, or no prompt is left.
    """
    if not 0 <= low <= high <= 1:
        raise ValueError(f"0 <= low <= high <= 1 must hold; got {low=}, {high=}.")
    if len(rewards) != len(dataset):
        raise ValueError(f"rewards must hold a row for each of {len(dataset)} prompts; got {len(rewards)}.")
    kept, rates, unmeasured = [], [], 0
    for place, of_prompt in enumerate(rewards):
        measured = [reward for reward in of_prompt if reward is not None and not math.isnan(reward)]
        if len(measured) < k:
            unmeasured += 1
            continue
        rate = pass_at_k(len(measured), sum(reward >= passing for reward in measured), k)
        if low <= rate <= high:
            kept.append(place)
            rates.append(rate)
    if unmeasured:
        logger.warning(
            "%d of %d prompts have fewer than k=%d measured samples and were left out.", unmeasured, len(dataset), k
        )
    if not kept:
        raise ValueError(
            f"no prompt has a pass@{k} in [{low}, {high}]: {unmeasured} of {len(dataset)} were not measured. Widen the "
            "bounds, or sample other prompts."
        )
    return dataset.select(kept).add_column("pass_at_k", rates)
