"""Reinforcement learning as in Kimi K2, one YAML file a recipe: --config examples/rl/math.yaml

Without a dataset and a model of your own, SmolLM2-135M-Instruct learns from rows that need no network. Takes every
argument of KimiRLConfig (TRL's GRPOConfig and the objective), of ModelConfig and MuonClipConfig, on the command line or
in the file; --dataset_name for a dataset of the Hub with the columns that the domain's Spec names.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from tasks import programs, sums
from transformers import ProgressCallback
from trl import ModelConfig, ScriptArguments, TrlParser, get_peft_config, get_quantization_config

from hf_muonclip import MuonClipConfig, attach
from hf_muonclip.rl import (
    KimiRLConfig,
    KimiRLTrainer,
    TypeBudgets,
    code_spec,
    instruction_rows,
    instruction_spec,
    math_spec,
)
from hf_muonclip.trainer.console import ProgressBar

sys.path.append(str(Path(__file__).parents[1]))

from finetune import print_clip_report
from trl_inputs import model_and_tokenizer, train_dataset

# The Spec of each domain, which checks its rewards before they train anything, and its own rows.
DOMAINS: dict[str, tuple[Any, Any]] = {
    "math": (math_spec, sums),
    "instruction": (instruction_spec, lambda rows, seed: instruction_rows(rows, seed=seed, chat=True)),
    "code": (code_spec, programs),
}


@dataclass
class RecipeArguments:
    """What a recipe trains on, beside TRL's arguments.

    Args:
        domain: "math", "instruction" or "code".
        rows: number of prompts where no dataset is named.
        budget: tokens; a longer answer is cut there and loses 0.5. None for no budget.
    """

    domain: str = field(metadata={"help": "Domain of the rewards.", "choices": list(DOMAINS)})
    rows: int = field(default=256, metadata={"help": "Prompts, where no dataset is named."})
    budget: int | None = field(
        default=None, metadata={"help": "Tokens of an answer; what is longer is cut and loses 0.5."}
    )


def main() -> None:
    parser = TrlParser((RecipeArguments, ScriptArguments, KimiRLConfig, ModelConfig, MuonClipConfig))
    parser.set_defaults(bf16=torch.cuda.is_available(), dataloader_pin_memory=torch.cuda.is_available())
    recipe, script, args, model_args, muon = parser.parse_args_and_config()
    make_spec, own_rows = DOMAINS[recipe.domain]
    spec = make_spec(train_dataset(script, lambda: own_rows(recipe.rows, args.seed)))
    print(spec.report)
    model, tokenizer = model_and_tokenizer(args, model_args)
    limit = recipe.budget
    budgets = None if limit is None else TypeBudgets({recipe.domain: limit}, task_type=lambda row: recipe.domain)
    trainer = KimiRLTrainer(
        model,
        args=args,
        processing_class=tokenizer,
        budgets=budgets,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
        **spec.trainer_kwargs(),
    )
    callback = attach(trainer, muon)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(ProgressBar)  # instead of a line of every figure per log
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_state()
    trainer.save_model()

    rewards = [log["reward"] for log in trainer.state.log_history if log.get("reward") is not None]
    if half := len(rewards) // 2:
        print(f"reward: {fmean(rewards[:half]):.3f} in the first half, {fmean(rewards[half:]):.3f} in the second")
    print_clip_report(callback, muon.qk_clip_threshold)
    print(f"saved: {args.output_dir}; look at it with: hf-muonclip report {args.output_dir}")


if __name__ == "__main__":
    main()
