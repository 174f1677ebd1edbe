"""Kimi K2's training recipe in tokens: learning rate and context length as functions of the tokens trained so far.

A `TokenSchedule` is a row of phases and knows nothing of optimizers, models or steps, so that it survives a change of
batch size, context or number of devices. `TokenScheduler` and `attach_schedule` train by it, `apply_context_` brings a
model to its context, `plot_schedule` draws it.
"""

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Literal, get_args

Shape = Literal["constant", "linear", "cosine"]

# Kimi K2 (arXiv 2507.20534), section 2.5. The first 10T tokens include the warm-up of 500 steps of 67M tokens.
_K2_TOTAL_TOKENS = 15_960_000_000_000
_K2_ENDS = {
    "warm-up": 33_500_000_000,
    "constant": 10_000_000_000_000,
    "cosine": 15_500_000_000_000,
    "anneal": 15_900_000_000_000,
    "long context": _K2_TOTAL_TOKENS,
}
_K2_PEAK_LR = 2e-4
_K2_COSINE_END = 2e-5 / _K2_PEAK_LR
_K2_ANNEAL_END = 7e-6 / _K2_PEAK_LR
_K2_LONG_CONTEXT = 32768 // 4096
_K2_FINAL_CONTEXT = 131072 // 4096


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one context length and one course of the learning rate.

    Attributes:
        name: for pictures and messages.
        tokens: number of tokens of the phase; a whole number (2e9 will do).
        lr_start: learning rate at its first token.
        lr_end: learning rate at its end; None keeps `lr_start`.
        context_length: tokens in a training sequence.
        shape: how the rate goes from `lr_start` to `lr_end`; "constant" if it does not change.

    Raises:
        ValueError: a value is out of range, or a constant phase ends at another rate than it starts with.
    """

    name: str
    tokens: int
    lr_start: float
    lr_end: float | None = None
    context_length: int = 4096
    shape: Shape = "constant"

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", _whole(f"tokens of phase {self.name!r}", self.tokens))
        context_length = _whole(f"context_length of phase {self.name!r}", self.context_length)
        object.__setattr__(self, "context_length", context_length)
        if self.lr_end is None:
            object.__setattr__(self, "lr_end", self.lr_start)
        for name, rate in (("lr_start", self.lr_start), ("lr_end", self.lr_end)):
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < math.inf:
                raise ValueError(
                    f"{name} must be finite and >= 0; got {rate!r} in phase {self.name!r}. 2e-4 is Kimi K2's."
                )
        if self.shape not in get_args(Shape):
            raise ValueError(f"shape must be one of {get_args(Shape)}; got {self.shape!r} in phase {self.name!r}.")
        if self.shape == "constant" and self.lr_end != self.lr_start:
            raise ValueError(
                f"a constant phase keeps its learning rate; phase {self.name!r} goes from {self.lr_start} to "
                f"{self.lr_end}. Pass shape='linear' or 'cosine', or no lr_end."
            )

    def lr(self, tokens: int) -> float:
        """Return the learning rate `tokens` after the start of the phase, exact at both ends."""
        assert self.lr_end is not None
        if tokens >= self.tokens:
            return self.lr_end
        share = tokens / self.tokens
        if self.shape == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return self.lr_start + (self.lr_end - self.lr_start) * share


@dataclass(frozen=True)
class Stage:
    """Consecutive phases of one context length, which can be trained without cutting the data again.

    Attributes:
        start: tokens trained before it.
        end: tokens trained after it.
        context_length: tokens per training sequence.
    """

    start: int
    end: int
    context_length: int


@dataclass(frozen=True)
class TokenSchedule:
    """Phases, one after the other.

    A phase includes its first token and excludes the one after its last. After the last phase, rate and context stay.
    A step trains with the rate after the tokens trained before it; its batch belongs to the phase in which it begins.

    Attributes:
        phases: in order; at least one.
        final_context_length: context length of the finished model. Entering the first phase with a longer context than
            the first one's, YaRN extends the model from the first phase's context to this one. None leaves the model's
            rotary embeddings alone.

    Raises:
        ValueError: there are no phases, or the final context is not longer than the first or shorter than the longest.
    """

    phases: tuple[Phase, ...]
    final_context_length: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(self.phases))
        if not self.phases or not all(isinstance(phase, Phase) for phase in self.phases):
            raise ValueError(f"a schedule needs phases; got {self.phases!r}. Pass Phase('constant', 2e9, 2e-4), ...")
        if self.peak_lr == 0:
            raise ValueError("a schedule needs a phase with a positive learning rate; all phases have 0.")
        if self.final_context_length is None:
            return
        final = _whole("final_context_length", self.final_context_length)
        object.__setattr__(self, "final_context_length", final)
        contexts = [phase.context_length for phase in self.phases]
        if final < max(contexts) or final <= contexts[0]:
            raise ValueError(
                "final_context_length must exceed the first phase's context and reach the longest; got "
                f"{final} with contexts {contexts}. Pass a longer one, or None to leave the model as it is."
            )

    @cached_property
    def boundaries(self) -> tuple[int, ...]:
        """The tokens trained before each phase and after the last: 0, ..., total_tokens."""
        return tuple(accumulate((phase.tokens for phase in self.phases), initial=0))

    @property
    def total_tokens(self) -> int:
        """The tokens of all phases."""
        return self.boundaries[-1]

    @property
    def peak_lr(self) -> float:
        """The highest learning rate of all phases."""
        return max(max(phase.lr_start, phase.lr(phase.tokens)) for phase in self.phases)

    def phase_index(self, tokens: int) -> int:
        """Return the index of the phase after `tokens` tokens, from 0; the last one also beyond the end.

        Raises:
            ValueError: `tokens` is negative.
        """
        if tokens < 0:
            raise ValueError(f"tokens count from 0, the start of training; got {tokens}.")
        # A search over six numbers, once per step.
        return min(sum(end <= tokens for end in self.boundaries[1:]), len(self.phases) - 1)

    def phase(self, tokens: int) -> Phase:
        """Return the phase after `tokens` tokens; errors as `phase_index`."""
        return self.phases[self.phase_index(tokens)]

    def lr(self, tokens: int) -> float:
        """Return the learning rate after `tokens` tokens; errors as `phase_index`."""
        index = self.phase_index(tokens)
        return self.phases[index].lr(tokens - self.boundaries[index])

    def context_length(self, tokens: int) -> int:
        """Return the context length after `tokens` tokens; errors as `phase_index`."""
        return self.phase(tokens).context_length

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages: the schedule split where the context length changes."""
        found: list[Stage] = []
        for phase, (start, end) in zip(self.phases, pairwise(self.boundaries), strict=True):
            if found and found[-1].context_length == phase.context_length:
                start = found.pop().start
            found.append(Stage(start, end, phase.context_length))
        return tuple(found)

    def stage(self, tokens: int) -> Stage:
        """Return the stage after `tokens` tokens; errors as `phase_index`."""
        start = self.boundaries[self.phase_index(tokens)]
        return next(stage for stage in self.stages if start < stage.end)

    def steps(self, tokens_per_step: int) -> int:
        """Return the number of optimizer steps of the whole schedule: `TrainingArguments(max_steps=...)`.

        Raises:
            ValueError: `tokens_per_step` is not a positive whole number.
        """
        return -(-self.total_tokens // _whole("tokens_per_step", tokens_per_step))

    def to_dict(self) -> dict[str, Any]:
        """Return the schedule in plain types, for JSON and for checkpoints."""
        return {
            "phases": [asdict(phase) for phase in self.phases],
            "final_context_length": self.final_context_length,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TokenSchedule":
        """Return the schedule that `to_dict` was called on."""
        return cls(tuple(Phase(**phase) for phase in values["phases"]), values["final_context_length"])


def kimi_k2_schedule(
    total_tokens: float = _K2_TOTAL_TOKENS,
    peak_lr: float = _K2_PEAK_LR,
    warmup_tokens: float | None = None,
    context_length: int = 4096,
) -> TokenSchedule:
    """Return Kimi K2's phases, scaled to any budget of tokens.

    Kimi K2 (arXiv 2507.20534), section 2.5: warm-up to 2e-4, constant to 10T tokens, cosine to 2e-5 at 15.5T, then
    down to 7e-6 over 400B tokens at a context of 4096 and 60B at 32768, and YaRN to 131072. Every boundary and rate
    keeps its proportion. Where the paper is silent, this takes the last descent as one straight line over both phases
    (8.7e-6 where the context changes), and has YaRN in place before the 32768 phase: the published configuration counts
    its factor of 32 from 4096.

    Args:
        total_tokens: tokens of all phases; a whole number.
        peak_lr: the rate of the constant phase.
        warmup_tokens: length of the warm-up, taken from the constant phase. None keeps the proportion of Kimi K2's 500
            steps of 67M tokens, 0.21% of all, which is two steps in a thousand: give a small budget more.
        context_length: context of all phases but the last, which has 8 times as much; YaRN extends to 32 times as much.

    Raises:
        ValueError: a number is out of range, or the warm-up leaves nothing of the constant phase.
    """
    total = _whole("total_tokens", total_tokens)
    context_length = _whole("context_length", context_length)
    if isinstance(peak_lr, bool) or not isinstance(peak_lr, int | float) or not 0 < peak_lr < math.inf:
        raise ValueError(f"peak_lr must be finite and > 0; got {peak_lr!r}. 2e-4 is Kimi K2's.")
    # In whole numbers, so that the phases add up to the budget exactly.
    ends = {name: (end * total + _K2_TOTAL_TOKENS // 2) // _K2_TOTAL_TOKENS for name, end in _K2_ENDS.items()}
    if warmup_tokens is not None:
        ends["warm-up"] = _whole("warmup_tokens", warmup_tokens)
        if ends["warm-up"] >= ends["constant"]:
            raise ValueError(
                f"warmup_tokens are taken from the warm-up and constant phases' {ends['constant']} of {total} tokens, "
                f"and must leave some; got {warmup_tokens}. Pass fewer, or None for {_K2_ENDS['warm-up']} in "
                f"{_K2_TOTAL_TOKENS}."
            )
    tokens = [end - start for start, end in pairwise([0, *ends.values()])]
    if min(tokens) < 1:
        raise ValueError(f"total_tokens must give every phase a token; got {total}, which are {tokens}. Pass more.")
    warm_up, constant, cosine, anneal, long_context = tokens
    low, last = peak_lr * _K2_COSINE_END, peak_lr * _K2_ANNEAL_END
    turn = low + (last - low) * anneal / (anneal + long_context)
    return TokenSchedule(
        (
            Phase("warm-up", warm_up, 0.0, peak_lr, context_length, "linear"),
            Phase("constant", constant, peak_lr, context_length=context_length),
            Phase("cosine", cosine, peak_lr, low, context_length, "cosine"),
            Phase("anneal", anneal, low, turn, context_length, "linear"),
            Phase("long context", long_context, turn, last, context_length * _K2_LONG_CONTEXT, "linear"),
        ),
        final_context_length=context_length * _K2_FINAL_CONTEXT,
    )


def _whole(name: str, value: Any) -> int:
    """Return a positive whole number as int, whatever its type.

    Raises:
        ValueError: it is not one.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 1 <= value < math.inf or value != int(value):
        raise ValueError(f"{name} must be a positive whole number; got {value!r}. Write 2_000_000_000 or 2e9.")
    return int(value)
