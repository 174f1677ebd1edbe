"""What KimiRLTrainer does around the loss: which optimizer and rewards, what is said, when momentum is forgotten."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from error_messages import naming
from peft import LoraConfig, get_peft_model
from tiny_rl import END_TOKENS, Watched, rl_trainer, tiny_policy, value_of
from tiny_trl import chat_tokenizer, reward_model, settings
from transformers import TrainerCallback
from trl import GRPOConfig

from hf_muonclip import MuonClip, MuonClipCallback, attach, muonclip
from hf_muonclip.rl import KimiRLTrainer


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith("hf_muonclip.rl")]


def test_muonclip_is_the_optimizer_unless_another_is_given(tmp_path: Path) -> None:
    trainer = rl_trainer(tmp_path, max_steps=1)
    trainer.train()
    assert isinstance(trainer.optimizer.optimizer, MuonClip)
    assert trainer.optimizer.optimizer.updates == 1
    assert any(isinstance(callback, MuonClipCallback) for callback in trainer.callback_handler.callbacks)

    attached = rl_trainer(tmp_path, max_steps=1)
    attach(attached, qk_clip_threshold=7.0)
    attached.train()
    assert attached.optimizer.optimizer.config.qk_clip_threshold == 7.0
    assert sum(isinstance(callback, MuonClipCallback) for callback in attached.callback_handler.callbacks) == 1

    model = tiny_policy()
    own = torch.optim.AdamW(model.parameters(), lr=1e-3)
    given = rl_trainer(tmp_path, model, {"optimizers": (own, None)}, max_steps=1)
    given.train()
    assert given.optimizer.optimizer is own

    model = tiny_policy()
    given = rl_trainer(tmp_path, model, {"optimizers": muonclip(model, qk_clip_threshold=3.0)}, max_steps=1)
    given.train()
    assert given.optimizer.optimizer.config.qk_clip_threshold == 3.0


def test_another_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=naming("KimiRLConfig", "GRPOConfig")):
        KimiRLTrainer(tiny_policy(), value_of, GRPOConfig(**settings(tmp_path, num_generations=2)))


@pytest.mark.parametrize(
    ("more", "way_out"),
    [
        ({}, "num_iterations=2"),
        ({"gradient_accumulation_steps": 2}, "num_iterations=2"),
        ({"gradient_accumulation_steps": 4, "steps_per_generation": 2, "num_iterations": 2}, "steps_per_generation=4"),
    ],
    ids=str,
)
def test_an_rl_tau_without_effect_is_told_with_what_gives_it_one(
    more: dict[str, Any], way_out: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = {"per_device_train_batch_size": 4, "max_steps": 1, **more}
    found = []
    for rl_tau in (0.1, 10.0):
        caplog.clear()
        trainer = rl_trainer(tmp_path, rl_tau=rl_tau, **small)
        (told,) = [message for message in warnings_of(caplog) if "rl_tau" in message]
        assert way_out in told
        trainer.train()
        assert "old_per_token_logps" not in trainer.sampled[0]
        found.append(trainer.steps[0].gradient)
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-4, atol=1e-6)
    name, value = way_out.split("=")
    caplog.clear()
    rl_trainer(tmp_path, **{**small, name: int(value)})
    assert not any("rl_tau" in message for message in warnings_of(caplog))


class SeeMomentum(TrainerCallback):
    """Lists the largest moment before each step; 0 where there is none."""

    def __init__(self) -> None:
        self.largest: list[float] = []

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        state = kwargs["optimizer"].optimizer.state.values()
        self.largest.append(max((float(t.abs().max()) for moments in state for t in moments.values()), default=0.0))


@pytest.mark.parametrize("adamw", [False, True], ids=["muonclip", "adamw"])
@pytest.mark.parametrize("reset", [False, True])
def test_momentum_is_forgotten_when_the_reference_changes(reset: bool, adamw: bool, tmp_path: Path) -> None:
    see, model = SeeMomentum(), tiny_policy()
    given: dict[str, Any] = {"callbacks": [see]}
    if adamw:
        given["optimizers"] = (torch.optim.AdamW(model.parameters(), lr=1e-3), None)
    trainer = rl_trainer(tmp_path, model, given, max_steps=4, num_iterations=2, reset_optimizer=reset)
    trainer.train()
    assert len(trainer.sampled) == 2
    assert see.largest[0] == 0
    assert (see.largest[2] == 0) == reset
    assert see.largest[1] > 0
    assert see.largest[3] > 0


def advantages(trainer: Watched) -> list[list[float]]:
    return trainer.sampled[0]["advantages"].view(-1, 4).tolist()


def rewards_of(*values: Any) -> Any:
    def reward(completions: list[Any], **_: Any) -> list[Any]:
        return list(values)

    return reward


def test_advantages_are_rewards_less_their_mean_undivided(tmp_path: Path) -> None:
    reward = rewards_of(1.0, 0.0, 0.0, 0.0, 5.0, 5.001, 5.0, 5.0)
    trainer = rl_trainer(tmp_path, given={"reward_funcs": reward}, max_steps=1)
    trainer.train()
    first, second = advantages(trainer)
    assert first == [0.75, -0.25, -0.25, -0.25]
    assert second == pytest.approx([-0.00025, 0.00075, -0.00025, -0.00025], abs=2e-6)  # not blown up


@pytest.mark.parametrize("odd", [None, float("nan"), float("inf"), -float("inf")], ids=str)
def test_a_sample_that_was_not_measured_leaves_its_group_and_is_counted(
    odd: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reward = rewards_of(1.0, odd, 0.0, 0.5, 2.0, 2.0, 2.0, 4.0)
    trainer = rl_trainer(tmp_path, given={"reward_funcs": reward}, max_steps=1)
    trainer.train()
    batch = trainer.sampled[0]
    assert advantages(trainer) == [[0.5, 0.0, -0.5, 0.0], [-0.5, -0.5, -0.5, 1.5]]
    assert batch["sample_weights"].tolist() == pytest.approx([4 / 3, 0, 4 / 3, 4 / 3, 1, 1, 1, 1])
    log = trainer.state.log_history[0]
    assert log["rewards/reward/not_measured"] == 1 / 8
    assert log["reward"] == pytest.approx(11.5 / 7)
    cause = "infinite" if odd in (float("inf"), -float("inf")) else "missing"
    assert log[f"rewards/reward/not_measured/{cause}"] == 1 / 8
    (told,) = [message for message in warnings_of(caplog) if "not_measured" in message]
    assert "1 of 8" in told
    assert cause in told


def test_one_of_two_rewards_that_is_missing_is_no_zero(tmp_path: Path) -> None:
    right = rewards_of(1.0, 0.0, 0.0, 0.0, None, None, None, None)  # does not apply to the second prompt
    long = rewards_of(None, 5.0, 5.0, 5.0, 1.0, 2.0, 3.0, 2.0)
    trainer = rl_trainer(tmp_path, given={"reward_funcs": [right, long]}, max_steps=1)
    trainer.train()
    assert advantages(trainer) == [[0.0, 0.0, 0.0, 0.0], [-1.0, 0.0, 1.0, 0.0]]
    assert trainer.sampled[0]["sample_weights"].tolist() == pytest.approx([0, 4 / 3, 4 / 3, 4 / 3, 1, 1, 1, 1])


def test_a_batch_without_any_reward_moves_nothing_but_decay(tmp_path: Path) -> None:
    reward = rewards_of(*[None] * 8)
    trainer = rl_trainer(tmp_path, given={"reward_funcs": reward}, max_steps=1, weight_decay=0.0)
    trainer.train()
    assert trainer.sampled[0]["sample_weights"].tolist() == [0] * 8
    assert all(not gradient.any() for gradient in trainer.steps[0].gradient.values())
    for name, weight in trainer.model.state_dict().items():
        assert torch.equal(weight, trainer.steps[0].weights[name]), name


def test_groups_without_a_signal_are_counted(tmp_path: Path) -> None:
    reward = rewards_of(0.1, 0.1, 0.1, 0.1, 1.0, None, None, None)
    trainer = rl_trainer(tmp_path, given={"reward_funcs": reward}, max_steps=1)
    trainer.train()
    assert advantages(trainer) == [[0.0] * 4] * 2
    assert trainer.state.log_history[0]["groups_without_signal"] == 1.0
    mixed = rl_trainer(tmp_path, given={"reward_funcs": rewards_of(*[0.1] * 4, 0.0, 0.0, 0.0, 1e-3)}, max_steps=1)
    mixed.train()
    assert mixed.state.log_history[0]["groups_without_signal"] == 0.5


def test_completions_are_sampled_without_dropout(tmp_path: Path) -> None:
    """The likeliest token, always: samples of a prompt could differ by dropout alone."""
    with torch.random.fork_rng():
        adapted = get_peft_model(
            tiny_policy(attention_dropout=0.5),
            LoraConfig(r=4, lora_dropout=0.5, target_modules=["q_proj", "up_proj"], init_lora_weights=False),
        )
    trainer = rl_trainer(tmp_path, adapted, max_steps=1, top_k=1, learning_rate=0.0)
    trainer.train()
    of_prompts = trainer.sampled[0]["completion_ids"].view(2, 4, -1)
    assert of_prompts.eq(of_prompts[:, :1]).all()


def test_a_reward_models_odd_rewards_are_not_measured(tmp_path: Path) -> None:
    judge = reward_model().eval()
    given = {"reward_funcs": [judge], "reward_processing_classes": [chat_tokenizer()]}
    sound = rl_trainer(tmp_path, given=given, max_steps=1)
    sound.train()
    assert not +sound.not_measured.total
    judge.score.weight.data.fill_(float("nan"))
    odd = rl_trainer(tmp_path, given=given, max_steps=1)
    odd.train()
    assert {cause: count for (_, cause), count in (+odd.not_measured.total).items()} == {"missing": 8}
    assert odd.sampled[0]["sample_weights"].tolist() == [0] * 8


def test_rewards_of_environments_are_not_added_to_the_callers_list(tmp_path: Path) -> None:
    functions = [rewards_of(*range(8))]
    trainer = rl_trainer(tmp_path, given={"reward_funcs": functions}, max_steps=1)
    trainer.reward_funcs.append(value_of)
    assert len(functions) == 1


def test_evaluation_scores_with_its_own_group_size_and_changes_nothing(tmp_path: Path) -> None:
    data = Dataset.from_list([{"prompt": "w7 w8"}, {"prompt": "w9"}])
    more = {"num_generations_eval": 2, "per_device_eval_batch_size": 4, "temperature_end": 0.5, "max_steps": 1}
    trainer = rl_trainer(tmp_path, given={"eval_dataset": data}, **more)
    trainer.evaluate()
    assert trainer.sampled[0]["sample_weights"].tolist() == [1.0] * 4
    assert "eval_reward" in trainer.state.log_history[-1]
    assert trainer.temperature == 1.0


def test_a_run_resumes_with_its_temperature(tmp_path: Path) -> None:
    falling = {"temperature_end": 0.2, "max_steps": 4, "reset_optimizer": False}
    whole = rl_trainer(tmp_path, save_strategy="steps", save_steps=2, **falling)
    whole.train()
    rest = rl_trainer(tmp_path, **falling)
    rest.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert [batch["temperature"] for batch in rest.sampled] == [b["temperature"] for b in whole.sampled[2:]]
    assert [batch["completion_ids"].tolist() for batch in rest.sampled] == [
        b["completion_ids"].tolist() for b in whole.sampled[2:]
    ]


def test_completions_end_at_several_lengths() -> None:
    """The tests of gradients rely on it."""
    assert tiny_policy().generation_config.eos_token_id == END_TOKENS
    assert chat_tokenizer().eos_token_id in END_TOKENS
