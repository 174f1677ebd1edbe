"""Questions as the model was taught to read them: by its chat template, thinking or not, or as plain text.

A prompt depends on what it is written from and on nothing else. Templates that write today's date get a fixed one,
and those that draw at random draw from a seed, or an evaluation could not be resumed on another day and two checkpoints
would be asked different things.
"""

import datetime
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.utils import chat_template_utils

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
        tokens: of each question's prompt.
        description: how they were written, for people.
        date: that the chat template was told is today's, ISO 8601; None where it does not ask.
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
    """Return each question's prompt, and how prompts were written.

    A tokenizer with a chat template gets each question as the user's one message, with the template's own system
    message and the opening of the assistant's turn. Whether the template knows a thinking switch, and whether it writes
    the date, is found by rendering the first question in several ways; a template without a switch cannot be asked, and
    the description says so.

    Args:
        tokenizer: with or without a chat template.
        questions: at least one.
        thinking: what the switch is set to.
        date: what a template that asks for today's date is told.
        seed: of a template that draws at random; Python's random state stays as it is.

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
            raise ValueError(f"a prompt needs at least one token, question {index} has none; leave it out")
    return Prompts(prompts, description, written_date)


class _ChatTemplate:
    """Renders questions by a tokenizer's template, the same whenever it is asked.

    Args:
        tokenizer: with a chat template.
        seed: of what the template draws at random.
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
    """Let the clock that transformers gives to every template, `strftime_now`, show the beginning of a day.

    It reads this module's `datetime`. A variable of its name in its place is no way: what a template is given is made
    plain data first, and a function is none.
    """

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Clock":
            return cls(date.year, date.month, date.day, tzinfo=tz)

    module: Any = chat_template_utils
    before, module.datetime = module.datetime, Clock
    try:
        yield
    finally:
        module.datetime = before


@contextmanager
def _random_numbers(seed: str) -> Iterator[None]:
    """Let Python's global random numbers, from which Jinja draws, start from a seed."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
