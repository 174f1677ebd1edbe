"""Supervised fine-tuning with TRL and MuonClip: SmolLM2-135M-Instruct learns to answer as Hamlet's characters do.

Takes every argument of TRL's SFTConfig and ModelConfig and of MuonClipConfig, or --config with a YAML file of them;
--dataset_name for a conversational dataset of the Hub ("messages" or "prompt" and "completion").
"""

import torch
from datasets import Dataset, load_dataset
from dialogue import exchanges
from finetune import load_smollm2, print_clip_report
from trl import ModelConfig, ScriptArguments, SFTConfig, SFTTrainer, TrlParser, get_peft_config

from hf_muonclip import MuonClipConfig, attach

# SmolLM2's own template, with the markers that tell TRL which tokens the assistant says.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


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
    model, tokenizer = model_args.model_name_or_path, None
    if model is None:
        model, tokenizer = load_smollm2()
        tokenizer.chat_template = CHAT_TEMPLATE
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
        chats = [[*found.prompt, {"role": "assistant", "content": found.reply}] for found in exchanges()]
        dataset = Dataset.from_dict({"messages": chats})

    trainer = SFTTrainer(
        model, args, train_dataset=dataset, processing_class=tokenizer, peft_config=get_peft_config(model_args)
    )
    callback = attach(trainer, muon)
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_state()
    trainer.save_model()

    losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    print(f"loss: {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    print_clip_report(callback, muon.qk_clip_threshold)
    print(f"saved: {args.output_dir}; look at it with: hf-muonclip report {args.output_dir}")


if __name__ == "__main__":
    main()
