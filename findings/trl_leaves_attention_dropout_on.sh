#!/usr/bin/env bash
# trl 1.16.0, transformers 5.24.0: GRPOConfig(disable_dropout=True) leaves dropout inside of attention on.
#
# A guess: disable_dropout disables dropout, so that two passes of the policy over the same tokens agree, and the first
# importance ratio of a batch is 1.
# Seen: it sets the p of nn.Dropout modules to 0. Llama and its kin hand attention_dropout, a number, to the attention
# function, and two passes in training mode go on to differ wherever a config has it.
#   dropout modules left on: 0; attention_dropout: 0.5; two passes agree: False
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 accelerate==1.15.0 trl==1.16.0 numpy==2.4.6
cd "$folder"
cat > run.py <<'PYTHON'
import torch
from datasets import Dataset
from transformers import ByT5Tokenizer, LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig, GRPOTrainer

sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
model = LlamaForCausalLM(LlamaConfig(vocab_size=384, attention_dropout=0.5, **sizes))
args = GRPOConfig(
    "out", disable_dropout=True, num_generations=2, per_device_train_batch_size=2, bf16=False, use_cpu=True, report_to=[]
)
GRPOTrainer(
    model,
    lambda completions, **_: [float(len(text)) for text in completions],
    args,
    train_dataset=Dataset.from_dict({"prompt": ["To be", "or not"]}),
    processing_class=ByT5Tokenizer(),
)
model.train()
left_on = sum(module.p > 0 for module in model.modules() if isinstance(module, torch.nn.Dropout))
tokens = torch.arange(16)[None]
with torch.no_grad():
    agree = torch.equal(model(input_ids=tokens)["logits"], model(input_ids=tokens)["logits"])
dropout = model.config.attention_dropout
print(f"dropout modules left on: {left_on}; attention_dropout: {dropout}; two passes agree: {agree}")
raise SystemExit(int((left_on, dropout, agree) != (0, 0.5, False)))
PYTHON
HF_HUB_OFFLINE=1 "$folder/env/bin/python" run.py > out.txt 2>&1 || { cat out.txt; exit 1; }
grep "two passes agree:" out.txt
