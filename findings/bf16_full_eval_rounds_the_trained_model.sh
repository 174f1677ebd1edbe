#!/usr/bin/env bash
# transformers 5.24.0: evaluate() with bf16_full_eval after train() rounds the trained float32 weights for good.
#
# A guess: bf16_full_eval is about the evaluation, and the model that was trained in float32 is saved in float32.
# Seen: during training evaluations leave the model alone, and the option does nothing; an evaluate() after it casts the
# model itself and does not cast it back, so that the usual train(), evaluate(), save_model() saves rounded weights.
#   trained: torch.float32; evaluated: torch.bfloat16; saved: torch.bfloat16
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 accelerate==1.15.0 numpy==2.4.6
cd "$folder"
cat > run.py <<'PYTHON'
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

tokens = [{"input_ids": torch.arange(i, i + 8), "labels": torch.arange(i, i + 8)} for i in range(8)]
sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
model = LlamaForCausalLM(LlamaConfig(vocab_size=32, **sizes))
quiet = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "save_strategy": "no"}
args = TrainingArguments("out", max_steps=2, eval_strategy="steps", eval_steps=1, bf16_full_eval=True, **quiet)
trainer = Trainer(model, args, train_dataset=tokens, eval_dataset=tokens)
trainer.train()
trained = model.lm_head.weight.dtype
trainer.evaluate()
evaluated = model.lm_head.weight.dtype
trainer.save_model("saved")
saved = load_file("saved/model.safetensors")["lm_head.weight"].dtype
print(f"trained: {trained}; evaluated: {evaluated}; saved: {saved}")
raise SystemExit(int((trained, evaluated, saved) != (torch.float32, torch.bfloat16, torch.bfloat16)))
PYTHON
"$folder/env/bin/python" run.py > out.txt 2>&1 || { cat out.txt; exit 1; }
grep "trained:" out.txt
