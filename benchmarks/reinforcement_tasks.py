"""What reinforcement.py trains on: three kinds of problems, a tokenizer, and a model that has seen their format.

A problem is a short line, `sort 7391?`, `turn 7391?` or `b in abcbbacb?`. A text of the pretraining corpus answers it
with its working written not at all, once or twice, and the answer behind a "=": `1379,1379=1379`, `1937=1937`, `=4`.
Working may help to count, and elsewhere it is long-windedness, which a budget can take away. Most answers are wrong, as
in a careless corpus: the digits as they were given, or any number.
"""

import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hf_muonclip import MuonClip
from hf_muonclip.evaluation import EvaluationData, Question, measure_avg_at_k

CHARACTERS = "0123456789abcinorstu,=? "
PAD, END = "<pad>", "<end>"
DOMAINS = ("sort", "turn", "count")


@dataclass(frozen=True)
class Problem:
    """A question with its answer, and the working that leads there."""

    domain: str
    prompt: str
    working: str
    answer: str


def draw_problem(domain: str, generator: random.Random) -> Problem:
    """Return a random problem of one kind."""
    if domain in ("sort", "turn"):
        digits = "".join(generator.choice("0123456789") for _ in range(4))
        answer = "".join(sorted(digits)) if domain == "sort" else digits[::-1]
        return Problem(domain, f"{domain} {digits}?", answer, answer)
    letter, letters = generator.choice("abc"), [generator.choice("abc") for _ in range(8)]
    count = letters.count(letter)
    return Problem(domain, f"{letter} in {''.join(letters)}?", letter * count, str(count))


def draw_problems(number: int, seed: int, without: Sequence[Problem] = ()) -> list[Problem]:
    """Return that many different problems, of all kinds in turn, none of them among others."""
    generator, taken = random.Random(seed), {problem.prompt for problem in without}
    problems: list[Problem] = []
    while len(problems) < number:
        problem = draw_problem(DOMAINS[len(problems) % len(DOMAINS)], generator)
        if problem.prompt not in taken:
            taken.add(problem.prompt)
            problems.append(problem)
    return problems


def is_right(completion: str, answer: str) -> bool:
    """Return whether what stands behind the last "=" is the answer."""
    return "=" in completion and completion.rpartition("=")[2] == answer


def small_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with a token per character."""
    vocabulary = {token: index for index, token in enumerate([PAD, END, *CHARACTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=PAD))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def small_model(vocab_size: int, seed: int, hidden_size: int = 64, layers: int = 2) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config)


def corpus_text(problem: Problem, wrong: float, generator: random.Random) -> str:
    """Return the problem with one of its answers as the corpus has it, wrong in a share of the cases."""
    answer, working = problem.answer, problem.working
    if generator.random() < wrong:
        given = problem.prompt.removesuffix("?").rpartition(" ")[2]
        answer = generator.choice("012345678") if problem.domain == "count" else given
    return problem.prompt + ",".join([working] * generator.randint(0, 2)) + "=" + answer


def corpus_batches(
    tokenizer: PreTrainedTokenizerFast, batch_size: int, seed: int, wrong: float, without: Sequence[Problem]
) -> Iterator[dict[str, Tensor]]:
    """Yield batches of the corpus forever; only answers, working and their end count in the loss."""
    generator, held_out = random.Random(seed), {problem.prompt for problem in without}
    while True:
        rows: list[tuple[list[int], int]] = []
        while len(rows) < batch_size:
            problem = draw_problem(generator.choice(DOMAINS), generator)
            if problem.prompt not in held_out:
                ids = [*tokenizer(corpus_text(problem, wrong, generator)).input_ids, tokenizer.eos_token_id]
                rows.append((ids, len(problem.prompt)))
        longest = max(len(ids) for ids, _ in rows)
        padded = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
        places = torch.arange(longest)
        counts = torch.stack([(places >= prompt) & (places < len(ids)) for ids, prompt in rows])
        yield {
            "input_ids": padded,
            "attention_mask": (places < torch.tensor([[len(ids)] for ids, _ in rows])).long(),
            "labels": padded.masked_fill(~counts, -100),
        }


def pretrain(
    tokenizer: PreTrainedTokenizerFast, steps: int, wrong: float, held_out: Sequence[Problem], lr: float = 4e-3
) -> LlamaForCausalLM:
    """Return a model trained on the corpus by MuonClip, the rate falling to zero."""
    model = small_model(len(tokenizer), seed=0).train()
    optimizer = MuonClip(model, lr=lr)
    for step, batch in zip(range(steps), corpus_batches(tokenizer, 64, 0, wrong, held_out), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - step / steps)
        model(**batch, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def measure(model: LlamaForCausalLM, tokenizer: Any, problems: Sequence[Problem], cap: int, k: int) -> dict[str, Any]:
    """Return the share of right answers, also by kind, and how many tokens an answer has on average.

    Args:
        model: in training or evaluation mode, which it keeps.
        tokenizer: of the model.
        problems: held out.
        cap: tokens after which an answer ends.
        k: answers for each, sampled at temperature 1; 0 takes the one that greedy decoding gives.
    """
    result = measure_avg_at_k(
        model,
        [Question(problem.prompt, problem.answer) for problem in problems],
        lambda question, text: float(is_right(text, question.reference)),
        tokenizer,
        data=EvaluationData(name="held-out problems"),
        k=max(k, 1),
        token_cap=cap,
        temperature=1.0 if k else 0.0,
        batch_size=256,
    )
    of_domains = {
        domain: [
            mean for problem, mean in zip(problems, result.question_means, strict=True) if problem.domain == domain
        ]
        for domain in DOMAINS
    }
    return {
        "accuracy": round(result.value, 4),
        "by_domain": {domain: round(statistics.fmean(means), 4) for domain, means in of_domains.items()},
        "length": round(statistics.fmean(answer.tokens for answer in result.answers), 3),
    }
