"""Direct preference optimization with TRL and MuonClip: SmolLM2-135M-Instruct prefers the play's true replies.

Chosen is the reply in Hamlet, rejected what another character says elsewhere. Takes every argument of TRL's DPOConfig
and ModelConfig and of MuonClipConfig, or --config with a YAML file of them; --dataset_name for a preference dataset of
the Hub ("prompt", "chosen" and "rejected").
"""

import copy
import random
from statistics import fmean

import torch
from datasets import Dataset
from dialogue import exchanges
from finetune import print_clip_report
from transformers import ProgressCallback
from trl import (
    DPOConfig,
    DPOTrainer,
    ModelConfig,
    ScriptArguments,
    TrlParser,
    get_peft_config,
    get_quantization_config,
)
from trl_inputs import model_and_tokenizer, train_dataset

from hf_muonclip import MuonClipConfig, attach
from hf_muonclip.trainer.console import ProgressBar

PAIRS = 8  # the default steps see each three times: minutes do not show more than learning by heart


def preferences(seed: int) -> Dataset:
    found = exchanges()
    draw = random.Random(seed)
    rows = []
    for true in found[:PAIRS]:
        other = draw.choice([other for other in found if other.speaker != true.speaker])
        chosen, rejected = ([{"role": "assistant", "content": one.reply}] for one in (true, other))
        rows.append({"prompt": true.prompt, "chosen": chosen, "rejected": rejected})
    return Dataset.from_list(rows)


def main() -> None:
    parser = TrlParser((ScriptArguments, DPOConfig, ModelConfig, MuonClipConfig), description=__doc__)
    # Minutes on one CPU core. Rates are of the size that AdamW takes.
    parser.set_defaults(
        output_dir="muonclip-dpo",
        max_steps=12,
        per_device_train_batch_size=2,
        max_length=128,
        learning_rate=5e-5,
        weight_decay=0.1,
        lr_scheduler_type="cosine",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        gradient_checkpointing=False,
        bf16=torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    script, args, model_args, muon = parser.parse_args_and_config()
    model, tokenizer = model_and_tokenizer(args, model_args)
    # TRL loads a model's reference by its name, which SmolLM2 has not here. An adapter's is the model without it.
    named = model_args.model_name_or_path is not None
    reference = None if named or model_args.use_peft else copy.deepcopy(model)
    trainer = DPOTrainer(
        model,
        reference,
        args,
        train_dataset=train_dataset(script, lambda: preferences(args.seed)),
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

    margins = [log["rewards/margins"] for log in trainer.state.log_history if "rewards/margins" in log]
    if half := len(margins) // 2:
        first, last = fmean(margins[:half]), fmean(margins[half:])
        print(f"reward margin: {first:.4f} in the first half of the steps, {last:.4f} in the second")
    print_clip_report(callback, muon.qk_clip_threshold)
    print(f"saved: {args.output_dir}; look at it with: hf-muonclip report {args.output_dir}")


if __name__ == "__main__":
    main()
