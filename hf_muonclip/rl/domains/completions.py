"""The text of a completion, as graders read it."""

from typing import Any


def completion_text(messages: Any) -> str:
    """Return the text of a completion's or prompt's last message.

    Args:
        messages: a text, or a list of chat messages whose content is a text, a list of parts, or None. Returns "" if
            the last message is a tool's.
    """
    if isinstance(messages, str):
        content: Any = messages
    else:
        content = messages[-1].get("content") if messages and messages[-1].get("role") != "tool" else None
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content)
    return str(content or "")


def last_text(messages: Any) -> str:
    """Return the `completion_text` without the reasoning up to </think>."""
    return completion_text(messages).rpartition("</think>")[2]


def whole_text(prompt: Any) -> str:
    """Return a prompt as a judge reads it: its text, or a chat's messages, after their roles if there are several."""
    if isinstance(prompt, str) or len(prompt or []) < 2:
        return last_text(prompt)
    return "\n\n".join(f"{message.get('role')}: {last_text([{**message, 'role': ''}])}" for message in prompt)
