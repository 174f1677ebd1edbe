"""Faithfulness to a given text: the share of a completion's sentences that a judge finds supported by it."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from ...common.graders.not_measured import NotMeasured
from ..rewards.spec import Spec
from .completions import last_text
from .judge import Question, verdicts
from .model import ChatModel
from .sentences import sentences

_SUPPORTED, _UNSUPPORTED = "SUPPORTED", "UNSUPPORTED"
_NOWHERE = "Seven hundred purple whales signed this with their own hands on Mars."


def faithfulness_spec(
    dataset: Dataset,
    judge: ChatModel,
    *,
    deadline: float = 300.0,
    most_sentences: int = 64,
    rows_checked: int = 4,
    name: str = "faithfulness",
) -> Spec:
    """Return a Spec of prompts to be answered from a given text, with the reward of `FaithfulnessReward`.

    In the Spec's check the judge must find a sentence of the text supported, and one that no text contains unsupported.

    Args:
        dataset: with the columns "prompt" and "context", the given text, which the prompt should contain too.
        judge: judges sentence by sentence; two chats per sentence.
        deadline: seconds for its verdicts on a batch of completions.
        most_sentences: largest number of sentences per completion that are judged.
        rows_checked: rows on which the reward, and with it the judge, is tried.
        name: name of the domain.

    Raises:
        ValueError: a column is missing, a context has no sentence, a number is out of range, or the judge fails the
            check.
    """
    for column in ("prompt", "context"):
        if column not in dataset.column_names:
            raise ValueError(f"dataset must have a column {column!r}; it has {dataset.column_names}.")
    if empty := [row for row, context in enumerate(dataset["context"]) if not sentences(context or "")]:
        raise ValueError(f"every context must have a sentence; rows {empty[:5]} have none. Leave them out.")
    reward = FaithfulnessReward(judge, deadline=deadline, most_sentences=most_sentences)
    return Spec(name, dataset, [reward], rows_checked=rows_checked)


class FaithfulnessReward:
    """A reward function: the share of a completion's sentences that the given text supports, in [0, 1].

    Sentences are split by `sentences`; a repeated one counts once, so that repeating a supported sentence hides
    nothing. Those beyond most_sentences count as unsupported and are not judged. A completion without a sentence earns
    0; it is not measured if a sentence has no readable verdict. A limitation: short answers are the easiest to support,
    so add a reward for what the prompt asks.

    Args:
        judge: asked once per batch, with two chats per sentence.
        deadline: seconds for its verdicts on a batch.
        most_sentences: largest number of sentences per completion that are judged.

    Raises:
        ValueError: a number is not positive.
    """

    variants = ("plain", "spaces", "newline", "bold")

    def __init__(self, judge: ChatModel, *, deadline: float = 300.0, most_sentences: int = 64) -> None:
        for name, value in (("deadline", deadline), ("most_sentences", most_sentences)):
            if not value > 0:
                raise ValueError(f"{name} must be positive; got {value!r}.")
        self.__name__ = "faithfulness"
        self.judge, self.deadline, self.most_sentences = judge, deadline, most_sentences

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], context: Sequence[str], **_: Any
    ) -> list[float]:
        """Return the reward of each completion, in [0, 1], or a `NotMeasured`."""
        of_each = [list(dict.fromkeys(sentences(last_text(completion)))) for completion in completions]
        questions = [
            Question(
                "Is what the sentence says supported by the text alone, without other knowledge?",
                {
                    _SUPPORTED: "the text says it, or it follows from the text",
                    _UNSUPPORTED: "the text contradicts it, or does not say all of it",
                },
                {"text": text, "sentence": sentence},
            )
            for text, own in zip(context, of_each, strict=True)
            for sentence in own[: self.most_sentences]
        ]
        found = iter(verdicts(self.judge, questions, self.deadline))
        rewards: list[float] = []
        for own in of_each:
            given = [next(found) for _ in own[: self.most_sentences]]
            missing = next((verdict for verdict in given if isinstance(verdict, NotMeasured)), None)
            share = sum(verdict == _SUPPORTED for verdict in given) / max(len(own), 1)
            rewards.append(share if missing is None else missing)
        return rewards

    def gold(self, row: dict[str, Any]) -> str:
        """Return the text's first sentence, which the text supports."""
        return sentences(row["context"])[0]

    def wrong(self, row: dict[str, Any]) -> list[str]:
        """Return a sentence that no text supports."""
        return [_NOWHERE]
