"""Questions as the model was taught to read them: by its chat template, thinking or not, or as plain text."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from .model_under_test import leading_special_tokens

# What templates call the switch: Qwen3, GLM and SmolLM3 the first; DeepSeek-V3.1 and Kimi K2.5 the second.
_SWITCHES = ("enable_thinking", "thinking")


def write_prompts(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[str], *, thinking: bool
) -> tuple[list[list[int]], str]:
    """Return the tokens of each question's prompt, and how prompts were written.

    A tokenizer with a chat template gets each question as the user's one message, with the template's own system
    message and the opening of the assistant's turn. Whether the template knows a thinking switch is found by rendering
    the first question both ways; a template without one cannot be asked, and the description says so.

    Args:
        tokenizer: with or without a chat template.
        questions: at least one.
        thinking: what the switch is set to.

    Raises:
        ValueError: a prompt has no tokens.
    """
    if tokenizer.chat_template is None:
        leading = leading_special_tokens(tokenizer)
        prompts = [leading + tokenizer(question, add_special_tokens=False)["input_ids"] for question in questions]
        description = "plain text, as the tokenizer has no chat template"
    else:
        switch = _thinking_switch(tokenizer, questions[0])
        choice: dict[str, Any] = {switch: thinking} if switch else {}
        # The template writes the special tokens itself; the tokenizer would put a second beginning in front of them.
        texts = [_render(tokenizer, question, choice) for question in questions]
        prompts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        mode = "on" if thinking else "off"
        description = (
            f"chat template, thinking {mode} ({switch})"
            if switch
            else f"chat template without a thinking switch (thinking {mode} was asked for)"
        )
    for index, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(f"a prompt needs at least one token, question {index} has none; leave it out")
    return prompts, description


def _thinking_switch(tokenizer: PreTrainedTokenizerBase, question: str) -> str | None:
    for switch in _SWITCHES:
        if _render(tokenizer, question, {switch: True}) != _render(tokenizer, question, {switch: False}):
            return switch
    return None


def _render(tokenizer: PreTrainedTokenizerBase, question: str, choice: dict[str, Any]) -> str:
    messages = [{"role": "user", "content": question}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **choice))
