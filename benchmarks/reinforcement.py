"""Does a model learn by Kimi K2's objective with MuonClip, and how does that compare with TRL's defaults?

A small Llama is pretrained here on the format of three kinds of problems (`reinforcement_tasks.py`), so that a sampled
answer is right in about a fifth of the cases. From these weights it learns by reinforcement with K2's objective, K2.5's
or TRL's default loss, with MuonClip or AdamW, and with a budget of tokens. All arms sample equally many answers in
batches of equal size and make equally many optimizer steps. The rate of each is tuned on a seed that does not count
otherwise; with the budget it is that without. A run takes less than a minute of one core.

    OMP_NUM_THREADS=1 python benchmarks/reinforcement.py     # appends a row a run; go on after an interruption
    python benchmarks/reinforcement.py --plot                # draws the picture from the rows
    python benchmarks/tables.py                              # renders the rows into benchmarks/README.md
"""

import argparse
import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import trl
from convergence_figures import read_rows
from datasets import Dataset
from measure import stamp
from reinforcement_figures import ARMS, ROWS, draw
from reinforcement_tasks import Problem, draw_problems, is_right, measure, pretrain, small_tokenizer
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import logging
from trl import GRPOConfig, GRPOTrainer

import hf_muonclip
from hf_muonclip import attach
from hf_muonclip.rl import KimiRLConfig, KimiRLTrainer, TypeBudgets

RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
FIRST_RATES = RATES[2:5]
TUNING_SEED = 0
BUDGETS = {"sort": 8, "turn": 8, "count": 10}  # tokens: room for an answer and its end, and for counting


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's numbers; what has run already with equal settings is not run again."""

    arm: str
    lr: float
    seed: int
    batches: int = 12  # of completions
    prompts: int = 32  # in a batch
    num_generations: int = 8
    steps_per_batch: int = 2
    rl_tau: float = 0.1
    cap: int = 16  # tokens of a completion
    pretraining_steps: int = 300
    wrong: float = 0.6  # share of the pretraining corpus
    held_out: int = 96
    measure_every: int = 3  # batches


class Start:
    """What every run begins with: tokenizer, pretrained model, held-out problems."""

    def __init__(self, settings: Settings) -> None:
        self.tokenizer = small_tokenizer()
        self.held_out = draw_problems(settings.held_out, seed=1)
        self.model = pretrain(self.tokenizer, settings.pretraining_steps, settings.wrong, self.held_out)
        self.measured = self.measure(self.model, settings.cap)
        weights = b"".join(weight.numpy().tobytes() for weight in self.model.state_dict().values())
        self.digest = hashlib.sha256(weights).hexdigest()[:12]

    def measure(self, model: Any, cap: int) -> dict[str, Any]:
        """Return what `measure` finds on the held-out problems, of answers sampled and greedy."""
        of_k = {"sampled": 4, "greedy": 0}
        return {decoding: measure(model, self.tokenizer, self.held_out, cap, k) for decoding, k in of_k.items()}


class Measuring(TrainerCallback):
    """Measures the model on held-out problems every so many batches, and at the end."""

    def __init__(self, model: Any, start: Start, settings: Settings) -> None:
        self._model, self._start, self._settings = model, start, settings
        self.curve: list[dict[str, Any]] = [{"batches": 0} | start.measured]
        self.seconds = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        batches, left = divmod(state.global_step, self._settings.steps_per_batch)
        if not left and (batches % self._settings.measure_every == 0 or state.global_step == state.max_steps):
            began = time.perf_counter()
            self.curve.append({"batches": batches} | self._start.measure(self._model, self._settings.cap))
            self.seconds += time.perf_counter() - began


def right_answer(completions: list[str], answer: list[str], **_: Any) -> list[float]:
    return [float(is_right(completion, right)) for completion, right in zip(completions, answer, strict=True)]


def make_trainer(settings: Settings, start: Start, model: Any, folder: str) -> GRPOTrainer:
    """Return the trainer of an arm."""
    arm = ARMS[settings.arm]
    count = settings.batches * settings.prompts
    problems = draw_problems(count, seed=1000 + settings.seed, without=start.held_out)
    common: dict[str, Any] = {
        "output_dir": folder,
        "learning_rate": settings.lr,
        "per_device_train_batch_size": settings.prompts * settings.num_generations // settings.steps_per_batch,
        "steps_per_generation": settings.steps_per_batch,
        "num_generations": settings.num_generations,
        "max_completion_length": settings.cap,
        "max_steps": settings.batches * settings.steps_per_batch,
        "seed": settings.seed,
        "logging_steps": settings.steps_per_batch,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
    }
    given: dict[str, Any] = {"train_dataset": dataset(problems), "processing_class": start.tokenizer}
    trainer: GRPOTrainer
    if arm.loss == "trl":
        trainer = GRPOTrainer(model, right_answer, GRPOConfig(**common), **given)
        if arm.optimizer == "MuonClip":
            attach(trainer)
    else:
        if arm.optimizer == "AdamW":
            given["optimizers"] = (torch.optim.AdamW(model.parameters(), settings.lr, weight_decay=0.0), None)
        if arm.budget:
            given["budgets"] = TypeBudgets(BUDGETS)
        args = KimiRLConfig(**common, objective=arm.loss, rl_tau=settings.rl_tau)
        trainer = KimiRLTrainer(model, right_answer, args, **given)
    trainer.remove_callback(PrinterCallback)
    return trainer


def dataset(problems: list[Problem]) -> Dataset:
    rows = [{"prompt": p.prompt, "answer": p.answer, "domain": p.domain} for p in problems]
    return Dataset.from_list(rows)


def train(settings: Settings, start: Start) -> dict[str, Any]:
    """Run once and return the row, without the stamp."""
    model = type(start.model)(start.model.config)
    model.load_state_dict(start.model.state_dict())
    measuring = Measuring(model, start, settings)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(settings, start, model, folder)
        trainer.add_callback(measuring)
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began - measuring.seconds
        rewards = [round(log["reward"], 4) for log in trainer.state.log_history if log.get("reward") is not None]
    finite = all(bool(weight.isfinite().all()) for weight in model.state_dict().values())
    return {
        "settings": asdict(settings),
        "tuning": settings.seed == TUNING_SEED,
        "start": start.digest,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "curve": measuring.curve,
        "rewards": rewards,  # of every batch, sampled at temperature 1
        "finite": finite,
        "seconds": round(seconds, 1),
        "trl": trl.__version__,
    }


def final_accuracy(row: dict[str, Any]) -> float:
    """Return the share of right answers sampled at the end; -inf for a run whose weights are not finite."""
    return float(row["curve"][-1]["sampled"]["accuracy"]) if row["finite"] else -math.inf


class Runs:
    """Runs what has not run yet, and keeps every row in a file as soon as it is there."""

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self.path, self._fresh = path, fresh
        self._starts: dict[tuple[int, float, int], Start] = {}

    def __call__(self, settings: Settings) -> dict[str, Any]:
        """Return the run's row, from the file if it holds one of these settings, initial weights and version."""
        of_start = settings.pretraining_steps, settings.wrong, settings.held_out
        if of_start not in self._starts:
            self._starts[of_start] = Start(settings)
        start = self._starts[of_start]
        wanted = {"settings": asdict(settings), "start": start.digest, "hf_muonclip": hf_muonclip.__version__}
        if not self._fresh:
            for row in reversed(read_rows(self.path)):
                if all(row[name] == value for name, value in wanted.items()):
                    return row
        row = train(settings, start) | stamp()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(told(row), flush=True)
        return row


def told(row: dict[str, Any]) -> str:
    """Return the line that says how a run ended."""
    settings, first, last = row["settings"], row["curve"][0], row["curve"][-1]
    return (
        f"{settings['arm']:18} lr {settings['lr']:<7g} seed {settings['seed']}: right "
        f"{first['sampled']['accuracy']:.1%} to {last['sampled']['accuracy']:.1%}, greedy "
        f"{first['greedy']['accuracy']:.1%} to {last['greedy']['accuracy']:.1%}, length "
        f"{first['sampled']['length']:.1f} to {last['sampled']['length']:.1f}, {row['seconds']:.0f} s"
    )


def tune(settings: Settings, run: Callable[[Settings], dict[str, Any]]) -> float:
    """Return the rate with the most right answers at the end; further rates are tried while it is at the edge."""
    found: dict[float, float] = {}
    todo = set(FIRST_RATES)
    while todo:
        for lr in sorted(todo):
            found[lr] = final_accuracy(run(replace(settings, lr=lr)))
        best = max(found, key=lambda lr: found[lr])
        place = RATES.index(best)
        todo = set(RATES[max(0, place - 1) : place + 2]) - found.keys()
    return best


def benchmark(base: Settings, seeds: list[int], run: Callable[[Settings], dict[str, Any]]) -> None:
    rates: dict[str, float] = {}
    for name, arm in ARMS.items():
        if arm.rate_of:
            rates[name] = rates[arm.rate_of]
        else:
            rates[name] = tune(replace(base, arm=name, seed=TUNING_SEED, measure_every=base.batches), run)
        for seed in seeds:
            run(replace(base, arm=name, lr=rates[name], seed=seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--fresh", action="store_true", help="run again what has run already")
    parser.add_argument("--quick", action="store_true", help="a few steps, into a temporary folder")
    parser.add_argument("--plot", action="store_true", help="only draw the picture")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    base, path, seeds = Settings("", 0.0, 0), ROWS, arguments.seeds
    if arguments.quick:
        path, seeds = Path(tempfile.mkdtemp()) / ROWS.name, seeds[:1]
        base = replace(
            base, batches=2, prompts=4, num_generations=4, pretraining_steps=20, held_out=12, measure_every=1
        )
    if not arguments.plot:
        benchmark(base, seeds, Runs(path, arguments.fresh))
    if rows := read_rows(path):
        print(f"wrote {draw(rows, path.with_suffix('.png'))}")


if __name__ == "__main__":
    main()
