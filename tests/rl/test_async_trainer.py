"""The asynchronous trainer's gradient is K2.5's equation, with the log-probabilities of whoever sampled as pi_old."""

import multiprocessing
import pickle
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import PartialState
from datasets import Dataset
from error_messages import naming
from reference import k25_rl_loss
from sampling_server import SamplingServer, WeightsOverHTTP
from tiny_rl import CLOSE, END_TOKENS, relative_error, tiny_policy, value_of, weights_of
from tiny_trl import chat_tokenizer, settings, turn
from torch import Tensor
from transformers import TrainerCallback
from trl.experimental.async_grpo import async_grpo_trainer, async_rollout_worker
from trl.experimental.async_grpo.async_grpo_trainer import DataCollatorForRollout
from trl.experimental.async_grpo.async_rollout_worker import RolloutGroup, TrainingSequence
from trl.experimental.async_grpo.packing import TreeRow
from true_logits import brute_force

from hf_muonclip import MuonClip, attach
from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl import GraderPool, KimiAsyncRLConfig, KimiAsyncRLTrainer, NotMeasuredError, math_spec, mix
from hf_muonclip.rl.async_trainer import tree_mask
from hf_muonclip.rl.environments.episode import Episode
from hf_muonclip.rl.rollout_loop import KimiRolloutLoop


def even_tokens(completion_ids: list[list[int]], **_: Any) -> list[float]:
    return [value_of(ids) for ids in completion_ids]


def tokenizer() -> Any:
    made = chat_tokenizer()
    # How a response is read; TRL knows it for published templates.
    content = {"close_pattern": r"\[EOS\]\s*", "content": "text"}
    made.response_template = {"defaults": {"role": "assistant"}, "start_anchor": "w5", "fields": {"content": content}}
    return made


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let TRL's trainer be built on a machine without a GPU, whose speed it asks for, and without vLLM.

    Of vLLM it asks that it is installed; what it uses is the server.
    """
    monkeypatch.setattr(async_rollout_worker, "is_vllm_available", lambda: True)
    monkeypatch.setattr(async_grpo_trainer, "get_peak_flops_per_device", lambda *_: None)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    path = tmp_path / "model"
    tiny_policy().save_pretrained(path)
    tokenizer().save_pretrained(path)
    return str(path)


class Watched(KimiAsyncRLTrainer):
    """Keeps, for each optimizer step, the weights before, the gradient, and the micro-batches."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batches: list[dict[str, Tensor]] = []
        self.steps: list[tuple[dict[str, Tensor], dict[str, Tensor], list[dict[str, Tensor]]]] = []
        self.max_logits: list[dict[str, Tensor]] = []
        trainer = self

        class Keep(TrainerCallback):
            def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
                named = trainer.model.named_parameters()
                gradient = {name: p.grad.clone() for name, p in named if p.grad is not None}
                trainer.steps.append((weights_of(trainer.model), gradient, trainer.batches))
                trainer.batches = []

            def on_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
                trainer.max_logits.append(dict(kwargs["optimizer"].optimizer.max_logits))

        self.add_callback(Keep())

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        self.batches.append(dict(inputs))
        return super().compute_loss(model, inputs, *args, **kwargs)


def config(output: Path, url: str, **more: Any) -> KimiAsyncRLConfig:
    own = {
        "vllm_server_base_url": url,
        "num_generations": 4,
        "max_completion_length": 7,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "max_grad_norm": 0.0,
        "learning_rate": 1e-3,
        "rl_tau": 0.3,
        "heartbeat_stale_after_s": 100.0,
    }
    return KimiAsyncRLConfig(**settings(output, **{**own, **more}))


def tokens_of(batch: dict[str, Tensor]) -> Iterator[tuple[list[int], int, float, float]]:
    """Yield what came before each trained token, the token, its old log-probability and its advantage."""
    path_index, starts = batch["tree_kv_index"][0].tolist(), batch["tree_cu_seqlens_q"][0].tolist()
    path_starts, ids = batch["tree_cu_seqlens_k"][0].tolist(), batch["input_ids"][0].tolist()
    way = {}
    for segment in range(len(starts) - 1):
        path = path_index[path_starts[segment] : path_starts[segment + 1]]
        for place in range(starts[segment], starts[segment + 1]):
            way[place] = path[: path.index(place) + 1]
    for place, old, advantage in zip(
        *(batch[name][0].tolist() for name in ("token_index", "old_log_probs", "advantages")), strict=True
    ):
        yield [ids[p] for p in way[place]], int(batch["shift_labels"][0, place]), old, advantage


def true_max_logits(trainer: Watched, step: int) -> dict[str, Tensor]:
    """Return each head's largest logit in a step, by brute force and one sample at a time."""
    weights, _, batches = trainer.steps[step]
    model = tiny_policy()
    model.load_state_dict(weights)
    found = []
    for batch in batches:
        seen = [[*before, token] for before, token, _, _ in tokens_of(batch)]
        ends = [ids for ids in seen if not any(ids == longer[: len(ids)] for longer in seen if len(longer) > len(ids))]
        found += [brute_force(model, {"input_ids": torch.tensor([ids])}) for ids in ends]
    return {name: torch.stack([of_one[name] for of_one in found]).amax(0).double() for name in found[0]}


def true_gradient(trainer: Watched, step: int) -> dict[str, Tensor]:
    """Return the gradient of eq. 1 in float64, one token at a time, its mean over all tokens of the step."""
    weights, _, batches = trainer.steps[step]
    model = tiny_policy().double().eval()
    model.load_state_dict(weights)
    prompts = []
    for batch in batches:
        for before, token, old, advantage in tokens_of(batch):
            scores = model(input_ids=torch.tensor([before])).logits[0, -1] / trainer.args.temperature
            logp = torch.log_softmax(scores, dim=-1)[token]
            # Every token a sample of its own, in one group whose mean is zero: with its mirror image, which has no
            # gradient and is taken out of the mean below.
            prompts.append((logp.unsqueeze(0), torch.tensor([old], dtype=torch.float64), advantage))
    low, high = trainer.args.ratio_bounds
    loss = torch.zeros((), dtype=torch.float64)
    for logp, old, advantage in prompts:
        mirror = (old, old, -advantage)
        loss = loss + 2 * k25_rl_loss([[(logp, old, advantage), mirror]], trainer.args.rl_tau, low, high)
    (loss / len(prompts)).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_the_gradient_is_the_equation(folder: str, tmp_path: Path) -> None:
    temperature = 0.7
    server = SamplingServer(tiny_policy())
    data = Dataset.from_list([{"prompt": [turn("user", seed)]} for seed in range(100)])  # more than are asked
    trainer = Watched(
        folder,
        even_tokens,
        config(tmp_path / "out", server.url, max_steps=2, temperature=temperature),
        train_dataset=data,
        processing_class=tokenizer(),
        weight_transfer=WeightsOverHTTP(server.url),
    )
    attach(trainer, exact_max_logits=True)
    trainer.train()
    server.close()
    assert isinstance(trainer.optimizer.optimizer, MuonClip)
    assert server.updates == 3  # before the first step and after each
    assert len(trainer.steps) == 2
    for step in range(2):
        assert relative_error(trainer.steps[step][1], true_gradient(trainer, step)) < CLOSE
        for name, logits in true_max_logits(trainer, step).items():
            torch.testing.assert_close(trainer.max_logits[step][name].double(), logits, rtol=1e-5, atol=1e-6)
    told = {tuple(s.prompt + s.completion): s for s in server.sampled}
    assert {s.temperature for s in server.sampled} == {temperature}
    groups = defaultdict(list)
    for sampled in server.sampled:
        groups[tuple(sampled.prompt)].append(sampled)
    checked, shared = 0, 0
    for _, _, batches in trainer.steps:
        for batch in batches:
            places = [(tuple(before), token, old, advantage) for before, token, old, advantage in tokens_of(batch)]
            for before, token, old, advantage in places:
                if token not in END_TOKENS:
                    continue
                sampled = told[(*before, token)]
                assert old == pytest.approx(sampled.logprobs[-1], rel=1e-6)
                own = groups[tuple(sampled.prompt)]
                assert len(own) == 4
                mean = sum(value_of(s.completion) for s in own) / 4
                assert advantage == pytest.approx(value_of(sampled.completion) - mean, abs=1e-5)
                checked += 1
            shared += int(batch["tree_cu_seqlens_q"].numel() > 2)
    assert checked > 3
    assert shared  # rows whose samples share their prompt
    logs = [log for log in trainer.state.log_history if "ratio" in log]
    assert logs[0]["log_ratio/token_abs_mean"] < 1e-5  # the server's first weights are the trainer's
    assert logs[0]["entropy"] > 0
    assert max(log["log_ratio/token_abs_mean"] for log in logs) > 1e-4  # later samples are of older weights
    assert logs[0]["batch/trained_tokens_per_step"] == sum(len([*tokens_of(b)]) for b in trainer.steps[0][2])


def samples_that_share(seed: int = 0) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(seed)
    prompts = [torch.randint(3, 9, (4,), generator=generator).tolist() for _ in range(2)]
    samples = []
    for number in range(6):
        ids = prompts[number % 2] + torch.randint(3, 5, (5,), generator=generator).tolist()
        samples.append(
            {
                "input_ids": torch.tensor(ids).numpy(),
                "completion_mask": torch.tensor([0] * 4 + [1] * 5).numpy(),
                "old_log_probs": torch.zeros(9).numpy(),
                "advantage": 0.0,
                "group_id": number % 2,
            }
        )
    return samples


def test_a_token_sees_what_came_before_it_in_its_own_sample() -> None:
    row = TreeRow()
    for sample in samples_that_share():
        row.add(sample)
    packed = row.pack()
    mask = tree_mask(packed["tree_kv_index"], packed["tree_cu_seqlens_q"], packed["tree_cu_seqlens_k"])
    ids, model = packed["input_ids"], tiny_policy().double().eval()
    assert len(ids) < 6 * 9  # something is shared
    with torch.no_grad():
        together = model(
            input_ids=ids[None], position_ids=packed["position_ids"][None], attention_mask=mask[None, None]
        ).logits[0]
        begin = 0
        for number, sample in enumerate(samples_that_share()):
            alone = model(input_ids=torch.tensor(sample["input_ids"])[None]).logits[0]
            places = packed["token_index"][packed["segment_id"] == number]
            torch.testing.assert_close(together[places], alone[3:8], rtol=1e-9, atol=1e-9)
            begin += len(places)
    assert begin == 6 * 5


def loop(**functions: Any) -> KimiRolloutLoop:
    PartialState()  # which TRL's loggers need
    context = multiprocessing.get_context("spawn")
    queues = {name: context.Queue() for name in ("rollout_buffer", "exception_info_queue", "metrics_queue")}
    return KimiRolloutLoop(
        model_name="none",
        dataset=Dataset.from_list([{"prompt": [turn("user", 0)]}]),
        processing_class=tokenizer(),
        eos_token_ids=END_TOKENS,
        model_version_value=context.Value("i", 0),
        heartbeat_value=context.Value("d", 0.0),
        failed_event=context.Event(),
        num_generations=4,
        **queues,
        **functions,
    )


def gives(*rewards: Any) -> Any:
    def reward(**_: Any) -> list[Any]:
        return list(rewards)

    return reward


async def raises(**_: Any) -> list[Any]:
    raise ZeroDivisionError


def group_of_rollouts() -> RolloutGroup:
    rows = [[TrainingSequence([7, 8, 9 + place], [0, 1, 1], [0.0, -1.0, -2.0], "r")] for place in range(4)]
    rows[1] = [*rows[1], TrainingSequence([7, 3], [0, 1], [0.0, -3.0], "r")]  # a conversation that was rewritten
    return RolloutGroup(
        prompts=[[turn("user", 0)]] * 4,
        reward_kwargs={},
        completions=[[turn("assistant", place)] for place in range(4)],
        completions_ids=[[8, 9 + place] for place in range(4)],
        completions_sequences=rows,
        tool_call_counts=[0] * 4,
        tool_failure_counts=[0] * 4,
        model_version=3,
        group_id=5,
        env_rewards=[],
        rollout_rewards=[None] * 4,
    )


@pytest.mark.parametrize(
    ("functions", "advantages", "trained"),
    [
        ([gives(1.0, 0.0, 0.0, 0.0)], [0.75, -0.25, -0.25, -0.25], [1, 1, 1, 1]),
        ([gives(1.0, 1.001, 1.0, 1.0)], [-0.00025, 0.00075, -0.00025, -0.00025], [1, 1, 1, 1]),
        ([gives(2.0, None, 0.0, float("inf"))], [1.0, 0, -1.0, 0], [1, 0, 1, 0]),
        ([gives(1.0, 2.0, 3.0, None), gives(*[1.0] * 4)], [-1.0, 0.0, 1.0, 0.0], [1, 1, 1, 0]),
        ([gives(*[None] * 4), gives(1.0, 3.0, 1.0, 3.0)], [-1.0, 1.0, -1.0, 1.0], [1, 1, 1, 1]),
        ([gives(*[None] * 4)], [0.0] * 4, [0] * 4),
        ([gives(*[NotMeasured("crash")] * 4), gives(1.0, 3.0, 1.0, 3.0)], [0.0] * 4, [0] * 4),
        ([raises, gives(1.0, 3.0, 1.0, 3.0)], [0.0] * 4, [0] * 4),
    ],
    ids=["plain", "close", "odd", "one of two", "does not apply", "none", "not measured", "raises"],
)
def test_advantages_are_rewards_less_their_mean(functions: Any, advantages: Any, trained: Any) -> None:
    rollouts = loop(reward_funcs=functions)
    assert len(set(rollouts.reward_func_names)) == len(functions)  # all of them are called reward
    group = group_of_rollouts()
    samples = rollouts._loop.run_until_complete(rollouts._score_group(group))
    assert [len(sample.input_ids) for sample in samples] == [3, 3, 2, 3, 3]
    of_rows = [0, 1, 1, 2, 3]
    assert [sample.advantage for sample in samples] == pytest.approx([advantages[place] for place in of_rows], abs=1e-9)
    assert [int(sample.completion_mask.any()) for sample in samples] == [trained[place] for place in of_rows]
    assert samples[2].old_log_probs.tolist() == [0.0, -3.0]
    assert [sample.metrics["rewards/not_measured"] for sample in samples] == [1 - trained[place] for place in of_rows]
    assert {(sample.model_version, sample.group_id) for sample in samples} == {(3, 5)}


def test_rewards_of_a_mixture_with_workers_travel_to_the_loop() -> None:
    """As the worker starts it: what it is given is pickled; sync functions run in threads."""
    exam = Dataset.from_dict({"prompt": ["w7"] * 4, "answer": ["4", "5", "6", "7"]})
    with GraderPool(workers=1, deadline=30) as pool:
        mixed = mix([math_spec(exam, pool=pool), math_spec(exam, name="other", pool=pool)])
        functions = pickle.loads(pickle.dumps(mixed.reward_funcs))
    group = group_of_rollouts()
    texts = ["4", "5", "4", r"\boxed{4}"]
    group.completions = [[{"role": "assistant", "content": text}] for text in texts]
    group.reward_kwargs = {"answer": ["4"] * 4, "domain": ["other"] * 4}
    rollouts = loop(reward_funcs=functions)
    samples = rollouts._loop.run_until_complete(rollouts._score_group(group))
    assert [sample.advantage for sample in samples] == [0.25, -0.75, -0.75, 0.25, 0.25]
    assert not any(sample.metrics["rewards/not_measured"] for sample in samples)
    for function in functions:
        function.function.pool.close()


def test_causes_are_logged_and_a_wrong_number_of_rewards_is_told(caplog: pytest.LogCaptureFixture) -> None:
    rollouts = loop(reward_funcs=[gives(1.0, NotMeasured("timeout", "slow"), NotMeasured("timeout"), 0.0)])
    samples = rollouts._loop.run_until_complete(rollouts._score_group(group_of_rollouts()))
    assert {sample.metrics["rewards/reward/not_measured/timeout"] for sample in samples} == {0.5}
    assert "timeout: slow" in caplog.text
    rollouts = loop(reward_funcs=[gives(1.0, 2.0), gives(1.0, 2.0, 3.0, 4.0)])
    samples = rollouts._loop.run_until_complete(rollouts._score_group(group_of_rollouts()))
    assert {sample.metrics["rewards/not_measured"] for sample in samples} == {1.0}
    assert {sample.metrics["rewards/reward/malformed"] for sample in samples} == {1.0}
    assert "rewards/reward_2/malformed" not in samples[0].metrics
    assert "reward: it returned 2 rewards for 4 samples" in caplog.text


class Kept(Episode):
    """An episode of an adapter."""


@pytest.mark.parametrize("factory", [Kept, {"kept": Kept}], ids=["one", "several"])
def test_environments_that_keep_their_rewards_are_refused(factory: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=naming("Kept", "KimiRLTrainer")):
        KimiAsyncRLTrainer("none", even_tokens, config(tmp_path, "http://127.0.0.1:1"), environment_factory=factory)


@pytest.mark.usefixtures("here")
def test_a_batch_of_what_was_not_measured_moves_nothing(folder: str, tmp_path: Path) -> None:
    trainer = KimiAsyncRLTrainer(
        folder,
        even_tokens,
        config(tmp_path / "out", "http://127.0.0.1:1"),
        train_dataset=Dataset.from_list([{"prompt": [turn("user", 0)]}]),
        processing_class=tokenizer(),
        weight_transfer=WeightsOverHTTP("http://127.0.0.1:1"),
    )
    row = TreeRow()
    for sample in samples_that_share():
        row.add(sample | {"completion_mask": 0 * sample["completion_mask"], "metrics": {}})
    batch = DataCollatorForRollout(0)([[row]])
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=batch["global_n_tokens"][0])
    assert loss == 0
    loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in trainer.model.parameters())


def sometimes(completions: list[Any], **_: Any) -> list[Any]:
    return [NotMeasured("timeout") if place % 4 else 1.0 for place in range(len(completions))]


def too_few(completions: list[Any], **_: Any) -> list[float]:
    return [1.0]


@pytest.mark.slow
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("function", "error", "named", "step"),
    [
        (sometimes, NotMeasuredError, ["max_not_measured=0.5", "rewards/sometimes/not_measured/timeout"], 2),
        (too_few, ValueError, ["too_few"], 0),
    ],
    ids=["not measured", "malformed"],
)
def test_rewards_that_fail_stop_the_run_with_a_checkpoint(
    function: Any, error: type[Exception], named: list[str], step: int, folder: str, tmp_path: Path
) -> None:
    server = SamplingServer(tiny_policy())
    trainer = KimiAsyncRLTrainer(
        folder,
        function,
        config(tmp_path / "out", server.url, max_steps=8, gradient_accumulation_steps=1),
        train_dataset=Dataset.from_list([{"prompt": [turn("user", seed)]} for seed in range(100)]),
        processing_class=tokenizer(),
        weight_transfer=WeightsOverHTTP(server.url),
    )
    with pytest.raises(error, match=naming(*named, f"checkpoint-{step}")):
        trainer.train()
    server.close()
    assert trainer.state.global_step == step
    assert (tmp_path / "out" / f"checkpoint-{step}" / "rollout_state.json").exists()


@pytest.mark.usefixtures("here")
def test_a_server_of_another_temperature_is_refused(folder: str, tmp_path: Path) -> None:
    server = SamplingServer(tiny_policy(), "raw_logprobs")
    trainer = KimiAsyncRLTrainer(
        folder,
        even_tokens,
        config(tmp_path / "out", server.url, max_steps=1, temperature=0.5),
        train_dataset=Dataset.from_list([{"prompt": [turn("user", 0)]}]),
        processing_class=tokenizer(),
        weight_transfer=WeightsOverHTTP(server.url),
    )
    with pytest.raises(
        ValueError, match=naming("temperature=0.5", "'raw_logprobs'", "--logprobs-mode processed_logprobs")
    ):
        trainer.train()
    server.close()
    assert server.sampled == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"rl_tau": 0.0}, ["rl_tau", "0.0"]),
        ({"max_not_measured": 1.5}, ["max_not_measured", "1.5"]),
        ({"epsilon": 1.0}, ["epsilon", "1.0"]),
        ({"epsilon_high": -0.5}, ["epsilon", "-0.5"]),
        ({"top_p": 0.9}, ["top_p=0.9"]),
        ({"top_k": 20}, ["top_k=20"]),
        ({"min_p": 0.1}, ["min_p=0.1"]),
        ({"repetition_penalty": 1.1}, ["repetition_penalty=1.1"]),
    ],
    ids=str,
)
def test_settings_that_cannot_be(settings: dict[str, Any], named: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=naming(*named)):
        KimiAsyncRLConfig(str(tmp_path), bf16=False, use_cpu=True, **settings)


def test_another_config_is_refused(folder: str) -> None:
    with pytest.raises(TypeError, match=naming("KimiAsyncRLConfig", "dict")):
        KimiAsyncRLTrainer(folder, even_tokens, {})  # type: ignore[arg-type]
