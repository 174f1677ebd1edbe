"""Questions as prompts: by the model's chat template, with thinking on or off, or as plain text.

Prompts are reproducible: templates that write today's date get a fixed one, and templates that draw at random get a
seed. Otherwise an evaluation could not be resumed on another day, and two checkpoints would get different prompts.
"""

import datetime
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.utils import chat_template_utils

from ..common.patching import PatchedSetting
from .model_under_test import leading_special_tokens

# What templates call the switch: Qwen3, GLM and SmolLM3 the first; DeepSeek-V3.1 and Kimi K2.5 the second.
_SWITCHES = ("enable_thinking", "thinking")
PROMPT_DATE = datetime.date(2025, 1, 1)
# No two agree in year, month, day of the month or weekday; a template that writes a date writes each otherwise.
_OTHER_DATES = (datetime.date(1999, 11, 30), datetime.date(2031, 6, 17))


@dataclass(frozen=True)
class Prompts:
    """Prompts of an evaluation.

    Attributes:
        tokens: token ids of each question's prompt.
        description: how the prompts were written, for people.
        date: the date that the chat template was given as today's, ISO 8601; None if it does not use one.
    """

    tokens: list[list[int]]
    description: str
    date: str | None = None


def write_prompts(
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    *,
    thinking: bool,
    date: datetime.date = PROMPT_DATE,
    seed: int = 0,
) -> Prompts:
    """Return the prompt of each question, and how the prompts were written.

    A tokenizer with a chat template gets each question as the user's one message, with the template's own system
    message and the opening of the assistant's turn. Whether the template knows a thinking switch, and whether it writes
    the date, is found by rendering the first question in several ways; if a template has no switch, the
    description says so.

    Args:
        tokenizer: with or without a chat template.
        questions: at least one.
        thinking: the setting of the switch.
        date: the date given to a template that uses today's.
        seed: seed for a template that draws at random; Python's random state stays as it is.

    Raises:
        ValueError: a prompt has no tokens.
    """
    written_date = None
    if tokenizer.chat_template is None:
        leading = leading_special_tokens(tokenizer)
        prompts = [leading + tokenizer(question, add_special_tokens=False)["input_ids"] for question in questions]
        description = "plain text, as the tokenizer has no chat template"
    else:
        template = _ChatTemplate(tokenizer, seed)
        switch = template.thinking_switch(questions[0], date)
        choice: dict[str, Any] = {switch: thinking} if switch else {}
        # The template writes the special tokens itself; the tokenizer would put a second beginning in front of them.
        texts = [template.render(question, date, choice) for question in questions]
        prompts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        mode = "on" if thinking else "off"
        description = (
            f"chat template, thinking {mode} ({switch})"
            if switch
            else f"chat template without a thinking switch (thinking {mode} was asked for)"
        )
        if any(template.render(questions[0], other, choice) != texts[0] for other in _OTHER_DATES):
            written_date = date.isoformat()
            description += f", dated {written_date}"
    for index, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(f"a prompt must have at least one token, but question {index} has none; leave it out")
    return Prompts(prompts, description, written_date)


class _ChatTemplate:
    """Renders questions by a tokenizer's template, reproducibly.

    Args:
        tokenizer: with a chat template.
        seed: seed of the template's random choices.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, seed: int) -> None:
        self._tokenizer = tokenizer
        self._seed = seed

    def thinking_switch(self, question: str, date: datetime.date) -> str | None:
        """Return the name of the template's switch for thinking, if it has one."""
        for switch in _SWITCHES:
            if self.render(question, date, {switch: True}) != self.render(question, date, {switch: False}):
                return switch
        return None

    def render(self, question: str, date: datetime.date, choice: dict[str, Any]) -> str:
        """Return the text of one prompt."""
        messages = [{"role": "user", "content": question}]
        with _clock_at(date), _random_numbers(f"{self._seed}/{question}"):
            return str(
                self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **choice)
            )


@contextmanager
def _clock_at(date: datetime.date) -> Iterator[None]:
    """Let `strftime_now`, which transformers gives to every template, return the start of a fixed day.

    It reads this module's `datetime`. A variable of its name in its place is no way: what a template is given is made
    plain data first, and a function is none.
    """

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Clock":
            return cls(date.year, date.month, date.day, tzinfo=tz)

    clock = PatchedSetting(chat_template_utils, "datetime", Clock)
    clock.start(Clock)
    try:
        yield
    finally:
        clock.stop(Clock)


@contextmanager
def _random_numbers(seed: str) -> Iterator[None]:
    """Seed Python's global random numbers, which Jinja uses, inside the block."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
