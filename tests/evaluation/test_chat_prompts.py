"""Prompts are what the chat template writes, thinking as asked where it can be asked, and no token twice."""

import datetime
import random

import pytest
from error_messages import naming
from tiny_models import tiny_tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from hf_muonclip.evaluation.chat_prompts import PROMPT_DATE, write_prompts

# w5 opens a turn, w6 closes it; w7 begins a thought and w8 ends it.
PLAIN = (
    "[BOS] {% for message in messages %}w5 {{ message.content }} w6 {% endfor %}"
    "{% if add_generation_prompt %}w5{% endif %}"
)
OPTIONAL_THOUGHT = PLAIN + "{% if enable_thinking is defined and not enable_thinking %} w7 w8{% endif %}"
ASKED_THOUGHT = PLAIN + "{% if thinking %} w7{% else %} w8{% endif %}"


def tokenizer(chat_template: str | None) -> PreTrainedTokenizerFast:
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 1), ("[EOS]", 2)]
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def written(chat_template: str | None, thinking: bool) -> tuple[list[list[int]], str]:
    found = write_prompts(tokenizer(chat_template), ["w20 w21", "w30"], thinking=thinking)
    return found.tokens, found.description


def test_a_template_that_thinks_by_itself_is_told_not_to() -> None:
    assert written(OPTIONAL_THOUGHT, False) == (
        [[1, 5, 20, 21, 6, 5, 7, 8], [1, 5, 30, 6, 5, 7, 8]],
        "chat template, thinking off (enable_thinking)",
    )
    assert written(OPTIONAL_THOUGHT, True) == (
        [[1, 5, 20, 21, 6, 5], [1, 5, 30, 6, 5]],
        "chat template, thinking on (enable_thinking)",
    )


def test_the_other_name_of_the_switch_is_found() -> None:
    prompts, description = written(ASKED_THOUGHT, True)
    assert prompts[1] == [1, 5, 30, 6, 5, 7]
    assert description == "chat template, thinking on (thinking)"
    assert written(ASKED_THOUGHT, False)[0][1] == [1, 5, 30, 6, 5, 8]


@pytest.mark.parametrize(("thinking", "mode"), [(False, "off"), (True, "on")])
def test_a_template_without_a_switch_is_said_to_have_none(thinking: bool, mode: str) -> None:
    prompts, description = written(PLAIN, thinking)
    assert prompts == [[1, 5, 20, 21, 6, 5], [1, 5, 30, 6, 5]]
    assert description == f"chat template without a thinking switch (thinking {mode} was asked for)"


def test_without_a_template_the_question_is_the_prompt_and_its_end_stays_open() -> None:
    assert written(None, False) == ([[1, 20, 21], [1, 30]], "plain text, as the tokenizer has no chat template")


def test_a_prompt_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match=naming("question 1")):
        write_prompts(tiny_tokenizer(), ["w20", ""], thinking=False)


# --- the clock and chance ------------------------------------------------------------------------------------------

DATED = "{% if strftime_now is defined %}w{{ strftime_now('%d') | int }} {% endif %}" + PLAIN
# Llama 3's way: a date may be given, and today's is taken where none is.
DATED_BY_DEFAULT = "{% if not date_string is defined %}{% set date_string = strftime_now('%Y') %}{% endif %}" + (
    "w{{ (date_string | int) % 100 }} " + PLAIN
)
AT_RANDOM = "w{{ range(30, 120) | random }} " + PLAIN


class LateClock(datetime.datetime):
    """A clock in the last days of another year."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return datetime.datetime(2077, 12, 31, 23, 59)


@pytest.mark.parametrize(("template", "word"), [(DATED, 9), (DATED_BY_DEFAULT, 31)])
def test_the_date_is_the_one_that_is_given_on_every_day(
    template: str, word: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"thinking": False, "date": datetime.date(2031, 5, 9)}
    today = write_prompts(tokenizer(template), ["w20"], **given)
    monkeypatch.setattr(chat_template_utils, "datetime", LateClock)
    assert write_prompts(tokenizer(template), ["w20"], **given) == today
    assert chat_template_utils.datetime is LateClock
    assert today.tokens[0][0] == word
    assert today.date == "2031-05-09"
    assert today.description.endswith(", dated 2031-05-09")
    assert write_prompts(tokenizer(template), ["w20"], thinking=False).date == PROMPT_DATE.isoformat()


def test_a_template_without_a_date_is_said_to_have_none() -> None:
    assert write_prompts(tokenizer(PLAIN), ["w20"], thinking=False).date is None


def test_a_template_that_draws_at_random_draws_from_the_seed() -> None:
    questions = [f"w{number}" for number in range(20, 30)]
    random.seed(1)
    first = write_prompts(tokenizer(AT_RANDOM), questions, thinking=False, seed=3)
    state = random.getstate()
    random.seed(2)
    assert write_prompts(tokenizer(AT_RANDOM), questions, thinking=False, seed=3) == first
    # Chance is no thinking switch, and no date.
    assert first.description == "chat template without a thinking switch (thinking off was asked for)"
    drawn = {prompt[0] for prompt in first.tokens}
    assert len(drawn) > 3
    assert write_prompts(tokenizer(AT_RANDOM), questions[::-1], thinking=False, seed=3).tokens == first.tokens[::-1]
    assert write_prompts(tokenizer(AT_RANDOM), questions, thinking=False, seed=4) != first
    random.seed(1)
    write_prompts(tokenizer(AT_RANDOM), questions, thinking=False, seed=3)
    assert random.getstate() == state  # as after seed(1): nothing was drawn from it
