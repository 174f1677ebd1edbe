"""The text of a completion."""

from typing import Any

import pytest

from hf_muonclip.rl.domains.completions import last_text, whole_text


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        ([], ""),
        (None, ""),
        ([{"role": "assistant", "content": "first"}, {"role": "assistant", "content": "last"}], "last"),
        ([{"role": "assistant", "content": None}], ""),
        ([{"role": "assistant"}], ""),
        ([{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}]}], "ab"),
        ([{"role": "assistant", "content": "x"}, {"role": "tool", "content": "a tool's"}], ""),
        ("<think>no</think>yes", "yes"),
        ("still thinking</think>\nyes", "\nyes"),
        ([{"role": "assistant", "content": "a</think>b</think>c"}], "c"),
    ],
)
def test_the_last_message_counts(completion: Any, text: str) -> None:
    assert last_text(completion) == text


def test_a_prompt_is_read_whole() -> None:
    assert whole_text("plain") == "plain"
    assert whole_text([{"role": "user", "content": "Hello"}]) == "Hello"
    assert whole_text(None) == whole_text([]) == ""
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert whole_text(chat) == "system: Be kind.\n\nuser: Hi"
