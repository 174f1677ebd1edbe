"""pass@k is unbiased, samples that were not measured are no failures, and a real model's rewards choose its prompts."""

import itertools
import math
from typing import Any

import pytest
from datasets import Dataset
from error_messages import naming
from tiny_rl import tiny_policy
from tiny_trl import chat_tokenizer

from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl.rewards.difficulty import pass_at_k, sample_rewards, select_moderate
from hf_muonclip.rl.rewards.spec import Spec


def test_pass_at_k_is_the_share_of_draws_with_a_right_sample() -> None:
    for samples in range(1, 7):
        for right in range(samples + 1):
            outcomes = [True] * right + [False] * (samples - right)
            for k in range(1, samples + 1):
                draws = [any(draw) for draw in itertools.combinations(outcomes, k)]
                assert pass_at_k(samples, right, k) == pytest.approx(sum(draws) / len(draws), rel=1e-12, abs=1e-12)
    for samples, right, k in ((3, 1, 4), (3, 1, 0), (3, 4, 1), (3, -1, 1)):
        with pytest.raises(ValueError, match=naming(f"{k=}", f"{samples=}", f"{right=}")):
            pass_at_k(samples, right, k)


def prompts(count: int) -> Dataset:
    return Dataset.from_dict({"prompt": [f"w{i}" for i in range(count)]})


def test_moderate_prompts_are_kept_with_their_rate(caplog: pytest.LogCaptureFixture) -> None:
    lost = NotMeasured("timeout")
    rewards: list[list[Any]] = [
        [0, 0, 0, 0],
        [1, 1, 1, 1],
        [1, 0, 0, 0],
        [1, lost, None, 1],  # right wherever it was measured: too easy, not moderate
        [0.5, 1, 0, math.nan],
        [lost, lost, lost, 1],
    ]
    kept = select_moderate(prompts(6), rewards, k=2, low=0.1, high=0.9)
    assert kept["prompt"] == ["w2", "w4"]
    assert kept["pass_at_k"] == pytest.approx([0.5, 2 / 3])
    assert "1 of 6" in caplog.text
    partly = select_moderate(prompts(6), rewards, passing=0.5)
    assert partly["prompt"] == ["w2", "w4"]
    assert partly["pass_at_k"] == pytest.approx([1 / 4, 2 / 3])


def test_bounds_and_sizes_are_checked() -> None:
    for low, high in ((-0.1, 0.5), (0.6, 0.5), (0.5, 1.1)):
        with pytest.raises(ValueError, match=naming(f"{low=}", f"{high=}")):
            select_moderate(prompts(1), [[1.0]], low=low, high=high)
    with pytest.raises(ValueError, match=naming("2", "1")):
        select_moderate(prompts(2), [[1.0]])
    with pytest.raises(ValueError, match=naming("pass@1", "2")):
        select_moderate(prompts(2), [[1.0, 1.0], [0.0, 0.0]])


class EvenWords:
    """Pays completions with an even number of words; nothing is known of prompt w1."""

    __name__ = "even_words"

    def __call__(self, prompts: list[Any], completions: list[Any], **_: Any) -> list[Any]:
        texts = [text if isinstance(text, str) else text[0]["content"] for text in completions]
        asked = [prompt if isinstance(prompt, str) else prompt[0]["content"] for prompt in prompts]
        return [
            NotMeasured("gold") if prompt == "w1" else float(len(text.split()) % 2 == 0)
            for prompt, text in zip(asked, texts, strict=True)
        ]


@pytest.mark.parametrize("chat", [False, True])
def test_a_models_own_rewards_choose_its_prompts(chat: bool) -> None:
    data = prompts(6)
    if chat:
        data = Dataset.from_list([{"prompt": [{"role": "user", "content": row["prompt"]}]} for row in data])
    model = tiny_policy().train()
    spec = Spec("words", data, [EvenWords()])
    rewards = sample_rewards(model, chat_tokenizer(), spec, samples=4, token_cap=6)
    assert model.training
    assert [len(of_prompt) for of_prompt in rewards] == [4] * 6
    assert all(math.isnan(reward) for reward in rewards[1])
    rest = [reward for place, of_prompt in enumerate(rewards) if place != 1 for reward in of_prompt]
    assert set(rest) == {0.0, 1.0}
    assert rewards[0] == sample_rewards(model, chat_tokenizer(), spec, samples=4, token_cap=6, batch_size=3)[0]
    kept = select_moderate(data, rewards, low=0.01, high=0.99)
    assert 0 < len(kept) < 6


def test_what_cannot_be_sampled_is_refused() -> None:
    class Room:
        def reset(self, **_: Any) -> None: ...

    model, tokenizer = tiny_policy(), chat_tokenizer()
    with pytest.raises(ValueError, match=naming("rooms")):
        sample_rewards(model, tokenizer, Spec("rooms", prompts(2), [EvenWords()], Room))
    turns = [{"role": "user", "content": "w1"}, {"role": "assistant", "content": "w2"}]
    with pytest.raises(ValueError, match=naming("assistant", "0")):
        sample_rewards(model, tokenizer, Spec("talk", Dataset.from_list([{"prompt": turns}]), [EvenWords()]))
