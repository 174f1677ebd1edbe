"""TRL's AsyncGRPOTrainer with Kimi K2.5's objective and MuonClip: a server samples while the model trains.

The log-probabilities of pi_old, the policy that sampled, are the server's, because a sample may be several updates old
when it is trained on. `tests/rl/test_async_trl_contract.py` lists every name of TRL that this file relies on.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils import broadcast_object_list  # type: ignore[import-untyped]
from torch import Tensor, nn
from trl.experimental.async_grpo.async_grpo_config import AsyncGRPOConfig
from trl.experimental.async_grpo.async_grpo_trainer import AsyncGRPOTrainer
from trl.experimental.async_grpo.async_rollout_worker import AsyncRolloutWorker

from ..trainer.entry_points import attach
from .dropout import disable_dropout_
from .environments.episode import Episode
from .last_checkpoint import save_last_checkpoint
from .objective import k25_loss
from .prompts import check_columns
from .rewards.guarded_environment import guarded_factory
from .rewards.reward_guard import NotMeasuredError, NotMeasuredWindow, check_share
from .rollout_loop import KimiRolloutLoop

# What these settings must be, or the server's log-probabilities belong to another distribution than the trainer's.
_OTHER_DISTRIBUTION = {"top_p": 1.0, "top_k": 0, "min_p": None, "repetition_penalty": 1.0}


@dataclass
class KimiAsyncRLConfig(AsyncGRPOConfig):
    """Settings of `KimiAsyncRLTrainer` in addition to those of TRL's AsyncGRPOConfig.

    Args:
        rl_tau: strength of the regularizer against the sampling policy; > 0. The paper gives no number. The ratio is
            kept in [1 - epsilon, 1 + epsilon_high].
        max_not_measured: share of the last four steps' samples that may lack a reward; above it, every rank saves a
            checkpoint and training raises. In [0, 1]; 1 never stops.

    Raises:
        ValueError: a setting is out of range, or would make the server sample from another distribution than the one it
            reports.
    """

    rl_tau: float = field(default=0.1, metadata={"help": "Strength of the regularizer against the sampling policy."})
    max_not_measured: float = field(
        default=0.5, metadata={"help": "Share of samples without a reward, over four steps, that stops the run."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        if not 0 < self.rl_tau < math.inf:
            raise ValueError(f"rl_tau must be positive and finite; got {self.rl_tau!r}. 0.1 is the default.")
        check_share(self.max_not_measured)
        low, high = self.ratio_bounds
        if not 0 < low <= 1 <= high < math.inf:
            raise ValueError(
                "k25 keeps ratios in [1 - epsilon, 1 + epsilon_high], so epsilon must be in [0, 1) and epsilon_high >= "
                f"0; got {(self.epsilon, self.epsilon_high)!r}. epsilon=0.2 is the default."
            )
        for name, needed in _OTHER_DISTRIBUTION.items():
            if (value := getattr(self, name)) != needed:
                raise ValueError(
                    f"{name}={value!r} is not supported: the server would report log-probabilities of another "
                    f"distribution than the one it samples from. Leave {name} out."
                )

    @property
    def ratio_bounds(self) -> tuple[float, float]:
        """The bounds of the ratio, alpha and beta in the paper."""
        return 1 - self.epsilon, 1 + (self.epsilon if self.epsilon_high is None else self.epsilon_high)


class KimiAsyncRLTrainer(AsyncGRPOTrainer):
    """Asynchronous reinforcement learning as in Kimi K2.5 (arXiv 2602.02276), on TRL's AsyncGRPOTrainer.

    The loss is eq. 1, averaged over all tokens of an optimizer step. Trains with MuonClip unless `optimizers=` brings
    another optimizer, and without dropout, because the server samples without it. Samples with a common prefix are
    packed into one row with an attention mask over all pairs, so that MuonClip sees each pair that counts and no other;
    the mask of a row of n tokens takes n² bytes.

    A sample that was not measured (see `KimiRLTrainer`) is not trained on. If more samples than `max_not_measured`
    allows have no reward, or a function returns anything but a number or None per completion, every rank saves a
    checkpoint and training raises. An error in an environment's `reset` costs one sample if the environment has a
    `get_reward`, and ends training otherwise. A custom `rollout_worker` computes its own advantages.

    Args:
        model: folder or name on the Hub, as for AsyncGRPOTrainer.
        reward_funcs: as for AsyncGRPOTrainer: they run in another process.
        args: a `KimiAsyncRLConfig`.
        async_grpo_kwargs: further keyword arguments of AsyncGRPOTrainer.

    Raises:
        TypeError: args is of another class.
        ValueError: as AsyncGRPOTrainer, `check_columns` and `attach`; or the model has sliding-window attention; or an
            environment is one of `hf_muonclip.rl.environments`; or, when training begins, the server reports
            log-probabilities at another temperature.
    """

    _tag_names = ["trl", "kimi-rl", "async"]  # noqa: RUF012 (TRL's attributes)
    _name = "Kimi K2.5's asynchronous RL"
    _paper = {"title": "Kimi K2.5: Visual Agentic Intelligence", "id": "2602.02276"}  # noqa: RUF012

    args: KimiAsyncRLConfig

    def __init__(
        self, model: str, reward_funcs: Any = None, args: KimiAsyncRLConfig | None = None, **async_grpo_kwargs: Any
    ) -> None:
        if args is None:
            args = KimiAsyncRLConfig("kimi-async-rl")
        if not isinstance(args, KimiAsyncRLConfig):
            raise TypeError(f"KimiAsyncRLTrainer needs a KimiAsyncRLConfig; got {type(args).__name__}.")
        factory = async_grpo_kwargs.get("environment_factory")
        _refuse_episodes(factory)
        check_columns("train_dataset", async_grpo_kwargs.get("train_dataset"), needs_prompt=factory is None)
        async_grpo_kwargs["environment_factory"] = guarded_factory(factory, rewards_see_failures=False)
        super().__init__(model, reward_funcs, args, **async_grpo_kwargs)
        policy: Any = self.model
        kinds = set(getattr(policy.config.get_text_config(), "layer_types", None) or []) - {"full_attention"}
        if kinds:
            raise ValueError(
                f"samples with a common prefix are packed into one row, which needs full attention in every layer; "
                f"{type(policy).__name__} has {sorted(kinds)}. Train it with KimiRLTrainer."
            )
        policy.set_attn_implementation("sdpa")
        disable_dropout_(policy)
        worker: Any = self.rollout_worker
        if isinstance(worker, AsyncRolloutWorker):
            worker._loop_cls = KimiRolloutLoop
        self._recent = NotMeasuredWindow(args.max_not_measured)
        if self.optimizer is None:
            attach(self)

    def get_train_dataloader(self) -> Any:
        """Return batches of what the server samples, after checking that it reports the right log-probabilities."""
        worker: Any = self.rollout_worker
        if isinstance(worker, AsyncRolloutWorker) and self.args.temperature != 1:
            assert self.vllm_client is not None  # where there is a worker
            self.vllm_client.wait_for_server_ready()
            mode = self.vllm_client.get_server_info()["model_config"].get("logprobs_mode")
            if mode != "processed_logprobs":
                raise ValueError(
                    f"temperature={self.args.temperature} needs a server that reports log-probabilities at that "
                    f"temperature; this one reports {mode!r}. Start it with --logprobs-mode processed_logprobs, or "
                    "leave temperature at 1."
                )
        return super().get_train_dataloader()

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Return the micro-batches of a step, and the number of trained tokens in them, over all ranks."""
        metrics = self._metrics["train"]
        before = {name: len(values) for name, values in metrics.items()}
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._stop_where_rewards_fail({name: values[before.get(name, 0) :] for name, values in metrics.items()})
        return batches, sum(batch["global_n_tokens"][0] for batch in batches) if batches else None

    def _stop_where_rewards_fail(self, added: dict[str, list[float]]) -> None:
        """Save a checkpoint and raise where too many rewards are missing or one is malformed. Collective.

        Args:
            added: metrics that the micro-batches of this step added; only the main process, which loads them, has any.
        """
        shares = added.get("rewards/not_measured") or [0.0]
        self._recent.add(sum(shares) / len(shares))
        malformed = [
            name[len("rewards/") : -len("/malformed")] for name in added if name.endswith("/malformed") and added[name]
        ]
        causes = [
            f"{name} {max(values):g}" for name, values in added.items() if "/not_measured/" in name and any(values)
        ]
        ((malformed, reason, causes),) = broadcast_object_list([(malformed, self._recent.stop_reason, causes)])
        if not (malformed or reason):
            return
        saved = save_last_checkpoint(self)
        if malformed:
            raise ValueError(
                f"a reward function must return one number or None per completion. {', '.join(malformed)} did not; the "
                f"worker's log says what it returned; {saved}."
            )
        raise NotMeasuredError(
            f"{reason} ({', '.join(causes)}); {saved}. Fix the graders and resume from it, or raise max_not_measured."
        )

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Return this micro-batch's share of the step's loss, which ranks will average."""
        args, ranks = self.args, self.accelerator.num_processes
        there = inputs["attention_mask"].bool()
        chosen = inputs["token_index"] >= 0
        starts = inputs["tree_cu_seqlens_q"], inputs["tree_cu_seqlens_k"]
        pairs = tree_mask(inputs["tree_kv_index"][inputs["tree_kv_index"] >= 0], *(cu[cu >= 0] for cu in starts))
        began = time.time()
        outputs = model(
            input_ids=inputs["input_ids"][there].unsqueeze(0),
            position_ids=inputs["position_ids"][there].unsqueeze(0),
            attention_mask=pairs[None, None],
            shift_labels=inputs["shift_labels"][there].unsqueeze(0),
            fused_lm_head=True,
            **({"output_router_logits": True} if self.aux_loss_enabled else {}),
        )
        places = inputs["token_index"][chosen]
        log_ratios = outputs.log_probs.flatten()[places] - inputs["old_log_probs"][chosen]
        advantages = inputs["advantages"][chosen]
        self._step_forward_s += time.time() - began
        everything = torch.ones_like(log_ratios)
        losses = k25_loss(
            log_ratios.unsqueeze(-1), everything.unsqueeze(-1), advantages, args.rl_tau, args.ratio_bounds
        )
        loss: Tensor = losses.sum() * ranks / torch.as_tensor(num_items_in_batch, device=losses.device).clamp(min=1)
        metrics = self._metrics["train"]
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss / self.current_gradient_accumulation_steps
            metrics["aux_loss"].append(
                self.accelerator.reduce(outputs.aux_loss.detach().float(), reduction="sum").item() / ranks
            )
        with torch.no_grad():
            low, high = args.ratio_bounds
            ratios = log_ratios.exp()
            values = [ratios, log_ratios.abs(), outputs.entropy.flatten()[places], (ratios < low) | (ratios > high)]
            sums = torch.stack([tensor.float().sum() for tensor in (*values, everything)])
            *found, tokens = self.accelerator.reduce(sums, reduction="sum").tolist()
        for name, value in zip(("ratio", "log_ratio/token_abs_mean", "entropy", "clip_ratio"), found, strict=True):
            metrics[name].append((value, tokens))
        # TRL's own metrics of a step's size and speed.
        forwarded, length = float(inputs["global_n_forward_tokens"][0]), float(inputs["mean_seq_len"][0])
        self._step_forward_tokens += forwarded
        self._step_trained_tokens += float(inputs["global_n_tokens"][0])
        self._step_seq_len_weighted += length * forwarded
        self._step_samples += forwarded / length
        return loss


def _refuse_episodes(factory: Any) -> None:
    """Refuse environments that would be asked for a reward after TRL's worker has begun their next episode."""
    for one in factory.values() if isinstance(factory, Mapping) else [factory]:
        if isinstance(one, type) and issubclass(one, Episode):
            raise ValueError(
                f"the environment {one.__name__} keeps an episode's reward until its reward function asks for it, but "
                "TRL's asynchronous worker begins its next episode before that. Train with KimiRLTrainer."
            )


def tree_mask(path_index: Tensor, query_starts: Tensor, path_starts: Tensor) -> Tensor:
    """Return the attention mask of a row whose samples share prefixes.

    Args:
        path_index: tokens on the path from the root to each segment, the segment's own last, one segment after another.
        query_starts: (segments + 1,); where each segment begins in the row, and the row's length.
        path_starts: (segments + 1,); where each segment's path begins in path_index, and its length.

    Returns:
        (length, length), bool; True where the first attends to the second.
    """
    length = int(query_starts[-1])
    mask = torch.zeros(length, length, dtype=torch.bool, device=path_index.device)
    for segment in range(len(query_starts) - 1):
        begin, end = query_starts[segment : segment + 2].tolist()
        first, last = path_starts[segment : segment + 2].tolist()
        mask[begin:end, path_index[first : last - (end - begin)]] = True
        mask[begin:end, begin:end] = torch.ones(end - begin, end - begin, dtype=torch.bool, device=mask.device).tril()
    return mask
