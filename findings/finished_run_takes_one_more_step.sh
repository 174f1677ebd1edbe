#!/usr/bin/env bash
# transformers 5.24.0: a Trainer that resumes a run which is already at its max_steps takes one more optimizer step.
#
# A guess: with nothing left to do, train() returns the checkpoint's weights.
# Seen: the limit is looked at after a step, not before it, where the run ended within an epoch. Whoever resumes to get
# the final model back, or whose job is restarted once more after its end, has other weights, and a checkpoint more.
#   first run: 3 steps; resumed at 3 of 3: 1 step more, global step 4, weights equal: False
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 accelerate==1.15.0 numpy==2.4.6
cd "$folder"
cat > run.py <<'PYTHON'
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

TOKENS = [{"input_ids": torch.arange(i, i + 8), "labels": torch.arange(i, i + 8)} for i in range(8)]


class CountedSGD(torch.optim.SGD):
    steps = 0

    def step(self, closure=None):
        self.steps += 1
        return super().step(closure)


def train(resume):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=32, **sizes))
    quiet = {"use_cpu": True, "report_to": "none", "disable_tqdm": True}
    steady = {"lr_scheduler_type": "constant", "per_device_train_batch_size": 2}  # four steps an epoch
    args = TrainingArguments("out", max_steps=3, save_steps=3, **steady, **quiet)
    optimizer = CountedSGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, args, train_dataset=TOKENS, optimizers=(optimizer, None))
    trainer.train(resume_from_checkpoint=resume)
    return optimizer.steps, trainer.state.global_step, model.lm_head.weight.detach().clone()


steps, _, weights = train(None)
more, global_step, again = train("out/checkpoint-3")
print(
    f"first run: {steps} steps; resumed at 3 of 3: {more} step more, global step {global_step}, "
    f"weights equal: {torch.equal(weights, again)}"
)
raise SystemExit(int((steps, more, torch.equal(weights, again)) != (3, 1, False)))
PYTHON
"$folder/env/bin/python" run.py > out.txt 2>&1 || { cat out.txt; exit 1; }
grep "first run" out.txt
