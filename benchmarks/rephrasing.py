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
import hashlib
import itertools
import json
import random
import re
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from convergence import lr_share
from convergence_figures import read_rows
from measure import stamp
from rephrasing_figures import ARMS, ROWS, draw
from rephrasing_world import (
    FACTS,
    QUESTIONS,
    STYLES_USED,
    VALUES,
    Person,
    RuleGenerator,
    Wrong,
    draw_people,
    passage_about,
)
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

import hf_muonclip
from hf_muonclip import MuonClip
from hf_muonclip.synth import Rephrased, Rephraser
from hf_muonclip.synth.rephraser import fidelity_gate

END = "<end>"
MOST_REPHRASINGS = max(arm.rephrasings for arm in ARMS.values())
MOST_ANSWER_TOKENS = 3  # the longest answer, two words, and its end
CANDIDATES = 10  # of which an answer is the likeliest or not


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


class Words:
    """Words and marks as tokens, without case."""

    def __init__(self, texts: Sequence[str]) -> None:
        words = sorted({word for text in texts for word in self.cut(text)})
        self.ids = {word: place for place, word in enumerate([END, *words])}

    @staticmethod
    def cut(text: str) -> list[str]:
        return re.findall(r"\w+|[^\w\s]", text.casefold())

    def encode(self, text: str) -> list[int]:
        return [self.ids[word] for word in self.cut(text)]


@dataclass(frozen=True)
class Asked:
    """A question about a fact of a person: the text up to the answer, and the answer."""

    person: str
    fact: str
    prompt: str
    answer: str


def ask(person: Person, fact: str, form: str) -> Asked:
    """Return the question in a form of `QUESTIONS`."""
    return Asked(person.name, fact, f"Question: {form.format(name=person.name)} Answer:", person.facts[fact])


class World:
    """What all arms of a seed share: people, passages, rephrasings, questions, tokens.

    Attributes:
        passages: one of each person.
        rephrasings: {(share of answers with something wrong, whether there is a gate): results of `Rephraser`}, ten for
            each person in turn.
        wrong: {share: {text of a rephrasing: what it has wrong}}.
        practice: questions and answers about the first half of the people, for training.
        asked: questions about the other half, in forms that no training text has.
        asked_in_known_forms: the same in a form in which the first half is asked about.
        words: of all texts.
        digest: a hash of all texts.
    """

    def __init__(self, seed: int, people: int) -> None:
        self.people = draw_people(people, seed)
        self.passages = [passage_about(person, seed) for person in self.people]
        self.rephrasings: dict[tuple[float, bool], list[Rephrased]] = {}
        self.wrong: dict[float, dict[str, list[Wrong]]] = {}
        of_arms = {(arm.wrong_share, arm.gate) for arm in ARMS.values()}
        for share in sorted({share for share, _ in of_arms}):
            generator = RuleGenerator(share)
            for gated in (False, True) if (share, True) in of_arms else (False,):
                rephraser = Rephraser(
                    generator,
                    styles=STYLES_USED,
                    rephrasings=MOST_REPHRASINGS,
                    seed=seed,
                    gate=fidelity_gate if gated else None,
                )
                self.rephrasings[share, gated] = rephraser.rephrased(self.passages)
            self.wrong[share] = generator.wrong
        trained, held_out = self.people[: people // 2], self.people[people // 2 :]
        self.practice = [ask(p, fact, form) for p in trained for fact in FACTS for form in QUESTIONS[fact][:-1]]
        self.asked = [ask(p, fact, QUESTIONS[fact][-1]) for p in held_out for fact in FACTS]
        self.asked_in_known_forms = [ask(p, fact, QUESTIONS[fact][0]) for p in held_out for fact in FACTS]
        told = [row.rewritten[-1] for rows in self.rephrasings.values() for row in rows if row.rewritten]
        questions = [f"{one.prompt} {one.answer}" for one in (*self.practice, *self.asked)]
        values = [value for fact in FACTS for value in VALUES[fact]]
        self.words = Words([*self.passages, *told, *questions, *values])
        kept = [[row.kept, *row.rewritten] for rows in self.rephrasings.values() for row in rows]
        everything = json.dumps([self.passages, kept, questions, [one.prompt for one in self.asked_in_known_forms]])
        self.digest = hashlib.sha256(everything.encode()).hexdigest()[:12]

    def documents(self, arm: str) -> list[str]:
        """Return the texts that an arm trains on: each passage, and the rephrasings of it that are kept."""
        found = ARMS[arm]
        if not found.rephrasings:
            return self.passages
        rows = self.rephrasings[found.wrong_share, found.gate]
        return [*self.passages, *(row.text for row in rows if row.kept and row.rephrasing < found.rephrasings)]

    def gate_counts(self, share: float) -> dict[str, Any]:
        """Return what the gate did with answers that have something wrong, by kind, and with those that have not.

        A text that no gate would drop either, such as one that is like an earlier one, does not count.
        """
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        causes: Counter[str] = Counter()
        for plain, gated in zip(self.rephrasings[share, False], self.rephrasings[share, True], strict=True):
            if not plain.kept:
                continue
            wrong = self.wrong[share].get(plain.text, [])
            kinds = ["faithful"] if not wrong else ["corrupted", f"{len(wrong)} wrong"]
            if len(wrong) == 1:
                kinds.append(f"one {wrong[0].kind}")
            for kind in kinds:
                counts[kind]["all"] += 1
                counts[kind]["kept"] += gated.kept
            causes[gated.cause] += not gated.kept and not wrong
        return {kind: dict(found) for kind, found in sorted(counts.items())} | {"causes": dict(+causes)}


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


def candidates(asked: Sequence[Asked], people: Sequence[Person], seed: int) -> list[list[str]]:
    """Return for each question its answer and up to nine other values, all of which this fact has for some person."""
    draw, found = random.Random(seed), []
    for one in asked:
        others = sorted({person.facts[one.fact] for person in people} - {one.answer})
        found.append([one.answer, *draw.sample(others, min(len(others), CANDIDATES - 1))])
    return found


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


def wrong_values(world: World, arm: str) -> Mapping[tuple[str, str], list[str]]:
    """Return {(person, fact): values} that an arm's texts give and that are not true."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    used, told = ARMS[arm], {*world.documents(arm)}
    names = {row.source_id: person.name for row, person in _sources(world, used.wrong_share)}
    for row in world.rephrasings[used.wrong_share, False]:
        if row.text in told:
            for one in world.wrong[used.wrong_share].get(row.text, []):
                if one.value is not None:
                    found[names[row.source_id], one.fact].append(one.value)
    return found


def _sources(world: World, share: float) -> Iterator[tuple[Rephrased, Person]]:
    """Yield the first rephrasing of each person's passage, with the person."""
    yield from zip(world.rephrasings[share, False][::MOST_REPHRASINGS], world.people, strict=True)


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
