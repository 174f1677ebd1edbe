"""The temperature of a step is the one that tokens are sampled at and the one that log-probabilities are divided by."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from tiny_rl import Watched, log_probabilities, rl_trainer, tiny_policy
from torch import Tensor
from trl.generation.vllm_generation import VLLMGeneration

from hf_muonclip.rl.schedule import annealed
from hf_muonclip.rl.temperature import scoring_temperature

# Greedy within a rounding error at the end, and two steps on each batch.
FALLING: dict[str, Any] = {
    "temperature": 3.0,
    "temperature_end": 1e-3,
    "temperature_steps": 2,
    "max_steps": 4,
    "num_iterations": 2,
    "learning_rate": 1e-3,
}


class Server:
    """Stands in for a vLLM server: samples from the trainer's model with the parameters of each request."""

    def __init__(self, trainer: Watched) -> None:
        self.trainer = trainer
        self.asked: list[float] = []

    def generate(self, prompts: list[list[int]], n: int, temperature: float, max_tokens: int, **_: Any) -> Any:
        self.asked.append(temperature)
        model, completions = self.trainer.model, []
        for prompt in prompts:
            given = torch.tensor([prompt] * n)
            with torch.no_grad():
                made = model.generate(
                    given,
                    attention_mask=torch.ones_like(given),
                    do_sample=True,
                    temperature=temperature,
                    top_k=0,
                    max_new_tokens=max_tokens,
                    eos_token_id=None,
                )
            completions += made[:, len(prompt) :].tolist()
        return {
            "prompt_ids": prompts,
            "completion_ids": completions,
            "logprobs": [[[0.0]] * max_tokens for _ in completions],
        }


class WithoutEngine(VLLMGeneration):
    """TRL's own client of vLLM, but for the connection and the weights that go through it."""

    def _init_vllm(self) -> None:
        pass

    def sync_weights(self) -> None:
        pass


def ask_a_server(trainer: Watched) -> Server:
    server = Server(trainer)
    trainer.use_vllm, trainer._last_loaded_step = True, -1
    trainer.vllm_generation = WithoutEngine(
        trainer.model,
        trainer.accelerator,
        trainer.processing_class,
        mode="server",
        temperature=trainer.temperature,
        max_completion_length=trainer.max_completion_length,
    )
    trainer.vllm_generation.vllm_client = server
    del trainer.generation_config, trainer.generation_kwargs  # TRL makes none with vLLM
    return server


def spread_policy() -> Any:
    """A policy whose most likely token is far ahead of the next, so that a low temperature is greedy."""
    model = tiny_policy()
    with torch.no_grad():
        model.lm_head.weight.mul_(20)
    return model


def true_log_probabilities(batch: dict[str, Any], row: int, temperature: float) -> tuple[Tensor, Tensor, list[int]]:
    """Return the log-probabilities of a sampled row, those of its greedy alternatives, and the greedy tokens' match."""
    model = spread_policy().double().eval()
    model.load_state_dict(batch["weights"])
    prompt = batch["prompt_ids"][row][batch["prompt_mask"][row] == 1].tolist()
    completion = batch["completion_ids"][row][batch["completion_mask"][row] == 1].tolist()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        return log_probabilities(model, prompt, completion, temperature), logits, completion


@pytest.mark.parametrize("with_vllm", [False, True], ids=["generate", "vllm"])
def test_sampling_and_scoring_follow_the_schedule_together(with_vllm: bool, tmp_path: Path) -> None:
    trainer = rl_trainer(tmp_path, spread_policy(), **FALLING)
    server = ask_a_server(trainer) if with_vllm else None
    trainer.train()
    hot, cold = trainer.sampled
    assert [hot["temperature"], cold["temperature"]] == [3.0, pytest.approx(1e-3)]
    if server is not None:
        assert server.asked == [3.0, pytest.approx(1e-3)]
    else:  # by these TRL overrides the model's own settings while it generates
        assert trainer.generation_kwargs["temperature"] == cold["temperature"]
    greedy = []
    for batch in trainer.sampled:
        same = 0
        for row in range(len(batch["prompt_ids"])):
            truth, logits, completion = true_log_probabilities(batch, row, batch["temperature"])
            found = batch["old_per_token_logps"][row][batch["completion_mask"][row] == 1]
            # A rounding error of a logit is divided by the temperature too.
            rounding = max(1e-4, 5e-6 / batch["temperature"])
            torch.testing.assert_close(found.double(), truth, rtol=1e-3, atol=rounding)
            same += logits.argmax(-1).tolist() == completion
        greedy.append(same)
    assert greedy[0] <= 1  # some completions are one token long
    assert greedy[1] > len(cold["prompt_ids"]) / 2  # two tokens may be as likely
    # Both steps on a batch divide by the temperature that it was sampled at.
    logged = [row["temperature"] for row in trainer.state.log_history if "temperature" in row]
    assert logged == [3.0, pytest.approx(1e-3)]
    assert trainer.state.log_history[0]["log_ratio/abs_mean"] < 1e-4
    assert trainer.state.log_history[2]["log_ratio/abs_mean"] < 1e-2


def test_a_schedule_past_its_end_stays_there() -> None:
    assert [annealed(step, 1.0, 0.5, 4) for step in range(7)] == [1.0, 0.875, 0.75, 0.625, 0.5, 0.5, 0.5]


def test_a_schedule_longer_than_the_run_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = rl_trainer(tmp_path, temperature_end=0.5, temperature_steps=100, max_steps=2)
    trainer.train()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("temperature_steps=100" in message and "2" in message for message in told)
    assert [batch["temperature"] for batch in trainer.sampled] == [1.0, pytest.approx(0.995)]


def test_without_a_schedule_nothing_is_touched(tmp_path: Path) -> None:
    trainer = rl_trainer(tmp_path, temperature=0.7)
    assert scoring_temperature(trainer.model).cell_contents == 0.7
    trainer.train()
    assert [batch["temperature"] for batch in trainer.sampled] == [0.7, 0.7]


def test_a_model_whose_head_keeps_no_temperature_is_refused() -> None:
    with pytest.raises(RuntimeError, match=naming("add_fused_lm_head", "temperature_end", "trl")):
        scoring_temperature(tiny_policy())
