"""A schedule in tokens in any Trainer: rates, context and the end of training follow the tokens it has trained on."""

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_utils import SaveStrategy
from transformers.training_args import TrainingArguments

from ..common.loggers import get_logger
from .context import apply_context_
from .schedule import Stage, TokenSchedule
from .token_scheduler import TokenScheduler

if TYPE_CHECKING:
    from transformers import Trainer

logger = get_logger(__name__)


def attach_schedule(
    trainer: "Trainer", schedule: TokenSchedule, tokens_per_step: int | None = None
) -> "TokenScheduleCallback":
    """Let a Trainer train one stage of a schedule, from wherever its checkpoint stands. In place.

    A stage has one context length: for the next one, data must be cut again. Training stops, and saves, when it is
    over; the next Trainer resumes from that checkpoint:

        checkpoint = last_whole_checkpoint(output_dir)
        while (seen := checkpoint_tokens(checkpoint)) < schedule.total_tokens:
            context_length = schedule.context_length(seen)
            args = TrainingArguments(output_dir, per_device_train_batch_size=tokens_per_step // context_length, ...)
            model = DeepseekV3ForCausalLM(config)  # gets its weights, and its context, when training resumes
            trainer = Trainer(model, args, train_dataset=cut(context_length), optimizers=muonclip(model, args))
            attach_schedule(trainer, schedule, tokens_per_step)
            trainer.train(resume_from_checkpoint=checkpoint)
            checkpoint = last_whole_checkpoint(output_dir)

    After an interruption in any phase, the same loop resumes. With as many tokens per step in every stage, as Kimi K2
    had, the Trainer's place in the data carries over from stage to stage too. The callback extends the model's context
    where the schedule says so, and adds `schedule/tokens`, `schedule/phase` (from 1) and `schedule/context_length` to
    every log.

    Args:
        trainer: not yet training; with an optimizer, or one it will build (`muonclip_factory`, `attach`), and no
            scheduler.
        schedule: the schedule; its `peak_lr` must be the optimizer's learning rate.
        tokens_per_step: tokens of an optimizer step over all ranks, if that never changes: per-device batch x
            accumulation steps x ranks x context length. None counts the tokens of every batch, by the Trainer's own
            `include_num_input_tokens_seen`, which this turns on; that waits for the device once per micro-batch.

    Returns:
        The callback that was added.

    Raises:
        ValueError: the trainer has a scheduler already, or its arguments ask for one.
    """
    args = trainer.args
    if trainer.lr_scheduler is not None:
        raise ValueError(
            f"attach_schedule() needs a trainer without a scheduler; this one has "
            f"{type(trainer.lr_scheduler).__name__}. Pass optimizers=(optimizer, None)."
        )
    asked = {
        "lr_scheduler_type": (getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type), "linear"),
        "warmup_steps": (args.warmup_steps or 0, 0),
        "lr_scheduler_kwargs": (args.lr_scheduler_kwargs or {}, {}),
    }
    against = {name: value for name, (value, default) in asked.items() if value != default}
    if against:
        raise ValueError(
            f"the schedule replaces the Trainer's own; TrainingArguments has {against}. Leave it out, and change the "
            "schedule's phases instead."
        )
    if tokens_per_step is None and args.include_num_input_tokens_seen == "no":
        args.include_num_input_tokens_seen = "all"

    def create_scheduler(num_training_steps: int, optimizer: Optimizer | None = None) -> TokenScheduler:
        # Made again for every train(), like the Trainer's own.
        scheduler: Any = TokenScheduler(optimizer or trainer.optimizer, schedule, tokens_per_step)  # type: ignore[arg-type]
        trainer.lr_scheduler = scheduler
        return scheduler  # type: ignore[no-any-return]

    trainer.create_scheduler = create_scheduler  # type: ignore[method-assign]
    callback = TokenScheduleCallback(tokens_per_step)
    # First: trackers read the logs, and MuonClipCallback whether a save follows, in the order of this list.
    trainer.callback_handler.callbacks.insert(0, callback)
    return callback


class TokenScheduleCallback(TrainerCallback):
    """Count tokens for the Trainer's `TokenScheduler`, follow its contexts, log, and stop. `attach_schedule` adds it.

    Args:
        tokens_per_step: as for `attach_schedule`.
    """

    def __init__(self, tokens_per_step: int | None = None) -> None:
        self.tokens_per_step = tokens_per_step
        self._scheduler: TokenScheduler | None = None
        self._stage: Stage | None = None
        self._start = (0, 0, 0)  # tokens, steps and the Trainer's own count of tokens, when training began
        self._check: _BatchCheck | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Find the place in the schedule, and set the model's context to that phase's."""
        scheduler = kwargs["lr_scheduler"]
        if not isinstance(scheduler, TokenScheduler):
            raise ValueError(
                f"TokenScheduleCallback drives a TokenScheduler; this Trainer uses {type(scheduler).__name__}. Call "
                "attach_schedule(trainer, schedule)."
            )
        schedule, seen = scheduler.schedule, scheduler.tokens_seen
        if state.global_step > 0 and seen == 0:
            raise ValueError(
                f"a checkpoint to resume holds scheduler.pt; that of step {state.global_step} does not, and the "
                "schedule would begin again. Save with save_only_model=False."
            )
        if seen >= schedule.total_tokens:
            raise ValueError(
                f"the schedule ends at {schedule.total_tokens:,} tokens, and the checkpoint has trained {seen:,}: "
                "nothing is left to train. Give the schedule another phase to go on."
            )
        model = kwargs["model"]
        self._scheduler, self._stage = scheduler, schedule.stage(seen)
        self._start = (seen, state.global_step, state.num_input_tokens_seen)
        context_length = apply_context_(model, schedule, seen)
        logger.info("Phase %r at %s tokens, context %d", schedule.phase(seen).name, f"{seen:,}", context_length)
        expected = None
        if self.tokens_per_step is not None:
            expected = self.tokens_per_step // (args.gradient_accumulation_steps * args.world_size)
            self._warn_if_short(state, self.tokens_per_step)
        if self._check is not None:  # of a training that ended by an error
            self._check.close()
        self._check = _BatchCheck(model, context_length, expected)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Pass the number of tokens of this step to the scheduler, which steps next.

        Counted from the start of training: a step that a GradScaler skipped is made up for by the next.
        """
        assert self._scheduler is not None
        seen, steps, counted = self._start
        if self.tokens_per_step is None:
            seen += state.num_input_tokens_seen - counted
        else:
            seen += (state.global_step + 1 - steps) * self.tokens_per_step
        self._scheduler.tokens_per_step = seen - self._scheduler.tokens_seen

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop and save where the stage ends."""
        assert self._scheduler is not None
        assert self._stage is not None
        _, steps, counted = self._start
        if self.tokens_per_step is None and state.global_step == steps + 1:
            self._warn_if_short(state, state.num_input_tokens_seen - counted)
        if self._scheduler.tokens_seen >= self._stage.end:
            control.should_training_stop = True
            control.should_save |= args.save_strategy != SaveStrategy.NO

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add tokens, phase and context to what trackers and the Trainer's history get."""
        if self._scheduler is None or logs is None:
            return
        schedule, seen = self._scheduler.schedule, self._scheduler.tokens_seen
        figures = {
            "schedule/tokens": seen,
            "schedule/phase": schedule.phase_index(seen) + 1,
            "schedule/context_length": schedule.context_length(seen),
        }
        logs.update(figures)
        state.log_history[-1].update(figures)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remove all hooks from the model."""
        if self._check is not None:
            self._check.close()

    def _warn_if_short(self, state: TrainerState, tokens_per_step: int) -> None:
        assert self._stage is not None
        start, steps, _ = self._start
        planned = start + (state.max_steps - steps) * tokens_per_step
        if planned >= self._stage.end:
            return
        needed = steps - (start - self._stage.end) // tokens_per_step
        warnings.warn(
            f"{state.max_steps} steps of {tokens_per_step:,} tokens end at {planned:,} tokens, and the stage at "
            f"{self._stage.end:,}: the learning rate will not come down as planned. Pass max_steps={needed} or more "
            "(training stops by itself), or scale the schedule's tokens.",
            stacklevel=3,
        )


class _BatchCheck:
    """Checks that the first training batch is cut to the phase's context and has the expected number of tokens.

    Attributes:
        context_length: the phase's context.
        expected: tokens of one micro-batch of one rank; None if they are counted.
    """

    def __init__(self, model: nn.Module, context_length: int, expected: int | None) -> None:
        self.context_length = context_length
        self.expected = expected
        self._handle = model.register_forward_pre_hook(self, with_kwargs=True)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Unchecked, ()  # a copied model is not this Trainer's

    def close(self) -> None:
        """Remove the hook from the model. Idempotent."""
        self._handle.remove()

    def __call__(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if torch.compiler.is_compiling() or not module.training:
            return
        self.close()
        input_ids = kwargs.get("input_ids", args[0] if args else None)
        if not isinstance(input_ids, Tensor) or input_ids.ndim != 2:
            return
        length = input_ids.shape[1]
        packed = kwargs.get("position_ids") is not None
        if length > self.context_length and not packed:
            raise ValueError(
                f"training sequences must be cut to the phase's context, {self.context_length}; the first are {length} "
                "tokens long. Cut the data to schedule.context_length(tokens_seen)."
            )
        said = []
        if length < self.context_length and not packed:
            said.append(f"sequences of {length} tokens in a phase of context {self.context_length}")
        if self.expected is not None and input_ids.numel() != self.expected:
            said.append(f"micro-batches of {input_ids.numel()} tokens where tokens_per_step makes {self.expected}")
        if said:
            warnings.warn(
                f"the first training batch does not match the schedule: {' and '.join(said)}. Cut the data to "
                "schedule.context_length(tokens_seen), and pass tokens_per_step=None to count what is really trained.",
                stacklevel=2,
            )


class _Unchecked:
    """Replaces the check in a copied model."""

    def __call__(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        """Skip the check."""
