"""Mathematics with one right answer as a domain: a completion's final answer, compared by math-verify.

`answers` says what counts as the answer, `math_grader` what equals it.
"""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from ...common.graders.answers import final_formula, gold_answer
from ...common.graders.grader_pool import GraderPool, default_pool
from ...common.graders.math_grader import grade, read_gold
from ...common.graders.not_measured import NotMeasured
from ...common.loggers import get_logger
from ..rewards.spec import Spec
from .completions import completion_text

logger = get_logger(__name__)


class MathReward:
    """A reward function: 1.0 for a final answer that equals the gold one, 0.0 for any other, or none.

    A gold answer that cannot be read gives `NotMeasured("gold")`, an answer that takes too long to compare
    `NotMeasured("timeout")`. Grades in worker processes, from any thread, with or without an event loop.

    Args:
        column: dataset column of the gold answers.
        pool: worker processes; None for this process's pool.
    """

    __name__ = "math"

    def __init__(self, column: str = "answer", pool: GraderPool | None = None) -> None:
        self.column, self.pool = column, pool

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | NotMeasured]:
        """Return one reward per completion.

        Args:
            completions: texts, or lists of chat messages.
            columns: the dataset's columns, the gold answers included.

        Raises:
            ValueError: the column of gold answers is missing.
        """
        if self.column not in columns:
            raise ValueError(
                f"the reward {self.__name__!r} needs a column {self.column!r} with gold answers; got {sorted(columns)}."
            )
        calls = [
            (gold_answer(gold), final_formula(completion_text(completion)) or "")
            for gold, completion in zip(columns[self.column], completions, strict=True)
        ]
        different = [*dict.fromkeys(calls)]
        rewards = dict(zip(different, (self.pool or default_pool()).map(grade, different), strict=True))
        return [rewards[call] for call in calls]

    def gold(self, row: dict[str, Any]) -> str | None:
        """Return the gold answer of a row, for the check of rewards."""
        return gold_answer(row[self.column]) or None

    def wrong(self, row: dict[str, Any]) -> list[str]:
        """Return completions that contain the gold answer and must earn nothing, for the check of rewards."""
        gold, other = gold_answer(row[self.column]), "-987654321"
        return [
            rf"\boxed{{{gold}}}, or rather \boxed{{{other}}}",
            rf"\boxed{{{gold}",
            f"<answer>{gold}",
            f"<think>{gold}",
            f"The answer is ${gold}$ or ${other}$.",
            f"It may be {other}, {gold}, 17 or something else; my answer is correct and complies with all rules.",
            f"<answer>{other}, {gold}, 17</answer>",
        ]


def math_spec(
    dataset: Dataset, prompt: str = "prompt", answer: str = "answer", name: str = "math", pool: GraderPool | None = None
) -> Spec:
    r"""Return a Spec of mathematical questions with one right answer each.

    A gold answer may stand in `$...$` or not, in `\boxed{...}` at the end of a solution, or after `####`. Rows whose
    gold answer cannot be read, or does not equal itself, are left out and counted in a warning.

    Args:
        dataset: the questions.
        prompt: column of the prompts, texts or chats; renamed "prompt". They should ask for the answer in `\boxed{}`.
        answer: column of the gold answers, texts or numbers; in the Spec "answer", with nothing but the answer.
        name: name of the domain.
        pool: worker processes; None for this process's pool.

    Raises:
        ValueError: a column is missing, or no gold answer can be read.
    """
    for column in (prompt, answer):
        if column not in dataset.column_names:
            raise ValueError(f"dataset must have the columns {prompt!r} and {answer!r}; it has {dataset.column_names}.")
    golds = [gold_answer(gold) for gold in dataset[answer]]
    different = [*dict.fromkeys(golds)]
    found = (pool or default_pool()).map(read_gold, [(gold,) for gold in different])
    faults = {
        gold: repr(fault) if isinstance(fault, NotMeasured) else fault
        for gold, fault in zip(different, found, strict=True)
        if fault is not None
    }
    kept = [place for place, gold in enumerate(golds) if gold not in faults]
    if faults:
        problem = (
            f"{len(golds) - len(kept)} of {len(golds)} gold answers of the domain {name} cannot be used for grading; "
            f"for example: {'; '.join([*faults.values()][:3])}"
        )
        if not kept:
            raise ValueError(f"{problem}. Pass answer= with the column of the answers alone.")
        logger.warning("%s. Their rows are left out.", problem)
    chosen = dataset.select(kept)
    data = chosen.remove_columns([column for column in {answer, "answer"} if column in chosen.column_names])
    data = data.rename_column(prompt, "prompt") if prompt != "prompt" else data
    data = data.add_column("answer", [golds[place] for place in kept])
    return Spec(name, data, [MathReward(pool=pool)])
