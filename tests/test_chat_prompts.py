"""Prompts are what the chat template writes, thinking as asked where it can be asked, and no token twice."""

import pytest
from tiny_models import tiny_tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from hf_muonclip.evaluation.chat_prompts import write_prompts

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
    return write_prompts(tokenizer(chat_template), ["w20 w21", "w30"], thinking=thinking)


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
    with pytest.raises(ValueError, match="question 1 has none"):
        write_prompts(tiny_tokenizer(), ["w20", ""], thinking=False)
