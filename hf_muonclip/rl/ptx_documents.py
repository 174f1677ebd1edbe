"""Rows of the PTX dataset as tokens: texts, chats, prompts with completions, or token ids.

The trained tokens are those that TRL's SFTTrainer trains by default: all of a text or chat, and only the completion of
a prompt with its completion.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Any, NamedTuple

FORMS = "input_ids, text, messages, or prompt and completion"


class Document(NamedTuple):
    """A document as tokens.

    Attributes:
        ids: all tokens.
        begin: index of the first trained token; those before it are context.
    """

    ids: list[int]
    begin: int = 0


def documents(dataset: Iterable[Mapping[str, Any]], tokenizer: Any) -> Iterator[Document]:
    """Yield each row as a document; texts end with an end token, chats as their template ends them.

    Args:
        dataset: rows with "input_ids", "text", "messages" (a chat), or "prompt" and "completion" (texts or chats). A
            chat's row may have "tools" and "chat_template_kwargs" too, as for SFTTrainer.
        tokenizer: with a chat template for chats.

    Raises:
        ValueError: a row has none of these columns, or a value of another kind.
    """
    for number, row in enumerate(dataset):
        try:
            yield _document(row, tokenizer)
        except ValueError as error:
            raise ValueError(f"ptx_dataset, row {number}: {error}") from error


def _document(row: Mapping[str, Any], tokenizer: Any) -> Document:
    if "input_ids" in row:
        given = row["input_ids"]  # a dataset's format may make it an array
        row = {"input_ids": given.tolist() if hasattr(given, "tolist") else given}
        return Document(_checked(row, "input_ids", "a list of tokens", _are_tokens))
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    if "text" in row:
        return Document([*tokenizer(_checked(row, "text", "a text", _is_text))["input_ids"], *end])
    if "messages" in row:
        return Document(_rendered(_checked(row, "messages", "messages with a role each", _is_chat), row, tokenizer))
    if "prompt" not in row or "completion" not in row:
        raise ValueError(f"it must have {FORMS}; it has {sorted(row)}. Rename one of its columns.")
    if isinstance(row["prompt"], str):
        prompt = _checked(row, "prompt", "a text", _is_text)
        ids = tokenizer(prompt)["input_ids"]
        answer = _checked(row, "completion", "a text as the prompt is", _is_text)
        whole = [*tokenizer(prompt + answer)["input_ids"], *end]
    else:
        turns = _checked(row, "prompt", "a text, or messages with a role each", _is_chat)
        answers = _checked(row, "completion", "messages with a role each, as the prompt is", _is_chat)
        ids = _rendered(turns, row, tokenizer, add_generation_prompt=True)
        whole = _rendered([*turns, *answers], row, tokenizer)
    # A template may render a prompt alone differently: the completion begins where the two differ.
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ids, whole, strict=False)))
    return Document(whole, shared)


def _rendered(messages: Any, row: Mapping[str, Any], tokenizer: Any, **more: Any) -> list[int]:
    if getattr(tokenizer, "chat_template", None) is None:
        raise ValueError(
            f"a chat needs a tokenizer with a chat template; {type(tokenizer).__name__} has none. Set its "
            "chat_template, or give texts."
        )
    tools = row.get("tools")
    ids: list[int] = tokenizer.apply_chat_template(
        messages,
        tools=json.loads(tools) if isinstance(tools, str) else tools,
        tokenize=True,
        return_dict=True,
        **{**(row.get("chat_template_kwargs") or {}), **more},
    )["input_ids"]
    return ids


def _checked(row: Mapping[str, Any], name: str, what: str, holds: Any) -> Any:
    if not holds(value := row[name]):
        raise ValueError(f"{name} must be {what}; got {value!r:.200}. Fix the row or leave it out.")
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(token, int) for token in value)


def _is_chat(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) and "role" in turn for turn in value)
