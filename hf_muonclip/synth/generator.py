"""What writes texts: a model in this process, or one behind a server. What it writes depends on chat and seed alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Chat = list[dict[str, str]]  # messages with "role" and "content", oldest first


@dataclass(frozen=True)
class Generated:
    """One answer.

    Attributes:
        text: without special tokens.
        prompt_tokens: of the chat.
        new_tokens: of the answer, its end token among them.
        finished: whether the model ended it; False where it was cut at the largest number of tokens.
    """

    text: str
    prompt_tokens: int
    new_tokens: int
    finished: bool


@dataclass(frozen=True)
class Refused:
    """What stands in the place of an answer to a chat that gets none, while others are answered.

    It is a finding about the chat, never about the infrastructure, and costs nothing to find again: caches do not hold
    it.

    Attributes:
        cause: "chat_too_long" or "chat_refused"; `answer_checks.CAUSES` says what they mean.
        reason: in a sentence, with the values at hand.
    """

    cause: str
    reason: str


OnAnswer = Callable[[int, Generated], None]  # the place of a chat in its batch, and its answer


class GenerationError(RuntimeError):
    """The infrastructure failed: a server is gone, hangs, stays busy or refuses all. It is never an empty text."""


class Generator(Protocol):
    """A model with its settings.

    Attributes:
        identity: names the model, its weights, and every setting that changes what it writes.
    """

    @property
    def identity(self) -> str:
        """The model, its weights and settings, in a text that differs where they do."""

    def generate(
        self, chats: Sequence[Chat], seeds: Sequence[int], on_answer: OnAnswer | None = None
    ) -> Sequence[Generated | Refused]:
        """Return the answer to each chat, or why it gets none, in order.

        Args:
            chats: what is answered.
            seeds: of each chat's sampling.
            on_answer: called with each answer as soon as it is there, in any order; not with what is refused.

        Raises:
            GenerationError: a chat that is not refused got no answer.
        """


# Asked where chats were refused: who refuses it too refuses all chats.
PROBE: Chat = [{"role": "user", "content": "Say yes."}]


def check_same_number(chats: Sequence[Chat], seeds: Sequence[int]) -> None:
    """Refuse chats and seeds that do not belong together.

    Raises:
        ValueError: their numbers differ.
    """
    if len(chats) != len(seeds):
        raise ValueError(f"there must be one seed per chat; got {len(seeds)} seeds for {len(chats)} chats.")


def check_sampling(max_new_tokens: int, temperature: float, top_p: float) -> dict[str, Any]:
    """Return settings of sampling by their names.

    Raises:
        ValueError: one is out of range.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be 1 or more; got {max_new_tokens!r}.")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be 0 (greedy) or more; got {temperature!r}.")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be in (0, 1]; got {top_p!r}. 1 keeps all tokens.")
    return {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p}
