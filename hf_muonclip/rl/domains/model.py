"""Chat models in other roles than the policy's: judges, attackers, targets; in this process or on a server."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ...common.graders.not_measured import NotMeasured
from ..graders.deadline import LONGEST_DETAIL, told, within

if TYPE_CHECKING:
    from transformers import TextGenerationPipeline

Chat = list[dict[str, str]]
# From a batch of chats to the reply to each; it may raise, and may return a NotMeasured for a chat without a reply.
ChatModel = Callable[[list[Chat]], Sequence[str | NotMeasured]]

_BUSY = (408, 429)  # statuses of a server that may answer later


def ask(model: ChatModel, chats: Sequence[Chat], deadline: float) -> list[str | NotMeasured]:
    """Return the model's reply to each chat, in order; a `NotMeasured` if there is none.

    The model runs in its own thread, so that nobody waits beyond the deadline for one that hangs.

    Args:
        model: called once, with all chats; not called if there are none.
        chats: messages with "role" and "content", oldest first.
        deadline: seconds for all replies together.

    Returns:
        Texts. NotMeasured for all chats if the model raises ("unreachable"), is late ("timeout") or returns a wrong
        number of replies ("error"); NotMeasured("error") for a reply that is not a text.

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
    """A `ChatModel` that generates replies in this process, with transformers.

        PipelineChatModel(pipeline("text-generation", "Qwen/Qwen3-0.6B"))

    Args:
        pipeline: a text-generation pipeline whose tokenizer has a chat template.
        max_new_tokens: largest number of tokens per reply.
        batch_size: chats per forward; above 1 the tokenizer needs a padding token.
        generation: further arguments of `generate`. Without any, decoding is greedy.

    Raises:
        ValueError: the tokenizer has no chat template.
    """

    def __init__(
        self, pipeline: "TextGenerationPipeline", max_new_tokens: int = 512, batch_size: int = 1, **generation: Any
    ) -> None:
        if getattr(pipeline.tokenizer, "chat_template", None) is None:
            raise ValueError(
                f"the pipeline's tokenizer must have a chat template; {type(pipeline.tokenizer).__name__} has none. "
                "Set tokenizer.chat_template, or use a model tuned for chat."
            )
        self.pipeline = pipeline
        of_call = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
        self.generation = {"do_sample": False, **generation, **of_call}

    def __call__(self, chats: list[Chat]) -> list[str]:
        """Return the reply to each chat, generated without dropout."""
        model: Any = self.pipeline.model
        trained = model.training
        model.eval()
        try:
            found: Any = self.pipeline(chats, return_full_text=False, **self.generation)
        finally:
            model.train(trained)
        return [of_chat[0]["generated_text"] for of_chat in found]


class ServerChatModel:
    """A `ChatModel` on a server with OpenAI's chat completions API: vLLM, SGLang, `transformers serve`, others.

    One request per chat, several at the same time. A chat without a reply is NotMeasured: "unreachable" if nothing
    answers or the server is busy or broken, "timeout" if it is late, "error" if it refuses the request or answers
    something else. No saved token is sent, and `HF_HUB_OFFLINE` has no effect.

    Args:
        base_url: up to "/v1", as for OpenAI's client: "http://localhost:8000/v1".
        model: name of the model on the server.
        api_key: sent as a bearer token; None sends none.
        timeout: seconds without a byte from the server.
        max_tokens: largest number of tokens per reply.
        temperature: 0 for greedy decoding.
        concurrency: requests at the same time.

    Raises:
        ValueError: base_url is not an http address, or a number is out of range.
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
                body_text = error.read(LONGEST_DETAIL).decode(errors="replace")
            return NotMeasured(
                "error" if refused else "unreachable", f"{self.url}: {error.code} {error.reason}: {body_text}"
            )
        except TimeoutError:
            return NotMeasured("timeout", f"{self.url}: nothing for {self.timeout} s")
        except Exception as error:  # network errors: refused, reset, unknown host, not HTTP
            late = isinstance(getattr(error, "reason", None), TimeoutError)
            return NotMeasured("timeout" if late else "unreachable", f"{self.url}: {told(error)}")
        try:
            reply = json.loads(answer)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            return NotMeasured("error", f"{self.url}: not a chat completion: {answer[:LONGEST_DETAIL]!r}")
        return reply if isinstance(reply, str) else NotMeasured("error", f"{self.url}: a reply without text")
