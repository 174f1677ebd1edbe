"""What do capturing max logits, and the Trainer's callback with its telemetry, add to a training step?

capture: forward and backward with max logits captured, screened and always exact, against the same without capture.
What the optimizer step takes is `optimizer_step.py`'s question.

callback: whole steps of a Trainer with `MuonClipCallback`, between two logs and with a log at every step, against the
same Trainer with the same optimizer and TensorBoard, but without the callback.

Both by interleaved rounds within one process, so that a machine whose speed drifts does not decide.

    OMP_NUM_THREADS=2 python benchmarks/overhead.py            # a few minutes; appends rows to results/overhead.jsonl
    OMP_NUM_THREADS=2 python benchmarks/overhead.py --question callback      # that one alone
    python benchmarks/tables.py                                # renders all rows into the READMEs
"""

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import append_rows, interleaved, quantiles_ms, ratio_p50
from transformers import (
    DeepseekV3ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from hf_muonclip import MuonClipCallback, muonclip
from hf_muonclip.attention import MaxLogitCapture
from hf_muonclip.attention.modules.find import attention_modules
from hf_muonclip.kimi_k2 import kimi_k2_config

STEPS = 2  # of a Trainer that a round times
# Variant -> (with the callback, settings). The Trainer's default is a log every 500 steps.
CALLBACK_VARIANTS: dict[str, tuple[bool, dict[str, Any]]] = {
    "no callback, between logs": (False, {"logging_steps": 500}),
    "callback, between logs": (True, {"logging_steps": 500}),
    "no callback, a log every step": (False, {"logging_steps": 1}),
    "callback, a log every step": (True, {"logging_steps": 1}),
}


def smollm2(layers: int) -> PreTrainedModel:
    """SmolLM2-135M's layers (GQA, 9 heads on 3); a small vocabulary, so that the head does not hide the attention."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=4096,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=layers,
            num_attention_heads=9,
            num_key_value_heads=3,
            max_position_embeddings=8192,
        )
    )


def kimi_k2_nano() -> PreTrainedModel:
    return DeepseekV3ForCausalLM(kimi_k2_config("nano", max_position_embeddings=8192))


def capture_variants(
    model: PreTrainedModel, batch: int, length: int
) -> tuple[dict[str, Callable[[], None]], Callable[[], float]]:
    tokens = torch.randint(model.config.vocab_size, (batch, length), device=model.device)
    capture = MaxLogitCapture(attention_modules(model), training_only=True)

    def forward_backward() -> None:
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        model.zero_grad()
        capture.reset()

    def without() -> None:
        with capture.pause():
            forward_backward()

    def screened() -> None:
        capture.screen_threshold = 100.0
        forward_backward()

    def exact() -> None:
        capture.screen_threshold = None
        forward_backward()

    variants = {"no capture": without, "screened": screened, "always exact": exact}
    return variants, lambda: capture.seconds


class StepClock(TrainerCallback):
    """Times whole steps of a Trainer, what follows them included: from the start of one to the start of the next."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self.starts = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.starts.append(time.perf_counter())


class MeteredCallback(MuonClipCallback):
    """Counts the time spent in what it does at every step and every log; a tracker's own work is not in it."""

    def __init__(self) -> None:
        super().__init__()
        self.metered = 0.0
        for name in ("on_step_begin", "on_pre_optimizer_step", "on_optimizer_step", "on_step_end", "add_figures"):
            setattr(self, name, self._timed(getattr(self, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = method(*args, **kwargs)
            self.metered += time.perf_counter() - started
            return result

        return timed


def trainer_of(model: PreTrainedModel, length: int, variant: str, folder: Path) -> Trainer:
    with_callback, settings = CALLBACK_VARIANTS[variant]
    args = TrainingArguments(
        str(folder / variant),
        max_steps=STEPS + 1,
        per_device_train_batch_size=1,
        lr_scheduler_type="constant",
        learning_rate=1e-5,
        save_strategy="no",
        report_to="tensorboard",
        disable_tqdm=True,
        **settings,
    )
    tokens = torch.randint(model.config.vocab_size, (STEPS + 1, length))
    data = [{"input_ids": row, "labels": row} for row in tokens]
    callbacks: list[TrainerCallback] = [StepClock(), *([MeteredCallback()] if with_callback else [])]
    trainer = Trainer(model, args, train_dataset=data, optimizers=muonclip(model, args), callbacks=callbacks)
    trainer.remove_callback(PrinterCallback)
    return trainer


def timed_steps(trainer: Trainer) -> tuple[float, float]:
    """Train, and return the seconds of a step and those of them inside of the callback."""
    clock, *watching = [c for c in trainer.callback_handler.callbacks if isinstance(c, StepClock | MeteredCallback)]
    for callback in watching:
        callback.metered = 0.0
    trainer.train()
    return (clock.starts[-1] - clock.starts[0]) / STEPS, sum(callback.metered for callback in watching) / (STEPS + 1)


def callback_rows(
    build: Callable[[], PreTrainedModel], model_name: str, length: int, rounds: int, folder: Path
) -> list[dict]:
    trainers = {variant: trainer_of(build(), length, variant, folder) for variant in CALLBACK_VARIANTS}
    seconds: dict[str, list[float]] = {variant: [] for variant in trainers}
    metered: dict[str, list[float]] = {variant: [] for variant in trainers}
    names = list(trainers)
    for round_index in range(rounds + 1):
        first = round_index % len(names)
        for name in names[first:] + names[:first]:
            of_step, of_callback = timed_steps(trainers[name])
            if round_index > 0:
                seconds[name].append(of_step)
                metered[name].append(of_callback)
    written = []
    for without, with_it in (names[:2], names[2:]):
        pair = ({name: times[name] for name in (without, with_it)} for times in (seconds, metered))
        written += rows("callback", model_name, f"1x{length} tokens", without, *pair)
    return written


def rows(
    question: str,
    model_name: str,
    shape: str,
    baseline: str,
    seconds: dict[str, list[float]],
    metered: dict[str, list[float]],
) -> list[dict]:
    made = []
    for name, measured in seconds.items():
        made.append(
            {
                "question": question,
                "model": model_name,
                "shape": shape,
                "variant": name,
                "baseline": baseline,
                "ratio_p50": ratio_p50(measured, seconds[baseline]),
                "share_p50": round(statistics.median(m / s for m, s in zip(metered[name], measured, strict=True)), 5),
                **quantiles_ms(measured),
                "rounds": len(measured),
                "dtype": "float32",
            }
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--question", choices=("capture", "callback"), help="default: both")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--length", type=int, default=2048)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    written = []
    models = {"SmolLM2-135M, 4 layers": functools.partial(smollm2, 4), "Kimi K2 nano": kimi_k2_nano}
    for model_name, build in models.items():
        if arguments.question != "callback":
            variants, meter = capture_variants(build().to(device).train(), 1, arguments.length)
            timed = interleaved(variants, arguments.rounds, meter)
            written += rows("capture", model_name, f"1x{arguments.length} tokens", "no capture", *timed)
        if arguments.question != "capture":
            with tempfile.TemporaryDirectory() as folder:
                written += callback_rows(build, model_name, arguments.length, arguments.rounds, Path(folder))
    append_rows("overhead", written)
    for row in written:
        said = f"{row['ratio_p50']:.3f}x, {row['share_p50']:.3%} in {row['question']}"
        print(f"{row['question']:8} {row['model']:24} {row['variant']:30} {said}")


if __name__ == "__main__":
    main()
