"""Puzzles of reasoning-gym, made and graded; runs in worker processes.

A puzzle is stored as (generator, settings, seed, index) and made again where it is graded, because JSON and Arrow would
turn tuples into lists and so lose right answers. To be the same puzzle, workers have one hash seed, which five
generators depend on, and a digest of the question is stored too. Workers also keep the generator that reseeds NumPy,
and those that evaluate answers, away from the trainer's process.
"""

import copy
import functools
import hashlib
import json
import re
from typing import Any

import reasoning_gym

from ...common.graders.answers import LONGEST_ANSWER, final_text, undecorated
from ...common.graders.not_measured import NotMeasured
from .puzzles import RULES, Rule

SIZE = 100  # puzzles that share a seed; a few generators depend on it
_NO_RULE = Rule(why="")
_LONGEST_FORM = 2000  # characters of an answer that a rule's form is matched against


def make_puzzle(generator: str, settings: str, seed: int, index: int) -> tuple[str, str, str] | str:
    """Return a puzzle whose gold answer earns 1, or what is wrong with it.

    Args:
        generator: its name in reasoning-gym.
        settings: settings of the generator, as JSON.
        seed: seed of its dataset.
        index: index of the puzzle, below SIZE.

    Returns:
        The puzzle as `grade` takes it, its question, and a gold answer; or a text.
    """
    entry = puzzle_entry(generator, settings, seed, index)
    puzzle = puzzle_of(generator, settings, seed, index)
    golds = golds_of(generator, entry)
    if not golds or not golds[0].strip():
        return "it has no gold answer"
    if any(grade(puzzle, form.replace("{}", golds[0])) != 1.0 for form in ("{}", "<answer>{}</answer>")):
        return f"its gold answer {golds[0]!r} earns less than 1"
    return puzzle, entry["question"], golds[0]


def puzzle_of(generator: str, settings: str, seed: int, index: int) -> str:
    """Return the stored form of a puzzle: how to make it, and a digest of its question."""
    digest = _digest(puzzle_entry(generator, settings, seed, index)["question"])
    return json.dumps({"generator": generator, "settings": settings, "seed": seed, "index": index, "digest": digest})


def grade(puzzle: str, completion: str) -> float | NotMeasured:
    """Return 1.0 if the final answer of a completion solves the puzzle, else 0.0.

    `NotMeasured("gold")` if the same puzzle cannot be made again.

    Args:
        puzzle: as `make_puzzle` returns it.
        completion: the whole text.
    """
    stored = json.loads(puzzle)
    generator, settings, seed = stored["generator"], stored["settings"], stored["seed"]
    entry = puzzle_entry(generator, settings, seed, stored["index"])
    if _digest(entry["question"]) != stored["digest"]:
        return NotMeasured("gold", f"{generator} now makes another puzzle; has the release of reasoning-gym changed?")
    golds = golds_of(generator, entry)
    answer = final_text(completion, several_lines=any("\n" in gold.strip() for gold in golds))
    if answer is None or not answer.strip() or len(answer) > LONGEST_ANSWER:
        return 0.0
    return float(_is_right(generator, settings, seed, entry, golds, answer))


def _is_right(generator: str, settings: str, seed: int, entry: dict[str, Any], golds: list[str], answer: str) -> bool:
    rule = RULES.get(generator, _NO_RULE)
    if any(_same_text(answer, gold, rule.ignore_case) for gold in golds):
        return True
    if rule.text:
        return False
    dataset = puzzle_dataset(generator, settings, seed)
    return any(_full_marks(dataset, rule, entry, form) for form in _forms(answer) if _has_form(rule, form))


def _full_marks(dataset: Any, rule: Rule, entry: dict[str, Any], answer: str) -> bool:
    """Return whether an answer earns full marks; one on which the scorer raises does not: it can read the gold one."""
    entry = copy.deepcopy(entry)  # some scorers write into it
    try:
        return bool(dataset.score_answer(answer, entry) == 1.0 and (rule.valid is None or rule.valid(answer, entry)))
    except MemoryError:
        raise
    except Exception:
        return False


def _has_form(rule: Rule, answer: str) -> bool:
    if not rule.form:
        return True
    answer = " ".join(answer.split())
    return len(answer) <= _LONGEST_FORM and re.fullmatch(rule.form, answer) is not None


def _forms(answer: str) -> list[str]:
    """Return an answer unchanged, without surrounding space, and without any decoration."""
    return [*dict.fromkeys((answer, answer.strip(), undecorated(answer)))]


def _same_text(answer: str, gold: str, ignore_case: bool) -> bool:
    answer, gold = (undecorated(text) or text for text in (answer, gold))
    return answer.casefold() == gold.casefold() if ignore_case else answer == gold


def golds_of(generator: str, entry: dict[str, Any]) -> list[str]:
    """Return the texts that are known to be right; empty if there are none."""
    rule = RULES.get(generator, _NO_RULE)
    golds = entry["metadata"].get(rule.gold) if rule.gold else entry["answer"]
    if isinstance(golds, dict):
        golds = json.dumps(golds)
    if golds is None:
        return []
    golds = golds if isinstance(golds, list) else [golds]
    own = entry["answer"]
    return [*dict.fromkeys([own, *golds] if own is not None else golds)]


@functools.lru_cache(maxsize=64)
def puzzle_dataset(generator: str, settings: str, seed: int) -> Any:
    """Return reasoning-gym's own dataset."""
    return reasoning_gym.create_dataset(generator, seed=seed, size=SIZE, **json.loads(settings))


@functools.lru_cache(maxsize=1024)
def puzzle_entry(generator: str, settings: str, seed: int, index: int) -> dict[str, Any]:
    """Return reasoning-gym's own entry: question, answer, metadata."""
    entry: dict[str, Any] = puzzle_dataset(generator, settings, seed)[index]
    return entry


def _digest(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:16]
