"""What datatrove's inference runner does with each document: rephrase it, by the server that the runner drives.

Needs `pip install datatrove[inference]`; nothing else of the package imports this file.
"""

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.inference.types import InferenceError, InferenceResult

from .generator import PROBE, Chat, Generated, GenerationError, OnAnswer, Refused, check_same_number
from .rephraser import Rephraser
from .server_generator import ENDS, REFUSALS

_REFUSAL = "BadRequestError from server: "  # by which the runner knows status 400, also in what it keeps
_SHOWN = 300  # characters of a server's words

_Generate = Callable[[dict[str, Any]], Awaitable[InferenceResult]]


class RephraseRollout:
    """A rollout function for datatrove's `InferenceRunner`, with any of its servers: vLLM, SGLang, an endpoint.

        config = InferenceConfig("vllm", "Qwen/Qwen3-4B", default_generation_params={"max_tokens": 1024})
        InferenceRunner(RephraseRollout(rephrasings=4), config, JsonlWriter("out"))

    The runner gives each document its rephrasings, kept and dropped ones, as metadata: a list with one entry
    (rollouts_per_document must be 1), which is the list of rows that `Rephraser` gives, scores as JSON. Sampling is the
    runner's: temperature, top_p and max_tokens of its default_generation_params. Its request cache and checkpoints
    (checkpoints_local_dir) keep what was answered when a run is ended; that a request was refused with status 400 too.
    A refused chat drops its rephrasing; where the server also refuses a chat of two words, the run ends instead.

    A document's gate runs in a thread, so that other documents' requests go on.

    Args:
        threads: documents that are rephrased at a time, of those that the runner holds at a time.
        settings: keywords of `Rephraser`. Its `title_column` names an entry of metadata, its `column` and `id_column`
            are not read: datatrove's documents have text and id.

    Raises:
        ValueError: threads is not positive, or a setting is out of range.
    """

    def __init__(self, *, threads: int = 256, **settings: Any) -> None:
        if threads < 1:
            raise ValueError(f"threads must be 1 or more; got {threads!r}.")
        self.threads = threads
        self.rephraser = Rephraser(_Unasked(), **settings)
        self._pool: ThreadPoolExecutor | None = None

    async def __call__(self, document: Document, generate: _Generate) -> list[dict[str, Any]]:
        """Return the rows of a document's rephrasings.

        Raises:
            InferenceError: the runner got no answer from its server.
            GenerationError: the server gave an answer up, or refuses all chats.
        """
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads)
        loop = asyncio.get_running_loop()
        rephraser = copy.copy(self.rephraser)
        rephraser.generator = _Asking(loop, generate)
        title = self.rephraser.title_column
        titles = [document.metadata.get(title)] if title else None
        rows = await loop.run_in_executor(
            self._pool, lambda: rephraser.rephrased([document.text], ids=[document.id], titles=titles)
        )
        return [{**asdict(row), "scores": json.dumps(row.scores, sort_keys=True)} for row in rows]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_pool": None}


@dataclass(frozen=True)
class _Asking:
    """A generator, called in a thread, that asks in the runner's event loop."""

    loop: asyncio.AbstractEventLoop
    ask: _Generate
    identity: str = "datatrove"

    def generate(
        self, chats: Sequence[Chat], seeds: Sequence[int], on_answer: OnAnswer | None = None
    ) -> list[Generated | Refused]:
        check_same_number(chats, seeds)

        async def all_answers() -> list[Generated | Refused]:
            asked = (self._answer(chat, seed) for chat, seed in zip(chats, seeds, strict=True))
            found = await asyncio.gather(*asked)
            if any(isinstance(one, Refused) for one in found):
                probed = await self._answer(PROBE, 0)
                if isinstance(probed, Refused):
                    raise GenerationError(
                        f"the server refuses all chats, also one of two words: {probed.reason}. Where the runner has a "
                        "checkpoints_local_dir, it keeps that: remove replay.sqlite3 there before the next run."
                    )
            return found

        answers = asyncio.run_coroutine_threadsafe(all_answers(), self.loop).result()
        if on_answer is not None:
            for place, answer in enumerate(answers):
                if isinstance(answer, Generated):
                    on_answer(place, answer)
        return answers

    async def _answer(self, chat: Chat, seed: int) -> Generated | Refused:
        try:
            return _generated(await self.ask({"messages": chat, "seed": seed}))
        except InferenceError as error:
            said = _refusal(error)
            if said is None:
                raise
            return Refused("chat_refused", f"the server refused the chat: {said[:_SHOWN]}")


@dataclass(frozen=True)
class _Unasked:
    identity: str = "datatrove"

    def generate(
        self, chats: Sequence[Chat], seeds: Sequence[int], on_answer: OnAnswer | None = None
    ) -> list[Generated]:
        raise AssertionError("a document's own generator is asked")


def _refusal(error: InferenceError) -> str | None:
    """Return a server's words where it refused one request; None where something else failed."""
    said = str(error.error)
    if _REFUSAL in said:
        return said.partition(_REFUSAL)[2]
    return said if getattr(error.__cause__, "status_code", None) in REFUSALS else None


def _generated(result: InferenceResult) -> Generated:
    finished = ENDS.get(result.finish_reason)
    if finished is None:
        raise GenerationError(f"the server gave an answer up, finish_reason {result.finish_reason!r}. Run again.")
    usage = result.usage
    return Generated(result.text, int(usage["prompt_tokens"]), int(usage["completion_tokens"]), finished)
