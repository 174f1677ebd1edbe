"""Instruction following: checkers in code, a penalty for falsely claimed compliance, a judge for the rest.

spec = instruction_spec(instruction_rows(1000, seed=0))
"""

import importlib.util
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset

from ...common.graders.grader_pool import GraderPool, default_pool
from ...common.graders.not_measured import NotMeasured
from ...common.loggers import get_logger
from ..graders.deadline import told
from ..rewards.spec import Spec
from .completions import last_text, whole_text
from .judge import Question, verdicts
from .model import ChatModel

logger = get_logger(__name__)

_FOLLOWED, _BROKEN = "FOLLOWED", "BROKEN"
_SHOWN = 5  # rows in a message


def instruction_spec(
    dataset: Dataset,
    *,
    claim_penalty: float = 0.5,
    judge: ChatModel | None = None,
    judge_deadline: float = 300.0,
    pool: GraderPool | None = None,
    name: str = "instruction",
) -> Spec:
    """Return a Spec of prompts with instructions that code can check, as in IFEval and IFBench.

    Rows whose instructions cannot be checked in this environment (several checkers need data of NLTK, which is never
    downloaded) are left out, and counted per instruction in a warning. The Spec's check tries the reward on the columns
    "gold" (a text, or None) and "wrong" (a list of texts) if the dataset has them.

    Args:
        dataset: with the columns "prompt", "instruction_id_list" (ids of IFEval or IFBench) and "kwargs" (a dict of
            arguments for each); and, for a judge, "judged_instructions" (sentences).
        claim_penalty: lost by a completion that claims to follow an instruction that it breaks; in [0, 1].
        judge: judges the judged_instructions.
        judge_deadline: seconds for its verdicts on a batch of completions.
        pool: workers that run the checkers; None for this process's pool.
        name: name of the domain.

    Raises:
        ImportError: if-verifiable is not installed.
        ValueError: a column is missing; a row has no instruction, an unknown one, or not the arguments that its checker
            takes (it would draw missing ones at random); no row is left; there are judged_instructions but no judge; or
            the reward fails its check.
    """
    if importlib.util.find_spec("if_verifiable") is None:
        raise ImportError("instruction_spec needs if-verifiable, which is not installed: pip install hf_muonclip[rl].")
    for column in ("prompt", "instruction_id_list", "kwargs"):
        if column not in dataset.column_names:
            raise ValueError(f"dataset must have a column {column!r}; it has {dataset.column_names}.")
    pool = default_pool() if pool is None else pool
    if judge is None and any(dataset["judged_instructions"] if "judged_instructions" in dataset.column_names else []):
        raise ValueError("judged_instructions need a judge; got judge=None. Pass a ChatModel, or remove the column.")
    dataset = _checkable(dataset, pool)
    reward = InstructionReward(claim_penalty=claim_penalty, judge=judge, judge_deadline=judge_deadline, pool=pool)
    return Spec(name, dataset, [reward])


class InstructionReward:
    """A reward function: 1 for a completion that follows all its instructions, else 0, or less for a false claim.

    Surrounding space and the reasoning up to </think> are removed first. A blank completion follows nothing. A
    completion that breaks an instruction and claims to have followed it (`false_claims`) earns -claim_penalty. The
    judge is asked about the row's judged_instructions only if the completion follows all others.

    Logs the share of completions that falsely claim compliance.

    Args:
        claim_penalty: in [0, 1].
        judge: for judged_instructions.
        judge_deadline: seconds for its verdicts on a batch.
        pool: workers that run the checkers; None for this process's pool.

    Raises:
        ValueError: claim_penalty is out of range.
    """

    variants = ("plain", "spaces", "newline")  # any other may break an instruction
    wrong_texts = ("empty", "blank")  # any other text may follow an instruction

    def __init__(
        self,
        *,
        claim_penalty: float = 0.5,
        judge: ChatModel | None = None,
        judge_deadline: float = 300.0,
        pool: GraderPool | None = None,
    ) -> None:
        if not 0 <= claim_penalty <= 1:
            raise ValueError(f"claim_penalty must be in [0, 1]; got {claim_penalty!r}.")
        self.__name__ = "instruction_following"
        self.claim_penalty, self.judge, self.judge_deadline = claim_penalty, judge, judge_deadline
        self.pool = default_pool() if pool is None else pool

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        instruction_id_list: Sequence[Sequence[str]],
        kwargs: Sequence[Sequence[dict[str, Any]]],
        judged_instructions: Sequence[Sequence[str] | None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        """Return the reward of each completion, in [-claim_penalty, 1], or a `NotMeasured`."""
        from .instruction_checks import grade

        texts = [last_text(completion) for completion in completions]
        calls = list(zip(instruction_id_list, kwargs, texts, strict=True))
        try:
            found = self.pool.map(grade, calls)
        except RuntimeError as error:  # no worker can start
            found = [NotMeasured("error", told(error))] * len(calls)
        judged = self._judged(prompts, texts, found, judged_instructions or [None] * len(texts))
        rewards, liars = [], 0
        for result, verdict in zip(found, judged, strict=True):
            if isinstance(result, NotMeasured) or isinstance(verdict, NotMeasured):
                rewards.append(result if isinstance(result, NotMeasured) else verdict)
                continue
            followed, falsely_claimed, claims_everything = result
            right = all(followed) and verdict
            lies = any(falsely_claimed) or (claims_everything and not right)
            liars += lies
            rewards.append(-self.claim_penalty if lies else float(right))
        if log_metric is not None and texts:
            log_metric(f"{self.__name__}/falsely_claimed", liars / len(texts))
        return rewards

    def gold(self, row: dict[str, Any]) -> str | None:
        """Return the row's answer that follows all instructions; None if it has none."""
        return row.get("gold")

    def wrong(self, row: dict[str, Any]) -> list[str]:
        """Return the row's answers that break an instruction."""
        return list(row.get("wrong") or [])

    def _judged(
        self, prompts: Sequence[Any], texts: list[str], found: list[Any], instructions: Sequence[Sequence[str] | None]
    ) -> list[Any]:
        """Return, per completion, whether it follows its judged instructions, or a NotMeasured."""
        asked = [
            (place, instruction)
            for place, (result, of_row) in enumerate(zip(found, instructions, strict=True))
            if not isinstance(result, NotMeasured) and all(result[0]) and texts[place].strip()
            for instruction in of_row or []
        ]
        judged: list[Any] = [bool(text.strip()) for text in texts]
        if not asked:
            return judged
        assert self.judge is not None
        questions = [
            Question(
                f"Does the response follow this instruction of the request: {instruction}",
                {_FOLLOWED: "the response follows the instruction", _BROKEN: "it does not, or not entirely"},
                {"request": whole_text(prompts[place]), "response": texts[place]},
            )
            for place, instruction in asked
        ]
        for (place, _), verdict in zip(asked, verdicts(self.judge, questions, self.judge_deadline), strict=True):
            if verdict == _BROKEN:  # even if other verdicts are missing
                judged[place] = False
            elif isinstance(verdict, NotMeasured) and judged[place] is not False:
                judged[place] = verdict
        return judged


def _checkable(dataset: Dataset, pool: GraderPool) -> Dataset:
    """Return the rows whose instructions can all be checked; raise if a row has wrong instructions."""
    from .instruction_checks import REFUSED, problem

    calls, homes, refused = [], [], []
    judged = dataset["judged_instructions"] if "judged_instructions" in dataset.column_names else [None] * len(dataset)
    for row, (ids, kwargs, further) in enumerate(
        zip(dataset["instruction_id_list"], dataset["kwargs"], judged, strict=True)
    ):
        if not ids and not further:
            refused.append(f"row {row} has no instruction")
        elif len(ids) != len(kwargs or []):
            refused.append(f"row {row} has {len(ids)} instructions and {len(kwargs or [])} kwargs")
        else:
            calls += [(instruction, arguments) for instruction, arguments in zip(ids, kwargs, strict=True)]
            homes += [row] * len(ids)
    left_out: dict[int, str] = {}
    for row, (instruction, _), found in zip(homes, calls, pool.map(problem, calls), strict=True):
        if isinstance(found, NotMeasured):
            left_out[row] = f"{instruction} ({found.cause}: {found.detail})"
        elif found is not None and found[0] == REFUSED:
            refused.append(f"row {row}: {instruction} {found[1]}")
        elif found is not None:
            left_out[row] = f"{instruction} ({found[1]})"
    if refused:
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise ValueError(
            f"every row must have instructions that exist, with the arguments that their checkers take. "
            f"{'; '.join(refused[:_SHOWN])}{more}. Correct these rows or leave them out."
        )
    if left_out:
        counts = Counter(left_out.values())
        reasons = ", ".join(f"{count} for {why}" for why, count in sorted(counts.items()))
        if len(left_out) == len(dataset):
            raise ValueError(f"no row can be checked here: {reasons}. Install the data, or use other instructions.")
        logger.warning(
            "%d of %d rows are left out, because they cannot be checked here: %s.", len(left_out), len(dataset), reasons
        )
        dataset = dataset.select([row for row in range(len(dataset)) if row not in left_out])
    return dataset
