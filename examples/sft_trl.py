"""Supervised fine-tuning with TRL and MuonClip: SmolLM2-135M-Instruct learns to answer as Hamlet's characters do.

Takes every argument of TRL's SFTConfig and ModelConfig and of MuonClipConfig, or --config with a YAML file of them;
--dataset_name for a conversational dataset of the Hub ("messages" or "prompt" and "completion").
"""

from statistics import fmean

import torch
from datasets import Dataset
from dialogue import exchanges
from finetune import print_clip_report
from transformers import ProgressCallback
from trl import (
    ModelConfig,
    ScriptArguments,
    SFTConfig,
    SFTTrainer,
    TrlParser,
    get_peft_config,
    get_quantization_config,
)
from trl_inputs import model_and_tokenizer, train_dataset

from hf_muonclip import MuonClipConfig, attach
from hf_muonclip.trainer.console import ProgressBar

# SmolLM2's own template, with the markers that tell TRL which tokens the assistant says.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def chats() -> Dataset:
    """Return Hamlet as conversations: a cue, and who answers what."""
    found = [[*one.prompt, {"role": "assistant", "content": one.reply}] for one in exchanges()]
    return Dataset.from_dict({"messages": found})


def main() -> None:
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig, MuonClipConfig), description=__doc__)
    # Minutes on one CPU core. Rates are of the size that AdamW takes.
    parser.set_defaults(
        output_dir="muonclip-sft",
        max_steps=16,
        per_device_train_batch_size=2,
        max_length=128,
        packing=True,
        assistant_only_loss=True,
        learning_rate=2e-4,
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
    if model_args.model_name_or_path is None:
        tokenizer.chat_template = CHAT_TEMPLATE
    trainer = SFTTrainer(
        model,
        args,
        train_dataset=train_dataset(script, chats),
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

    losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    if half := len(losses) // 2:
        first, last = fmean(losses[:half]), fmean(losses[half:])
        print(f"loss: {first:.3f} in the first half of the steps, {last:.3f} in the second")
    print_clip_report(callback, muon.qk_clip_threshold)
    print(f"saved: {args.output_dir}; look at it with: hf-muonclip report {args.output_dir}")


if __name__ == "__main__":
    main()
