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


OnAnswer = Callable[[int, Generated], None]  # the place of a chat in its batch, and its answer


class GenerationError(RuntimeError):
    """The infrastructure failed: a server is gone, hangs, or stays busy. It is never an empty text."""


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
    ) -> list[Generated]:
        """Return the answer to each chat, in order.

        Args:
            chats: what is answered.
            seeds: of each chat's sampling.
            on_answer: called with each answer as soon as it is there, in any order.

        Raises:
            GenerationError: a chat got no answer.
        """


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
