"""Balance the load of experts by the router's correction bias, without an auxiliary loss.

A router that scores experts on its own sends more and more tokens to the few that it trained first. DeepSeek-V3 and
Kimi K2 steer against it outside the gradient: each expert has a bias that is added to its score for the choice of
experts alone, never for their weights, and after every optimizer step the bias of an expert with more than the mean
load falls by a fixed amount while that of one with less rises (arXiv 2408.15664, Algorithm 1; 2412.19437, section
2.1.2). transformers holds this bias, `e_score_correction_bias`, and applies it; nothing there updates it.

`ExpertBalancer` is for loops of one's own, `ExpertBalanceCallback` for the Trainer.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate
from transformers.trainer_callback import ExportableState, TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from ..attention.capture.told_padding import ToldPadding
from ..common.ranks import collective_device, num_ranks
from ..runs.log_figures import start_adding, stop_adding
from .routers import BIAS, Router, chosen_experts, find_routers


class ExpertBalancer:
    """Counts the tokens of every expert and moves the router's bias against their imbalance.

        balancer = ExpertBalancer(model)
        for batch in loader:
            model(**batch).loss.backward()
            optimizer.step()
            balancer.update()
            optimizer.zero_grad()

    b_i <- b_i + update_rate · sign(mean load - load_i), layer by layer, where the load of an expert is the number of
    tokens that chose it since the last update: of all micro-batches and all ranks, in forwards with gradients and in
    training mode. Evaluation and generation do not count, nor does what gradient checkpointing runs again. Where the
    model is called with a two-dimensional `attention_mask`, padding does not count either: its tokens all look alike,
    and the bias would push them from expert to expert at the cost of the text. Counting and updating never wait for
    the device.

    The bias is part of the model's state dict, so checkpoints keep it. It is held in float32 whatever the model's
    dtype: in bfloat16 a step of 0.001 is lost as soon as the bias reaches 0.5.

    The experts of a layer must all be on every rank (DDP, FSDP2); counts are summed over the default process group.

    Args:
        model: a transformers model with `e_score_correction_bias` in its routers: DeepSeek-V3, Kimi K2, GLM-4.5,
            dots.llm1, Ernie 4.5, MiniMax-M2 and others; wrapped or not.
        update_rate: u, in units of the router's score; >= 0. May be changed between steps: DeepSeek-V3 trained with
            0.001 and ended with 0 over its last 500B tokens. With 0 loads are counted and the bias stays.

    Attributes:
        loads: {layer: (num_experts,), int64}, the loads that the last update acted on; empty before it.

    Raises:
        ValueError: the rate is negative, or the model has no such bias, or a layer with one has no experts.
    """

    def __init__(self, model: nn.Module, update_rate: float = 1e-3) -> None:
        if not update_rate >= 0:
            raise ValueError(
                f"update_rate must be at least 0, got {update_rate}. DeepSeek-V3 uses 0.001; 0 counts loads alone."
            )
        self.update_rate = update_rate
        self.loads: dict[str, Tensor] = {}
        self._routers = find_routers(model)
        self._told = ToldPadding(model)
        self._hooks = []
        for router in self._routers.values():
            _hold_in_float32(router)
            self._hooks.append(router.experts.register_forward_pre_hook(self._counter(router), with_kwargs=True))

    def update(self) -> None:
        """Move the bias of every expert. In place. Collective: call on every rank, after the optimizer's step.

        A rank that counted nothing adds nothing to the others' loads. Where no rank of several counted anything, the
        biases stay and `loads` are zeros: to refuse it, every update would have to wait for the device.

        Raises:
            ValueError: there is one rank, and it counted nothing since the last update.
        """
        if num_ranks() == 1 and all(router.counts is None for router in self._routers.values()):
            raise ValueError(
                "update() needs a forward in training mode and with gradients since the last one; it counted none of "
                f"{', '.join(self._routers)}. Call it once after each optimizer step, and before detach(); a kernel "
                "that replaces the whole mixture of experts hides its experts from the count."
            )
        for (name, router), load in zip(self._routers.items(), self._collect(), strict=True):
            _hold_in_float32(router)
            # In integers, so that an expert at the mean stays and every rank decides alike.
            _add(router.bias, torch.sign(load.sum() - len(load) * load), self.update_rate)
            self.loads[name] = load

    def detach(self) -> None:
        """Stop counting and remove all hooks. The bias stays as it is."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._told.close()
        self._reset()

    def biases(self) -> dict[str, Tensor]:
        """Return {layer: (num_experts,), float32}; copies. Collective where FSDP2 shards them."""
        return {name: _whole(router.bias).flatten().clone() for name, router in self._routers.items()}

    def _collect(self) -> list[Tensor]:
        """Return each layer's load of all ranks on its own device, and count from zero again."""
        routers = self._routers.values()
        counts = [
            router.no_counts(router.bias.device) if router.counts is None else router.counts for router in routers
        ]
        devices, sizes = [count.device for count in counts], [len(count) for count in counts]
        self._reset()
        if num_ranks() > 1:
            packed = torch.cat([count.to(collective_device(devices[0])) for count in counts])
            dist.all_reduce(packed)
            counts = [count.to(device) for count, device in zip(packed.split(sizes), devices, strict=True)]
        return counts

    def _reset(self) -> None:
        self._told.forget()
        for router in self._routers.values():
            router.counts = None
            router.recomputations.forget()

    def _counter(self, router: Router) -> Any:
        def count(experts: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not (experts.training and torch.is_grad_enabled()) or router.recomputations.is_one():
                return
            chosen = chosen_experts(args, kwargs)
            if router.counts is None:
                router.counts = router.no_counts(chosen.device)
            tokens = torch.ones_like(chosen)
            padding = self._told.padding
            if padding is not None and padding.numel() == len(chosen):
                tokens = tokens * ~padding.to(chosen.device).view(-1, 1)
            router.counts.scatter_add_(0, chosen.flatten(), tokens.flatten())

        return torch.compiler.disable(count)


class ExpertBalanceCallback(TrainerCallback, ExportableState):
    """Balance the experts' load while a Trainer trains, and log it.

    Updates the router's bias after every optimizer step, as `ExpertBalancer` says. With every training log, to all
    trackers and `trainer_state.json`:

    - `expert_load/max_violation`: MaxVio of arXiv 2408.15664, the largest load of an expert over the mean load, less
      1; of one step, averaged over layers and over the steps since the last log. 0 is perfect balance.
    - `expert_load/max_violation_worst_layer`: the same for the layer where it is largest.
    - `expert_load/min_share`: the smallest load of any expert in any layer over the mean load of its layer, over all
      steps since the last log. 0 is an expert that no token chose.
    - `expert_load/bias_range`: the largest difference of two experts' biases in a layer.

    The bias is saved and resumed with the model, and the figures not yet logged with the Trainer's state.

    Args:
        update_rate: as for `ExpertBalancer`; 0 logs the load and leaves the bias alone.

    Attributes:
        balancer: the `ExpertBalancer` while the Trainer trains; None before and after.
    """

    def __init__(self, update_rate: float = 1e-3) -> None:
        self.update_rate = update_rate
        self.balancer: ExpertBalancer | None = None
        self._steps = 0  # since the last log, as the two below, which are sums over them
        self._violations = torch.zeros(0)  # (layers,), float32
        self._loads = torch.zeros(0, dtype=torch.int64)  # (experts of all layers,)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the rate, and the figures not yet logged."""
        since_log = {
            "steps": self._steps,
            "violations": self._violations.tolist(),
            "loads": self._loads.tolist(),
        }
        return {"args": {"update_rate": self.update_rate}, "attributes": {"exported_since_log": since_log}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin to count, and restore the figures that a resumed run had not logged."""
        if self.balancer is not None:  # of a run that ended in an exception
            self.balancer.detach()
        self.balancer = ExpertBalancer(kwargs["model"], self.update_rate)
        self._forget()
        stored: Any = state.stateful_callbacks
        saved = (stored or {}).get(type(self).__name__)
        if state.global_step > 0 and isinstance(saved, dict):
            since_log = saved["attributes"]["exported_since_log"]
            self._steps = since_log["steps"]
            self._violations = torch.tensor(since_log["violations"], dtype=torch.float32)
            self._loads = torch.tensor(since_log["loads"], dtype=torch.int64)
        start_adding(self)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remove all hooks from the model and the Trainer."""
        stop_adding(self)
        if self.balancer is not None:
            self.balancer.detach()
        self.balancer = None

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Update the bias and add the step to the figures."""
        assert self.balancer is not None
        self.balancer.update()
        loads = list(self.balancer.loads.values())
        device = loads[0].device
        violations = torch.stack([max_violation(load).to(device) for load in loads])
        packed = torch.cat([load.to(device) for load in loads])
        if self._steps > 0:
            violations += self._violations.to(device)
            packed += self._loads.to(device)
        self._steps, self._violations, self._loads = self._steps + 1, violations, packed

    def add_figures(self, state: TrainerState, logs: dict[str, Any]) -> None:
        """Put the figures since the last log into `logs` and the Trainer's history."""
        if self.balancer is None or self._steps == 0 or "loss" not in logs:
            return
        sizes = [len(load) for load in self.balancer.loads.values()]
        violations = self._violations / self._steps
        shares = [load.min() * len(load) / load.sum().clamp(min=1) for load in self._loads.split(sizes)]
        ranges = [(bias.max() - bias.min()).to(violations.device) for bias in self.balancer.biases().values()]
        names = ("max_violation", "max_violation_worst_layer", "min_share", "bias_range")
        values = (violations.mean(), violations.max(), torch.stack(shares).min(), torch.stack(ranges).max())
        rounded = [round(value, 4) for value in torch.stack(values).tolist()]
        figures = {f"expert_load/{name}": value for name, value in zip(names, rounded, strict=True)}
        logs.update(figures)
        state.log_history[-1].update(figures)
        self._forget()

    def _forget(self) -> None:
        self._steps = 0
        self._violations, self._loads = torch.zeros(0), torch.zeros(0, dtype=torch.int64)


def max_violation(load: Tensor) -> Tensor:
    """Return MaxVio of arXiv 2408.15664 (section 4.1): the largest load over the mean load, less 1.

    Args:
        load: (num_experts,), tokens of each expert.

    Returns:
        (), float32; 0 in perfect balance, num_experts / num_experts_per_tok - 1 where all choose the same experts; 0
        where there is no token.
    """
    total = load.sum()
    return torch.where(total > 0, load.max() * len(load) / total.clamp(min=1) - 1, 0.0)


def _hold_in_float32(router: Router) -> None:
    """Convert a bias of another dtype to float32. In place, so that references to the tensor stay valid."""
    bias = router.bias
    if bias.dtype == torch.float32:
        return
    if isinstance(bias, DTensor):
        raise ValueError(
            f"{BIAS} must be float32; FSDP2 shards it in {bias.dtype}. Cast it before sharding: construct the balancer "
            "before accelerator.prepare, or load the model in float32 and use mixed precision."
        )
    bias.data = bias.data.float()


@torch.no_grad()
def _add(bias: Tensor, direction: Tensor, rate: float) -> None:
    """Add rate·direction, (num_experts,), to a bias of any shape, whole or sharded. In place."""
    step = direction.to(bias.dtype).view(bias.shape)
    if isinstance(bias, DTensor):
        mesh = bias.device_mesh
        # Every rank has the whole step, so each takes its part without asking another.
        whole = DTensor.from_local(step, mesh, [Replicate()] * mesh.ndim, run_check=False)
        bias.add_(whole.redistribute(placements=bias.placements), alpha=rate)
    else:
        bias.add_(step.to(bias.device), alpha=rate)


def _whole(bias: Tensor) -> Tensor:
    bias = bias.detach()
    return bias.full_tensor() if isinstance(bias, DTensor) else bias
