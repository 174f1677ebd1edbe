"""Reinforcement learning with TRL and MuonClip: SmolLM2-135M-Instruct is rewarded for right sums.

The sums are reasoning_gym's, and whether one is right is checked. Takes every argument of TRL's GRPOConfig and
ModelConfig and of MuonClipConfig, or --config with a YAML file of them; --dataset_name for a dataset of the Hub with
"prompt" (messages) and "answer" (a number).
"""

import re
from statistics import fmean
from typing import Any

import reasoning_gym
import torch
from datasets import Dataset
from finetune import print_clip_report
from transformers import ProgressCallback
from trl import (
    GRPOConfig,
    GRPOTrainer,
    ModelConfig,
    ScriptArguments,
    TrlParser,
    get_peft_config,
    get_quantization_config,
)
from trl_inputs import model_and_tokenizer, train_dataset

from hf_muonclip import MuonClipConfig, attach
from hf_muonclip.trainer.console import ProgressBar


def sums(count: int, seed: int) -> Dataset:
    entries = reasoning_gym.create_dataset("chain_sum", size=count, seed=seed, max_terms=2, max_digits=1)
    asked = [f"What is {entry['metadata']['expression']}? Reply with the number alone." for entry in entries]
    prompts = [[{"role": "user", "content": question}] for question in asked]
    return Dataset.from_dict({"prompt": prompts, "answer": [entry["answer"] for entry in entries]})


def right_answer(completions: list[list[dict[str, str]]], answer: list[str], **_: Any) -> list[float]:
    """Return 1 for every completion whose last number is the answer."""
    told = [re.findall(r"-?\d+", messages[0]["content"]) for messages in completions]
    return [float(numbers[-1:] == [right]) for numbers, right in zip(told, answer, strict=True)]


def main() -> None:
    parser = TrlParser((ScriptArguments, GRPOConfig, ModelConfig, MuonClipConfig), description=__doc__)
    # Minutes on one CPU core.
    parser.set_defaults(
        output_dir="muonclip-grpo",
        max_steps=6,
        per_device_train_batch_size=16,
        num_generations=8,
        max_completion_length=16,
        learning_rate=1e-5,
        weight_decay=0.1,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        gradient_checkpointing=False,
        bf16=torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    script, args, model_args, muon = parser.parse_args_and_config()
    model, tokenizer = model_and_tokenizer(args, model_args)
    trainer = GRPOTrainer(
        model,
        right_answer,
        args,
        train_dataset=train_dataset(script, lambda: sums(256, args.seed)),
        processing_class=tokenizer,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
    )
    callback = attach(trainer, muon)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(ProgressBar)  # instead of a line of every figure per log
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_state()
    trainer.save_model()

    rewards = [log["reward"] for log in trainer.state.log_history if "reward" in log]
    if half := len(rewards) // 2:
        first, last = fmean(rewards[:half]), fmean(rewards[half:])
        print(f"right answers: {first:.0%} in the first half of the steps, {last:.0%} in the second")
    print_clip_report(callback, muon.qk_clip_threshold)
    print(f"saved: {args.output_dir}; look at it with: hf-muonclip report {args.output_dir}")


if __name__ == "__main__":
    main()
