"""Models in other roles than the policy's: judges, attackers, targets; in this process or behind a server."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ..graders.deadline import LONGEST_DETAIL, described, within
from ..rewards.not_measured import NotMeasured

if TYPE_CHECKING:
    from transformers import TextGenerationPipeline

Chat = list[dict[str, str]]
# From a batch of chats to the reply to each; it may raise, and may give a NotMeasured for a chat that got no reply.
ChatModel = Callable[[list[Chat]], Sequence[str | NotMeasured]]

_BUSY = (408, 429)  # states of a server that may answer another time


def ask(model: ChatModel, chats: Sequence[Chat], deadline: float) -> list[str | NotMeasured]:
    """Return the model's reply to each chat, in order; a `NotMeasured` where there is none.

    The model runs in a thread of its own, so that one that hangs holds up nobody beyond the deadline.

    Args:
        model: called once, with all chats; not at all where there are none.
        chats: messages with "role" and "content", oldest first.
        deadline: seconds for all replies together.

    Returns:
        Texts. NotMeasured("unreachable") for all chats where the model raises, "timeout" where it is late, "error"
        where it gives another number of replies than chats; "error" for a reply that is no text.

    Raises:
        ValueError: the deadline is not positive.
    """
    if not deadline > 0:
        raise ValueError(f"deadline must be positive, in seconds; got {deadline!r}.")
    if not chats:
        return []
    given = [[dict(message) for message in chat] for chat in chats]
    replies: Any = within(deadline, lambda: model(given), raised="unreachable")
    if not isinstance(replies, NotMeasured) and not (isinstance(replies, Sequence) and not isinstance(replies, str)):
        replies = NotMeasured("error", f"the model gave {type(replies).__name__} and no list of replies")
    if not isinstance(replies, NotMeasured) and len(replies) != len(chats):
        replies = NotMeasured("error", f"the model gave {len(replies)} replies to {len(chats)} chats")
    if isinstance(replies, NotMeasured):
        return [replies] * len(chats)
    return [
        reply
        if isinstance(reply, str | NotMeasured)
        else NotMeasured("error", f"the model gave {type(reply).__name__} and no text")
        for reply in replies
    ]


class PipelineChatModel:
    """A `ChatModel` of transformers: replies are generated in this process.

        PipelineChatModel(pipeline("text-generation", "Qwen/Qwen3-0.6B"))

    Args:
        pipeline: for text generation, whose tokenizer has a chat template.
        max_new_tokens: of a reply.
        batch_size: chats per forward; above 1 the tokenizer needs a padding token.
        generation: further keywords of `generate`. Without any, replies are greedy.

    Raises:
        ValueError: the tokenizer has no chat template.
    """

    def __init__(
        self, pipeline: "TextGenerationPipeline", max_new_tokens: int = 512, batch_size: int = 1, **generation: Any
    ) -> None:
        if getattr(pipeline.tokenizer, "chat_template", None) is None:
            raise ValueError(
                f"the pipeline's tokenizer must have a chat template; {type(pipeline.tokenizer).__name__} has none. "
                "Set tokenizer.chat_template, or take a model tuned for chats."
            )
        self.pipeline = pipeline
        of_call = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
        self.generation = {"do_sample": False, **generation, **of_call}

    def __call__(self, chats: list[Chat]) -> list[str]:
        """Return the reply to each chat. Dropout is off meanwhile."""
        model: Any = self.pipeline.model
        trained = model.training
        model.eval()
        try:
            found: Any = self.pipeline(chats, return_full_text=False, **self.generation)
        finally:
            model.train(trained)
        return [of_chat[0]["generated_text"] for of_chat in found]


class ServerChatModel:
    """A `ChatModel` behind a server with OpenAI's API of chat completions: vLLM, SGLang, `transformers serve`, others.

    Chats are sent one by one, several at a time. One that gets no reply is NotMeasured: "unreachable" where nothing
    answers or the server is busy or broken, "timeout" where it is late, "error" where it refuses the request or
    answers something else. No saved token is sent, and `HF_HUB_OFFLINE` does not matter.

    Args:
        base_url: up to "/v1", as of OpenAI's client: "http://localhost:8000/v1".
        model: name of the model on the server.
        api_key: sent as a bearer token; None sends none.
        timeout: seconds without a byte from the server.
        max_tokens: of a reply.
        temperature: 0 for greedy replies.
        concurrency: requests at a time.

    Raises:
        ValueError: base_url is no address, or a number is out of range.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        max_tokens: int = 512,
        temperature: float = 0.0,
        concurrency: int = 8,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"base_url must begin with http:// or https://; got {base_url!r}.")
        for name, value in (("timeout", timeout), ("max_tokens", max_tokens), ("concurrency", concurrency)):
            if not value > 0:
                raise ValueError(f"{name} must be positive; got {value!r}.")
        self.url = f"{base_url.rstrip('/')}/chat/completions"
        self.timeout, self.concurrency = timeout, concurrency
        self._settings = {"model": model, "max_tokens": max_tokens, "temperature": temperature}
        self._headers = {"Content-Type": "application/json"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def __call__(self, chats: list[Chat]) -> list[str | NotMeasured]:
        """Return the reply to each chat, or a `NotMeasured`."""
        with ThreadPoolExecutor(self.concurrency) as threads:
            return list(threads.map(self._reply, chats))

    def _reply(self, chat: Chat) -> str | NotMeasured:
        body = json.dumps({**self._settings, "messages": chat}).encode()
        try:
            request = urllib.request.Request(self.url, body, self._headers)
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            refused = 400 <= error.code < 500 and error.code not in _BUSY
            with error:
                said = error.read(LONGEST_DETAIL).decode(errors="replace")
            return NotMeasured(
                "error" if refused else "unreachable", f"{self.url}: {error.code} {error.reason}: {said}"
            )
        except TimeoutError:
            return NotMeasured("timeout", f"{self.url}: nothing for {self.timeout} s")
        except Exception as error:  # of the network: refused, reset, unknown host, no HTTP
            late = isinstance(getattr(error, "reason", None), TimeoutError)
            return NotMeasured("timeout" if late else "unreachable", f"{self.url}: {described(error)}")
        try:
            reply = json.loads(answer)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            return NotMeasured("error", f"{self.url}: no chat completion: {answer[:LONGEST_DETAIL]!r}")
        return reply if isinstance(reply, str) else NotMeasured("error", f"{self.url}: a reply without text")
