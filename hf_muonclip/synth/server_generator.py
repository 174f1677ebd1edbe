"""A model behind a server with OpenAI's API of chat completions: vLLM, SGLang, llama.cpp and others."""

import asyncio
import contextlib
import email.utils
import json
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx

from .generator import (
    PROBE,
    Chat,
    Generated,
    GenerationError,
    OnAnswer,
    Refused,
    check_same_number,
    check_sampling,
)

REFUSALS = {400, 413, 422}  # statuses that may be about the one chat: too long, filtered
_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # statuses of a server that may answer another time
# Why an answer ended, and whether the model ended it. All else ("abort", "error", null) is a server's failure.
ENDS = {"stop": True, "length": False, "content_filter": False}
_LONGEST_WAIT = 60.0  # seconds between two attempts, whatever the server asks for
_SHOWN = 300  # characters of an answer in an error


class ServerGenerator:
    """A `Generator` behind a server.

    Each chat is a request of its own, with its seed. A request that the server is too busy for (429, 503 and the like),
    that is late, does not arrive or is given up by the server ("abort") is sent again, after as long as the server asks
    for (Retry-After) or 1, 2, 4 ... seconds, at most a minute. Whether equal seeds give equal texts is the server's
    affair. No saved token of the Hub is sent.

    A chat that the server refuses (400, 413, 422) is `Refused` with the server's words, provided that it answers
    others: one of the batch that was asked later, or else a chat of two words, which is asked for that alone. A server
    that refuses all has failed.

    Args:
        base_url: up to "/v1", as of OpenAI's client: "http://localhost:8000/v1".
        model: its name on the server.
        max_new_tokens: of an answer.
        temperature: of sampling; 0 is greedy.
        top_p: the smallest set of tokens of at least this probability is sampled from.
        deadline: seconds of one request, from its first byte to the last.
        retries: how often a request is sent again.
        concurrency: requests at a time.
        api_key: sent as a bearer token; None sends none.
        extra_body: further fields of each request, or others in their place, such as
            {"chat_template_kwargs": {"enable_thinking": False}} for models that think.

    Raises:
        ValueError: base_url is no address, or a number is out of range.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        max_new_tokens: int = 1024,
        temperature: float = 0.7,
        top_p: float = 0.95,
        deadline: float = 300.0,
        retries: int = 5,
        concurrency: int = 16,
        api_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        if not _is_address(base_url):
            raise ValueError(f"base_url must be an address such as http://localhost:8000/v1; got {base_url!r}.")
        if not deadline > 0 or concurrency < 1 or retries < 0:
            raise ValueError(
                "deadline must be positive, concurrency 1 or more and retries 0 or more; got "
                f"deadline={deadline!r}, concurrency={concurrency!r}, retries={retries!r}."
            )
        self._sampling = check_sampling(max_new_tokens, temperature, top_p)
        self.url, self.model = f"{base_url.rstrip('/')}/chat/completions", model
        self.deadline, self.retries, self.concurrency = deadline, retries, concurrency
        self._api_key, self._extra = api_key, dict(extra_body or {})

    @property
    def identity(self) -> str:
        """The model's name and the settings; the server does not say which weights it has, nor does its address."""
        return f"server {self.model} {json.dumps({**self._sampling, **self._extra}, sort_keys=True)}"

    def generate(
        self, chats: Sequence[Chat], seeds: Sequence[int], on_answer: OnAnswer | None = None
    ) -> list[Generated | Refused]:
        """Return the answer to each chat, or why it gets none, in order.

        Raises:
            GenerationError: a chat got no answer, or the server refuses all. The others under way are waited for, and
                on_answer has them.
        """
        check_same_number(chats, seeds)
        loops: list[asyncio.AbstractEventLoop] = []
        # In a thread, whose event loop is nobody else's.
        with ThreadPoolExecutor(1) as thread:
            asking = thread.submit(asyncio.run, self._all(chats, seeds, on_answer, loops))
            try:
                return asking.result()
            except KeyboardInterrupt:  # nothing more is asked, or waited for
                with contextlib.suppress(RuntimeError):  # it has just ended
                    for loop in loops:
                        loop.call_soon_threadsafe(_cancel_all, loop)
                raise

    async def _all(
        self,
        chats: Sequence[Chat],
        seeds: Sequence[int],
        on_answer: OnAnswer | None,
        loops: list[asyncio.AbstractEventLoop],
    ) -> list[Generated | Refused]:
        loops.append(asyncio.get_running_loop())
        headers = {} if self._api_key is None else {"Authorization": f"Bearer {self._api_key}"}
        todo = iter(range(len(chats)))
        answers: dict[int, Generated | Refused] = {}
        refused = believed = 0  # refusals; those behind which the server was asked and has answered
        failures: list[GenerationError] = []

        async def work(client: httpx.AsyncClient) -> None:
            nonlocal refused, believed
            for place in todo:
                if failures:  # what is under way ends, nothing more begins
                    return
                before = refused
                try:
                    answers[place] = answer = await self._answer(client, chats[place], seeds[place])
                except GenerationError as failure:
                    failures.append(failure)
                    return
                if isinstance(answer, Refused):
                    refused += 1
                    continue
                believed = max(believed, before)
                if on_answer is not None:
                    on_answer(place, answer)

        limits = httpx.Limits(max_connections=self.concurrency)
        async with httpx.AsyncClient(headers=headers, timeout=None, limits=limits) as client:
            working: list[Coroutine[Any, Any, None]] = [work(client) for _ in range(min(self.concurrency, len(chats)))]
            await asyncio.gather(*working)
            if failures:
                raise failures[0]
            if believed < refused and isinstance(probed := await self._answer(client, PROBE, 0), Refused):
                raise GenerationError(f"{self.url} refuses all chats, also one of two words: {probed.reason}")
        return [answers[place] for place in range(len(chats))]

    async def _answer(self, client: httpx.AsyncClient, chat: Chat, seed: int) -> Generated | Refused:
        settings = self._sampling
        body = {
            "model": self.model,
            "messages": chat,
            "seed": seed,
            "max_tokens": settings["max_new_tokens"],
            "temperature": settings["temperature"],
            "top_p": settings["top_p"],
            **self._extra,
        }
        for attempt in range(self.retries + 1):
            wait = min(2.0**attempt, _LONGEST_WAIT)
            try:
                async with asyncio.timeout(self.deadline):
                    response = await client.post(self.url, json=body)
            except TimeoutError:
                problem = f"no answer within {self.deadline:g} s"
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                problem = f"{response.status_code}: {response.text[:_SHOWN]}"
                if response.is_success:
                    answer = self._read(response)
                    if answer is not None:
                        return answer
                elif response.status_code in REFUSALS:
                    return Refused("chat_refused", f"the server refused the chat with {problem}")
                elif response.status_code not in _AGAIN:
                    raise GenerationError(f"{self.url} refuses to answer with {problem}")
                wait = min(_asked_wait(response) or wait, _LONGEST_WAIT)
            if attempt < self.retries:
                await asyncio.sleep(wait)
        raise GenerationError(f"{self.url} gave no answer in {self.retries + 1} attempts; the last: {problem}")

    def _read(self, response: httpx.Response) -> Generated | None:
        """Return the answer; None where the server has given it up.

        Raises:
            GenerationError: it is no chat completion.
        """
        try:
            answer = response.json()
            choice, usage = answer["choices"][0], answer["usage"]
            message, finished = choice["message"], ENDS.get(choice["finish_reason"])
            # No content: a model that declined in a field of its own, or did nothing but think.
            text = message["content"] if message["content"] is not None else message.get("refusal") or ""
            tokens = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            said = response.text[:_SHOWN]
            raise GenerationError(f"{self.url} answered with no chat completion ({error!r}): {said}") from error
        if finished is None:
            return None
        if not isinstance(text, str):
            raise GenerationError(f"{self.url} answered without a text: {response.text[:_SHOWN]}")
        return Generated(text, *tokens, finished)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets, or a port that is none
        return False


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _asked_wait(response: httpx.Response) -> float | None:
    """Return the seconds that Retry-After asks for, a number or a date; None where it asks for none."""
    asked = response.headers.get("Retry-After", "")
    try:
        return max(float(asked), 0.0)
    except ValueError:
        date = email.utils.parsedate_tz(asked)
        return None if date is None else max(email.utils.mktime_tz(date) - time.time(), 0.0)
