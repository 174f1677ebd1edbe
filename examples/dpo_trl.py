"""Direct preference optimization with TRL and MuonClip: SmolLM2-135M-Instruct prefers the play's true replies.

Chosen is the reply in Hamlet, rejected what another character says elsewhere. Takes every argument of TRL's DPOConfig
and ModelConfig and of MuonClipConfig, or --config with a YAML file of them; --dataset_name for a preference dataset of
the Hub ("prompt", "chosen" and "rejected").
"""

import copy
import random

import torch
from datasets import Dataset, load_dataset
from dialogue import exchanges
from finetune import load_smollm2, print_clip_report
from trl import DPOConfig, DPOTrainer, ModelConfig, ScriptArguments, TrlParser, get_peft_config

from hf_muonclip import MuonClipConfig, attach


def preferences(seed: int) -> Dataset:
    found = exchanges()
    draw = random.Random(seed)
    rows = []
    for true in found:
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
    model, reference, tokenizer = model_args.model_name_or_path, None, None
    if model is None:
        model, tokenizer = load_smollm2()
        # TRL loads a model's reference by its name, which this one has not. An adapter's is the model without it.
        reference = None if model_args.use_peft else copy.deepcopy(model)
    else:
        given = {"revision": model_args.model_revision, "attn_implementation": model_args.attn_implementation}
        args.model_init_kwargs = {"dtype": model_args.dtype, **given, **(args.model_init_kwargs or {})}
    if script.dataset_name:
        dataset = load_dataset(
            script.dataset_name,
            script.dataset_config,
            split=script.dataset_train_split,
            streaming=script.dataset_streaming,
        )
    else:
        dataset = preferences(args.seed)

    trainer = DPOTrainer(
        model,
        reference,
        args,
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=get_peft_config(model_args),
    )
    callback = attach(trainer, muon)
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_state()
    trainer.save_model()

    margins = [log["rewards/margins"] for log in trainer.state.log_history if "rewards/margins" in log]
    half = max(1, len(margins) // 2)
    first, last = (sum(part) / len(part) for part in (margins[:half], margins[-half:]))
    print(f"reward margin: {first:.4f} in the first half of the steps, {last:.4f} in the second")
    print_clip_report(callback, muon.qk_clip_threshold)
    print(f"saved: {args.output_dir}; look at it with: hf-muonclip report {args.output_dir}")


if __name__ == "__main__":
    main()
