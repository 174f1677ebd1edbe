"""Does training on rephrasings matter, and does the fidelity gate?

A small Llama learns passages about invented people (`rephrasing_world.py`) and is asked about them. One arm repeats the
passages; others read each passage and one, four or ten rephrasings of it, as `hf_muonclip.synth.Rephraser` gives them:
all of them, those that the fidelity gate keeps, or, as an upper bound, the same without anything wrong. All arms
take the same number of steps and tokens. Half of the people also occur in questions and answers, alike in all arms; the
questions that count are about the other half, in forms that no training text has.

    OMP_NUM_THREADS=1 python benchmarks/rephrasing.py     # appends a row a run; go on after an interruption
    python benchmarks/rephrasing.py --plot                # draws the picture from the rows
    python benchmarks/tables.py                           # renders the rows into benchmarks/rephrasing.md
"""

import argparse
import itertools
import json
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from convergence import lr_share
from convergence_figures import read_rows
from measure import stamp
from rephrasing_figures import ARMS, ROWS, draw
from rephrasing_texts import World, candidates, wrong_values
from rephrasing_world import FACTS
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

import hf_muonclip
from hf_muonclip import MuonClip

MOST_ANSWER_TOKENS = 3  # the longest answer, two words, and its end


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's numbers; what has run already with equal settings is not run again."""

    arm: str
    seed: int
    people: int = 80
    steps: int = 500
    lr: float = 1e-2
    document_rows: int = 12  # of a batch
    question_rows: int = 4
    length: int = 64  # tokens of a row
    hidden_size: int = 128
    layers: int = 2
    heads: int = 4
    weight_decay: float = 0.1
    warmup: float = 0.1  # of the steps; then linear to zero


def token_stream(texts: Sequence[Sequence[int]], seed: int) -> Iterator[int]:
    """Yield the tokens of all texts, each ended, in another order each time around, forever."""
    draw = random.Random(seed)
    while True:
        for text in draw.sample(texts, len(texts)):
            yield from text
            yield 0


def batches(world: World, settings: Settings) -> Iterator[Tensor]:
    """Yield batches (rows, length) forever: first rows of documents, then rows of questions."""
    encode = world.words.encode
    documents = token_stream([encode(text) for text in world.documents(settings.arm)], settings.seed)
    questions = token_stream([encode(f"{one.prompt} {one.answer}") for one in world.practice], settings.seed)
    while True:
        rows = [
            [next(stream) for _ in range(settings.length)]
            for stream, count in ((documents, settings.document_rows), (questions, settings.question_rows))
            for _ in range(count)
        ]
        yield torch.tensor(rows)


def make_model(settings: Settings, vocab_size: int) -> LlamaForCausalLM:
    """Return the model with the initial weights of a seed, the same in every arm."""
    torch.manual_seed(settings.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=settings.hidden_size,
            intermediate_size=settings.hidden_size * 8 // 3,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            num_key_value_heads=settings.heads,
            max_position_embeddings=settings.length,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=0,
        )
    )


@torch.no_grad()
def greedy_answers(model: LlamaForCausalLM, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the tokens that follow each prompt at temperature 0, up to the end token."""
    answers: list[list[int]] = [[] for _ in prompts]
    for places in _of_equal_length(prompts):
        ids = torch.tensor([prompts[place] for place in places])
        for _ in range(MOST_ANSWER_TOKENS):
            ids = torch.cat([ids, model(ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
        for place, row in zip(places, ids[:, -MOST_ANSWER_TOKENS:].tolist(), strict=True):
            answers[place] = row[: row.index(0)] if 0 in row else row
    return answers


@torch.no_grad()
def log_likelihoods(
    model: LlamaForCausalLM, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> list[float]:
    """Return the log-probability of each answer and its end, in nats."""
    texts = [[*prompt, *answer, 0] for prompt, answer in zip(prompts, answers, strict=True)]
    found = [0.0] * len(texts)
    for places in _of_equal_length(texts):
        ids = torch.tensor([texts[place] for place in places])
        logs = model(ids, use_cache=False).logits[:, :-1].float().log_softmax(-1)
        told = logs.gather(2, ids[:, 1:, None])[..., 0]
        for place, row in zip(places, told, strict=True):
            found[place] = float(row[len(prompts[place]) - 1 :].sum())
    return found


def _of_equal_length(texts: Sequence[Sequence[int]], most: int = 256) -> Iterator[list[int]]:
    """Yield the places of texts in batches of one length."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        by_length[len(text)].append(place)
    for places in by_length.values():
        yield from (places[first : first + most] for first in range(0, len(places), most))


def measure(model: LlamaForCausalLM, world: World, settings: Settings) -> dict[str, Any]:
    """Return how the model answers the questions of a world, and to how many it was taught something else."""
    model.eval()
    encode = world.words.encode
    found: dict[str, Any] = {}
    for name, asked in (("new_form", world.asked), ("known_form", world.asked_in_known_forms)):
        answers = greedy_answers(model, [encode(one.prompt) for one in asked])
        right = [answer == encode(one.answer) for answer, one in zip(answers, asked, strict=True)]
        found[name] = {
            "exact": round(statistics.fmean(right), 4),
            "by_fact": {
                fact: round(statistics.fmean(ok for ok, one in zip(right, asked, strict=True) if one.fact == fact), 4)
                for fact in FACTS
            },
        }
        if name == "new_form":
            taught = wrong_values(world, settings.arm)
            misled = [
                answer in [encode(value) for value in taught[one.person, one.fact]]
                for answer, one in zip(answers, asked, strict=True)
            ]
            found["misled"] = round(statistics.fmean(misled), 4)
    choices = candidates(world.asked, world.people, settings.seed)
    prompts = [encode(one.prompt) for one, values in zip(world.asked, choices, strict=True) for _ in values]
    scores = iter(log_likelihoods(model, prompts, [encode(value) for values in choices for value in values]))
    ranks = []
    for values in choices:
        own, *others = itertools.islice(scores, len(values))
        ranks.append(1 + sum(other >= own for other in others))
    found["likeliest"] = round(statistics.fmean(rank == 1 for rank in ranks), 4)
    found["mean_rank"] = round(statistics.fmean(ranks), 3)
    return found


def train(settings: Settings, world: World) -> dict[str, Any]:
    """Run once and return the row, without the stamp."""
    model = make_model(settings, len(world.words.ids)).train()
    optimizer = MuonClip(model, lr=settings.lr, weight_decay=settings.weight_decay, adamw_betas=(0.9, 0.95))
    stream = batches(world, settings)
    began, losses = time.perf_counter(), []
    for step in range(settings.steps):
        batch = next(stream)
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * lr_share(step, settings.steps, settings.warmup)
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    seconds = time.perf_counter() - began
    documents, arm = world.documents(settings.arm), ARMS[settings.arm]
    tokens = settings.steps * settings.document_rows * settings.length
    corpus = sum(len(world.words.encode(text)) + 1 for text in documents)
    corrupted = sum(text in world.wrong[arm.wrong_share] for text in documents)
    return {
        "settings": asdict(settings),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "vocab_size": len(world.words.ids),
        "documents": len(documents),
        "corrupted_documents": corrupted,
        "document_tokens": tokens,
        "question_tokens": settings.steps * settings.question_rows * settings.length,
        "passes": round(tokens / corpus, 2),
        "final_loss": round(statistics.fmean(losses[-20:]), 4),
        "questions": len(world.asked),
        "measured": measure(model, world, settings),
        "gate": world.gate_counts(arm.wrong_share) if arm.gate else None,
        "seconds": round(seconds, 1),
    }


class Runs:
    """Runs what has not run yet, and keeps every row in a file as soon as it is there."""

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self.path, self._fresh = path, fresh
        self._worlds: dict[tuple[int, int], World] = {}

    def __call__(self, settings: Settings) -> dict[str, Any]:
        """Return the run's row, from the file if it holds one of these settings, texts and package version."""
        of_world = settings.seed, settings.people
        if of_world not in self._worlds:
            self._worlds = {of_world: World(*of_world)}
        world = self._worlds[of_world]
        wanted = {"settings": asdict(settings), "data": world.digest, "hf_muonclip": hf_muonclip.__version__}
        if not self._fresh:
            for row in reversed(read_rows(self.path)):
                if all(row[name] == value for name, value in wanted.items()):
                    return row
        row = train(settings, world) | {"data": world.digest} | stamp()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(told(row), flush=True)
        return row


def told(row: dict[str, Any]) -> str:
    """Return the line that says how a run ended."""
    settings, measured = row["settings"], row["measured"]
    return (
        f"{settings['arm']:22} seed {settings['seed']}: right {measured['new_form']['exact']:.1%} in a new form, "
        f"{measured['known_form']['exact']:.1%} in a known one, likeliest {measured['likeliest']:.1%}, misled "
        f"{measured['misled']:.1%}, loss {row['final_loss']:.3f}, {row['documents']} documents "
        f"{row['passes']:.1f} times, {row['seconds']:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", nargs="+", choices=ARMS, default=[*ARMS], help="these arms alone")
    parser.add_argument("--fresh", action="store_true", help="run again what has run already")
    parser.add_argument("--quick", action="store_true", help="a few steps, into a temporary folder")
    parser.add_argument("--plot", action="store_true", help="only draw the picture")
    arguments = parser.parse_args()
    base, path, seeds = Settings("", 0), ROWS, arguments.seeds
    if arguments.quick:
        path, seeds = Path(tempfile.mkdtemp()) / ROWS.name, seeds[:1]
        base = replace(base, people=8, steps=4, document_rows=3, question_rows=1, hidden_size=32, layers=1)
    if not arguments.plot:
        run = Runs(path, arguments.fresh)
        for seed in seeds:
            for arm in arguments.only:
                run(replace(base, arm=arm, seed=seed))
    if rows := read_rows(path):
        print(f"wrote {draw(rows, path.with_suffix('.png'))}")


if __name__ == "__main__":
    main()
