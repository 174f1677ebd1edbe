#!/usr/bin/env bash
# torch 2.13.0: torch.distributed.checkpoint saves optimizer state that it then refuses to load.
#
# A guess: what dcp.save wrote without a word, dcp.load reads.
# Seen: a parameter that never had a gradient (an expert without tokens) has no state and is saved without any. At load,
# get_optimizer_state_dict makes state for every parameter, and the missing entries are an error: found at resume, not at
# save, with torch.optim.AdamW and torch.optim.Muon alike.
#   AdamW: saved, then Missing key in checkpoint state_dict: optimizer.state.never.weight.step
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cd "$folder"
cat > run.py <<'PYTHON'
import re

import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict


def build():
    model = nn.ModuleDict({"used": nn.Linear(8, 8, bias=False), "never": nn.Linear(8, 8, bias=False)})
    return model, torch.optim.AdamW(model.parameters())


model, optimizer = build()
model["used"](torch.randn(2, 8)).sum().backward()
optimizer.step()
dcp.save({"optimizer": get_optimizer_state_dict(model, optimizer)}, checkpoint_id="saved")
model, optimizer = build()
try:
    dcp.load({"optimizer": get_optimizer_state_dict(model, optimizer)}, checkpoint_id="saved")
    said = "loaded"
except BaseException as error:  # CheckpointException is no Exception
    said = re.search(r"Missing key in checkpoint state_dict: [\w.]+", str(error))[0].rstrip(".")
print(f"AdamW: saved, then {said}")
raise SystemExit(int("Missing key in checkpoint state_dict: optimizer.state.never.weight" not in said))
PYTHON
"$folder/env/bin/python" run.py 2>&1 | tee out.txt | grep "AdamW: saved" || { cat out.txt; exit 1; }
