"""TRL's GRPOTrainer with Kimi's objectives, MuonClip, PTX and a temperature schedule.

TRL samples, scores and distributes. Overridden is what Kimi's recipe defines differently: which rewards count, the
weight of a sequence, the loss, and what happens before each batch of completions. `tests/rl/test_trl_contract.py` lists
every name of TRL that this file relies on.
"""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object  # type: ignore[import-untyped]
from torch import Tensor, nn
from trl.trainer.grpo_trainer import GRPOTrainer

from ..common.loggers import get_logger
from ..optim.muon import Muon
from ..trainer.entry_points import attach
from .budgets import BudgetReward, MeasuredBudgets, TypeBudgets, add_budgets_
from .config import KimiRLConfig
from .dropout import disable_dropout_
from .last_checkpoint import save_last_checkpoint
from .objective import k2_loss, k25_loss, sample_weights
from .prompts import check_batches, check_columns
from .ptx import PackedRow, PTXBatches, PTXStream, next_token_loss, ptx_batches, targets
from .rewards.guarded_environment import episode_failures, guarded_factory
from .rewards.reward_guard import (
    MALFORMED,
    Guarded,
    NotMeasuredCount,
    NotMeasuredError,
    NotMeasuredWindow,
    causes_of,
    codes_of,
    guarded,
)
from .schedule import annealed
from .temperature import scoring_temperature, set_temperature_

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset
    from transformers import PreTrainedModel

logger = get_logger(__name__)


class KimiRLTrainer(GRPOTrainer):
    """Reinforcement learning as in Kimi K2 (arXiv 2507.20534, section 3.2) and K2.5, on TRL's GRPOTrainer.

    Trains with MuonClip unless `optimizers=` brings another optimizer; `attach(trainer, ...)` afterwards gives MuonClip
    other settings than its defaults.

    A sample is not measured if a reward that it should have is missing, because of a `NotMeasured`, a NaN, an infinity,
    a None where the same function rewards others of its prompt, or an exception of the function or of its environment's
    `reset`. It is left out of its group's mean and of the loss, and counted in `rewards/NAME/not_measured` and per
    cause. If more samples than `max_not_measured` allows have no reward, or a function returns anything but a number or
    None per completion, every rank saves a checkpoint and training raises.

    Args:
        model: as for GRPOTrainer.
        reward_funcs: as for GRPOTrainer.
        args: a `KimiRLConfig`.
        ptx_dataset: texts, chats or tokens, as `documents` reads them, for an auxiliary next-token loss that is logged
            as `ptx/loss`; may be a stream. None for none.
        budgets: how long responses may be and what a longer one costs, logged as `budget/TYPE/...`; None for none.
        grpo_kwargs: further keyword arguments of GRPOTrainer: train_dataset, processing_class, peft_config, tools and
            others.

    Raises:
        TypeError: args, budgets or ptx_dataset is of another class.
        ValueError: as GRPOTrainer, `check_columns`, `check_batches`, `attach`, `add_budgets_` and `ptx_batches`.
    """

    _tag_names = ["trl", "kimi-rl"]  # noqa: RUF012 (TRL's attributes)
    _name = "Kimi K2's RL"
    _paper = {"title": "Kimi K2: Open Agentic Intelligence", "id": "2507.20534"}  # noqa: RUF012

    args: KimiRLConfig

    def __init__(
        self,
        model: "str | PreTrainedModel",
        reward_funcs: Any = None,
        args: KimiRLConfig | None = None,
        *,
        ptx_dataset: "Dataset | IterableDataset | None" = None,
        budgets: TypeBudgets | MeasuredBudgets | None = None,
        **grpo_kwargs: Any,
    ) -> None:
        if args is None:
            args = KimiRLConfig("kimi-rl")
        if not isinstance(args, KimiRLConfig):
            raise TypeError(f"KimiRLTrainer needs a KimiRLConfig; got {type(args).__name__}.")
        if isinstance(reward_funcs, Sequence) and not isinstance(reward_funcs, str):
            reward_funcs = list(reward_funcs)  # TRL appends the environments' own rewards to the list
        assert args.generation_batch_size is not None
        assert args.num_generations is not None
        prompts_per_batch = args.generation_batch_size // args.num_generations
        factory = grpo_kwargs.get("environment_factory")
        for name in ("train_dataset", "eval_dataset"):
            check_columns(name, grpo_kwargs.get(name), needs_prompt=factory is None)
        check_batches(grpo_kwargs.get("train_dataset"), prompts_per_batch)
        grpo_kwargs["environment_factory"] = guarded_factory(factory, rewards_see_failures=True)
        super().__init__(model, reward_funcs, args, **grpo_kwargs)
        policy: Any = self.model
        disable_dropout_(policy)
        self._guarded: list[Guarded] = [*map(guarded, self.reward_funcs, self.reward_func_names)]
        self.reward_funcs: Any = [*self._guarded]  # which TRL calls
        self.not_measured = NotMeasuredCount(self._guarded)
        self._recent = NotMeasuredWindow(args.max_not_measured)
        self._measured = torch.empty(0, dtype=torch.bool)  # (samples,) of the last batch, all ranks
        self._malformed = False  # whether a function returned something else than rewards, on any rank
        self._scoring = None if args.temperature_end is None else scoring_temperature(policy)
        self._budget: BudgetReward | None = None if budgets is None else add_budgets_(self, budgets)
        self._ptx: PTXBatches | PTXStream | None = None
        self._ptx_window: list[PackedRow] = []  # rows for the rest of the current step
        self._ptx_step = -1
        self._ptx_targets, self._ptx_sum = 0, torch.zeros(())  # over all ranks; this rank's loss so far
        if ptx_dataset is not None:
            self._ptx = ptx_batches(
                ptx_dataset,
                self._tokenizer,
                args.ptx_max_length,
                args.ptx_batch_size,
                self.accelerator.process_index,
                self.accelerator.num_processes,
                args.seed,
            )
        if self.optimizer is None:
            attach(self)
        self._warn_where_rl_tau_has_no_effect()

    def _warn_where_rl_tau_has_no_effect(self) -> None:
        args = self.args
        assert args.steps_per_generation is not None
        # TRL's own condition for passing old log-probabilities.
        if args.gradient_accumulation_steps % (args.steps_per_generation * args.num_iterations) != 0:
            return
        way_out = "Set num_iterations=2 or more, so that a batch is used for several steps"
        if args.num_iterations > 1:
            way_out = (
                f"Set steps_per_generation={args.gradient_accumulation_steps}; otherwise num_iterations only repeats "
                "samples within a step"
            )
        elif args.steps_per_generation < args.gradient_accumulation_steps:
            way_out += f", and steps_per_generation={args.gradient_accumulation_steps}"
        resets = " With reset_optimizer=True no step then has momentum." if args.reset_optimizer else ""
        logger.warning(
            "rl_tau=%s has no effect: each batch of completions is used for one optimizer step only, in which the "
            "policy still is the one that sampled (gradient_accumulation_steps=%d, steps_per_generation=%d, "
            "num_iterations=%d).%s %s.",
            args.rl_tau,
            args.gradient_accumulation_steps,
            args.steps_per_generation,
            args.num_iterations,
            resets,
            way_out,
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if self._trains:
            self._begin_batch()
        if self._budget is not None:
            self._budget.begin(inputs if self._trains else None, self.state.global_step, self.state.max_steps)
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self._budget is not None and self._trains:
            for name, value in self._budget.figures(self._sum_over_ranks).items():
                self._metrics["train"][name].append(value)
        tokens = self.accelerator.gather(_counted(output).sum(-1))
        weights = sample_weights(self.args.objective, self._measured, tokens, self._generations)
        own = self.accelerator.process_index * len(inputs)
        output["sample_weights"] = weights[own : own + len(inputs)]
        self._stop_where_rewards_fail()
        return output

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: Any, has_tool_images: Any = False
    ) -> Any:
        """Return sampled tokens and their log-probabilities, cut at their budgets if these are `TypeBudgets`."""
        completion_ids, logprobs = super()._generate_single_turn(  # type: ignore[no-untyped-call]
            prompt_ids, images, multimodal_fields, num_generations, has_tool_images
        )
        return (completion_ids, logprobs) if self._budget is None else self._budget.cut(completion_ids, logprobs)

    def _sum_over_ranks(self, tensor: Tensor) -> Tensor:
        total: Tensor = self.accelerator.reduce(tensor.to(self.accelerator.device), reduction="sum")
        return total

    def _stop_where_rewards_fail(self) -> None:
        """Save a checkpoint and raise where too many rewards are missing or one is malformed. Collective."""
        reason = self._recent.stop_reason if self._trains else ""
        if not (reason or self._malformed):
            return
        saved = save_last_checkpoint(self)
        if self._malformed:
            guards = [function.guard for function in self._guarded]
            own = [f"{guard.name}: {guard.malformed}" for guard in guards if guard.malformed]
            reasons = "; ".join(dict.fromkeys(gather_object(own)))
            raise ValueError(f"a reward function must return one number or None per completion. {reasons}; {saved}.")
        raise NotMeasuredError(
            f"{reason} (since the start: {self.not_measured.worst}); {saved}. Fix the graders and resume from it, or "
            "raise max_not_measured."
        )

    def _begin_batch(self) -> None:
        """Set the temperature and reset momentum: the current policy becomes pi_old."""
        args, step = self.args, self.state.global_step
        if args.temperature_end is not None:
            assert self._scoring is not None
            steps = args.temperature_steps or max(self.state.max_steps, 1)
            if step == 0 and steps > self.state.max_steps:
                logger.warning(
                    "the temperature would reach temperature_end=%s only after temperature_steps=%d, but the run ends "
                    "after %d steps. Leave temperature_steps out to reach it at the end of the run.",
                    args.temperature_end,
                    steps,
                    self.state.max_steps,
                )
            temperature = annealed(step, args.temperature, args.temperature_end, steps)
            set_temperature_(self, self._scoring, temperature)
        self._metrics["train"]["temperature"].append(self.temperature)
        if args.reset_optimizer and self.optimizer is not None:
            optimizer = getattr(self.optimizer, "optimizer", self.optimizer)  # inside Accelerate's wrapper
            if isinstance(optimizer, Muon):
                optimizer.reset_moments()
            else:
                optimizer.state.clear()

    @property
    def _trains(self) -> bool:
        """Whether the current batch is for training, decided as TRL does."""
        assert self.model is not None
        return self.model.training

    @property
    def _generations(self) -> int:
        generations: Any = self.num_generations if self._trains else self.num_generations_eval
        return int(generations)

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        """Return the rewards of all ranks, (samples, functions), all NaN where a sample was not measured.

        TRL leaves samples without any reward out of their group's mean, but counts a missing reward beside others as
        zero, and lets an infinite one cancel the advantages of its group.
        """
        for function in self._guarded:
            function.guard.failures = episode_failures(self.environments)
        rewards: Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        judged = rewards if self._budget is None else rewards[:, :-1]  # over_budget alone measures no sample
        codes = self.accelerator.gather(codes_of(self._guarded, rewards.device))
        self._malformed = bool((codes == MALFORMED).any())
        causes = causes_of(judged, codes, self._generations)
        self._measured = (causes == 0).all(1)
        if self._trains:
            self._recent.add(1 - self._measured.float().mean().item())
        if self._budget is not None:
            self._budget.replace_(rewards)
        rewards = rewards.masked_fill(~self._measured.unsqueeze(-1), torch.nan)
        metrics = self._metrics["train" if self._trains else "eval"]
        for name, share in self.not_measured.shares(causes).items():
            metrics[name].append(share)
        weights = self.reward_weights.to(rewards.device)
        of_groups = torch.where(self._measured, (rewards * weights).nansum(1), torch.nan).view(-1, self._generations)
        equal = of_groups.nan_to_num(-torch.inf).amax(1) <= of_groups.nan_to_num(torch.inf).amin(1)
        metrics["groups_without_signal"].append(equal.float().mean().item())
        return rewards

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        """Return this micro-batch's share of the step's loss: objective, router balance and PTX."""
        args, training = self.args, self._trains
        metrics = self._metrics["train" if training else "eval"]
        mask = _counted(inputs)
        logps, entropies, aux_loss = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
            inputs["completion_ids"].shape[1],
            compute_entropy=True,
            compute_aux_loss=self.aux_loss_enabled,
            **{name: inputs[name] for name in _MULTIMODAL if name in inputs},
        )
        old_logps = inputs.get("old_per_token_logps")
        log_ratios = logps - (logps.detach() if old_logps is None else old_logps)
        if args.objective == "k2":
            losses = k2_loss(log_ratios, mask, inputs["advantages"], args.rl_tau)
        else:
            losses = k25_loss(log_ratios, mask, inputs["advantages"], args.rl_tau, args.ratio_bounds)
        micro_batches = self.current_gradient_accumulation_steps if training else 1
        loss: Tensor = (losses * inputs["sample_weights"]).mean() / micro_batches
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * aux_loss / micro_batches
            metrics["aux_loss"].append(self.accelerator.gather(aux_loss.detach()).mean().item())
        with torch.no_grad():
            entropy = (entropies * mask).sum()
            of_sequences = (log_ratios * mask).sum(-1)
            low, high = args.ratio_bounds
            outside = ((log_ratios.exp() < low) | (log_ratios.exp() > high)) & (mask != 0)
            sums = torch.stack(
                [entropy, outside.sum(), mask.sum(), of_sequences.abs().sum(), mask.new_tensor(len(mask))]
            )
            entropy, outside, tokens, log_ratio, samples = self.accelerator.reduce(sums, reduction="sum").tolist()
        metrics["entropy"].append(entropy / max(tokens, 1))
        metrics["log_ratio/abs_mean"].append(log_ratio / samples)
        if args.objective == "k25":
            metrics["clip_ratio"].append(outside / max(tokens, 1))
        if self._ptx is not None and training:
            loss = loss + args.ptx_coef * self._ptx_loss(model, self._ptx)
        return loss

    def _ptx_loss(self, model: nn.Module, ptx: PTXBatches | PTXStream) -> Tensor:
        """Return this micro-batch's share of the step's mean next-token loss, which ranks will average."""
        before = self.state.global_step * self.args.gradient_accumulation_steps
        if not self._ptx_window or self._ptx_step != self.state.global_step:
            self._ptx_step = self.state.global_step
            self._ptx_window = ptx.window(before, self.current_gradient_accumulation_steps)
            self._ptx_targets = max(int(self._sum_over_ranks(targets(self._ptx_window))), 1)
            self._ptx_sum = torch.zeros((), device=self.accelerator.device)
            passes = ptx.passes(self.state.max_steps * self.args.gradient_accumulation_steps)
            if before == 0 and passes > 1 and isinstance(ptx, PTXBatches):
                logger.warning(
                    "ptx_dataset has %d rows of ptx_max_length=%d tokens, which the run goes through %.1f times, "
                    "shuffled again each time.",
                    len(ptx.rows),
                    self.args.ptx_max_length,
                    passes,
                )
        loss = next_token_loss(model, self._ptx_window.pop(0), self.accelerator.device)
        self._ptx_sum = self._ptx_sum + loss.detach()
        if not self._ptx_window:
            total = self.accelerator.reduce(self._ptx_sum, reduction="sum").item()
            self._metrics["train"]["ptx/loss"].append(total / self._ptx_targets)
            self._metrics["train"]["ptx/passes"].append(ptx.passes(before + self.current_gradient_accumulation_steps))
        share: Tensor = loss * self.accelerator.num_processes / self._ptx_targets
        return share


# What TRL's log-probabilities take in addition to tokens, by its name in a batch: pixels and their places.
_MULTIMODAL = tuple(
    name
    for name in inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters
    if name not in ("self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size")
    and not name.startswith("compute_")
)


def _counted(batch: dict[str, Any]) -> Tensor:
    """Return which tokens the model sampled itself, (batch, tokens): neither padding nor tool results."""
    mask: Tensor = batch["completion_mask"]
    if "tool_mask" in batch:
        mask = mask * batch["tool_mask"]
    return mask
