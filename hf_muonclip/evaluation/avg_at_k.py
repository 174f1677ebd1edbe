"""Avg@k: each question answered k times by sampling, every answer scored and kept.

One sampled run of a small benchmark says little: its mean moves from run to run. Avg@k is the mean over k runs, and it
says how far runs lie apart and how far other questions might lie. Repeats are the measurement, so none is ever dropped,
whether its question, its prompt or its answer equals another's.
"""

import datetime
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from .answers_file import AnswersFile, fingerprint, prompts_hash
from .chat_prompts import PROMPT_DATE, write_prompts
from .model_under_test import context_limit, load, measuring
from .questions import Question, Scorer
from .results import Answer, AvgAtK, EvaluationData, StrPath
from .sampling import answer_seed, sampling_processors


def measure_avg_at_k(
    model: PreTrainedModel | StrPath,
    questions: Sequence[Question],
    score: Scorer,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    data: EvaluationData,
    k: int = 4,
    token_cap: int = 512,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    thinking: bool = False,
    date: datetime.date = PROMPT_DATE,
    seed: int = 0,
    batch_size: int = 16,
    answers_file: StrPath | None = None,
) -> AvgAtK:
    """Sample k answers to each question and score them.

    Of the model's generation config only the end tokens are used, so that two checkpoints are measured alike. Every
    answer has its own seed, made of `seed`, run and question: the batch size, the order, and what else is evaluated
    change it no more than rounding of the logits does.
    torch's random state and the model's training flags stay as they are.

    Args:
        model: in memory, a folder, or a name on the Hub.
        questions: at least one.
        score: function that returns the score of an answer, a finite number; called once per answer, also for those
            from a file.
        tokenizer: needed for a model in memory.
        data: where the questions come from.
        k: number of runs.
        token_cap: maximum tokens of an answer; one that reaches it without an end token counts as truncated, and is
            scored.
        temperature: sampling temperature; 0 is greedy and needs k = 1.
        top_k: sampling's top-k; 0 is off.
        top_p: sampling's top-p, in (0, 1]; 1 is off.
        thinking: the setting of chat templates that have a switch for it.
        date: the date that chat templates are given as today's, so that prompts do not change from day to day; the
            result's `prompts` names it if the template uses it.
        seed: seed of all answers, and of chat templates that draw at random.
        batch_size: number of answers that are generated together.
        answers_file: JSON lines, written as answers come. Where it exists, the evaluation goes on from it; with a
            higher k it adds runs. Its texts are scored again, so that another scorer or reference costs no sampling.

    Raises:
        ValueError: a setting is out of its range, a prompt leaves no room for the answer in the model's context, a
            score is not finite, or the file belongs to another evaluation.
    """
    model, tokenizer = load(model, tokenizer)
    _check_settings(len(questions), k, token_cap, temperature, top_k, top_p, batch_size)
    written = write_prompts(
        tokenizer, [question.prompt for question in questions], thinking=thinking, date=date, seed=seed
    )
    prompts = written.tokens
    _check_room(model, max(map(len, prompts)), token_cap)
    sampler = _Sampler(model, tokenizer, token_cap, temperature, top_k, top_p)
    file = None
    if answers_file is not None:
        settings: dict[str, Any] = {
            "weights": fingerprint(model),
            "prompts": prompts_hash(prompts),
            "end tokens": sampler.end_tokens,
            "token cap": token_cap,
            "temperature": temperature,
            "top k": top_k,
            "top p": top_p,
            "seed": seed,
        }
        if written.date is not None:
            settings["date"] = written.date
        file = AnswersFile(answers_file, settings)

    places = [(run, index) for run in range(k) for index in range(len(questions))]
    kept = {place: answer for place in places if file and (answer := file.get(*place))}
    answers = {
        place: replace(answer, score=_finite(score(questions[place[1]], answer.text), place[1], answer.text))
        for place, answer in kept.items()
    }
    missing = [place for place in places if place not in answers]
    # Prompts of similar length together: little padding. The longest first, so that they fit in memory or fail at once.
    missing.sort(key=lambda place: (-len(prompts[place[1]]), place[1], place[0]))
    with measuring(model):
        for start in logging.tqdm(range(0, len(missing), batch_size), desc=f"Avg@{k}"):
            batch = missing[start : start + batch_size]
            seeds = [answer_seed(seed, run, index) for run, index in batch]
            sampled = sampler.sample([prompts[index] for _, index in batch], seeds)
            scored = {
                (run, index): Answer(
                    question=index,
                    run=run,
                    seed=own_seed,
                    text=text,
                    tokens=tokens,
                    truncated=truncated,
                    score=_finite(score(questions[index], text), index, text),
                )
                for (run, index), own_seed, (text, tokens, truncated) in zip(batch, seeds, sampled, strict=True)
            }
            if file:
                file.append(scored.values(), [question.prompt for question in questions])
            answers |= scored

    return AvgAtK(
        data=data,
        answers=tuple(answers[place] for place in places),
        k=k,
        questions=len(questions),
        token_cap=token_cap,
        prompts=written.description,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
    )


class _Sampler:
    """Generates answers in batches by the given settings and the end tokens of the model's generation config."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        token_cap: int,
        temperature: float,
        top_k: int,
        top_p: float,
    ) -> None:
        self._model: Any = model  # transformers types `generate` for models that mix it in
        self._tokenizer = tokenizer
        self._temperature, self._top_k, self._top_p = temperature, top_k, top_p
        of_model = model.generation_config.eos_token_id
        named = [*(of_model if isinstance(of_model, list) else [of_model]), tokenizer.eos_token_id]
        self.end_tokens = sorted({token for token in named if token is not None})
        # The mask hides what stands in front of a prompt, and what comes behind an end is cut off: any token will do.
        self._padding = next((token for token in (tokenizer.pad_token_id, *self.end_tokens) if token is not None), 0)
        self._generation = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=token_cap,
            do_sample=False,  # the processors draw
            eos_token_id=self.end_tokens or None,
            pad_token_id=self._padding,
        )

    def sample(self, prompts: Sequence[list[int]], seeds: Sequence[str]) -> list[tuple[str, int, bool]]:
        """Return text, number of tokens and whether the token cap ended it, for each prompt."""
        width = max(map(len, prompts))
        input_ids = torch.full((len(prompts), width), self._padding)
        attention_mask = torch.zeros_like(input_ids)
        for row, prompt in enumerate(prompts):
            input_ids[row, width - len(prompt) :] = torch.tensor(prompt)
            attention_mask[row, width - len(prompt) :] = 1
        # `generate` fills what a given config leaves open from the model's own.
        own, self._model.generation_config = self._model.generation_config, self._generation
        try:
            generated = self._model.generate(
                input_ids=input_ids.to(self._model.device),
                attention_mask=attention_mask.to(self._model.device),
                generation_config=self._generation,
                logits_processor=sampling_processors(seeds, self._temperature, self._top_k, self._top_p),
            )
        finally:
            self._model.generation_config = own
        return [self._read(tokens) for tokens in generated[:, width:].tolist()]

    def _read(self, tokens: list[int]) -> tuple[str, int, bool]:
        end = next((position for position, token in enumerate(tokens) if token in self.end_tokens), None)
        text = self._tokenizer.decode(tokens[:end], skip_special_tokens=True)
        return str(text), len(tokens) if end is None else end + 1, end is None


def _check_settings(
    questions: int, k: int, token_cap: int, temperature: float, top_k: int, top_p: float, batch_size: int
) -> None:
    at_least_one = {"the number of questions": questions, "k": k, "token_cap": token_cap, "batch_size": batch_size}
    for name, value in at_least_one.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be finite and >= 0, got {temperature}; 1.0 samples the model as it is")
    if temperature == 0 and k > 1:
        raise ValueError(
            f"temperature=0 gives the same answers in every run, and a deviation over k={k} runs means nothing; "
            "use k=1, or a temperature above 0"
        )
    if top_k < 0:
        raise ValueError(f"top_k must be >= 0, got {top_k}; 0 is off")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be in (0, 1], got {top_p}; 1 is off")


def _check_room(model: PreTrainedModel, longest_prompt: int, token_cap: int) -> None:
    limit = context_limit(model)
    if limit is not None and longest_prompt + token_cap > limit:
        raise ValueError(
            f"a prompt and its answer must fit in the model's {limit} positions, got a prompt of {longest_prompt} "
            f"tokens and token_cap={token_cap}; lower the cap, or leave out long questions"
        )


def _finite(score: float, question: int, text: str) -> float:
    if not math.isfinite(score):
        raise ValueError(f"a score must be a finite number, got {score} for question {question}, answered by {text!r}")
    return float(score)
