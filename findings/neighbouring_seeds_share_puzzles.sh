#!/usr/bin/env bash
# reasoning-gym 0.1.25: a dataset of seed 1 holds the puzzles of seed 0 but for one, and puzzle24 pays one answer always.
#
# A guess: training on seed 0 and testing on seed 1 keeps the two apart; and an answer to "make 24 from 3, 5, 6, 9" has to
# use these numbers.
# Seen: puzzle number i comes from Random(seed + i), so that 99 of 100 test questions were trained on. The scorer of
# puzzle24 asks for four numbers within its range, not for those of the question, and pays "6*4*1*1" in full every time.
#   chain_sum, seeds 0 and 1: 99 of 100 questions in common; puzzle24: 100 of 100 pay 1.0 for 6*4*1*1
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet reasoning_gym==0.1.25 numpy==2.4.6 sympy==1.14.0
cd "$folder"
cat > run.py <<'PYTHON'
import reasoning_gym

trained, tested = (
    {entry["question"] for entry in reasoning_gym.create_dataset("chain_sum", seed=seed, size=100)} for seed in (0, 1)
)
puzzles = reasoning_gym.create_dataset("puzzle24", seed=0, size=100)
paid = sum(puzzles.score_answer("6*4*1*1", entry) == 1.0 for entry in puzzles)
common = len(trained & tested)
print(f"chain_sum, seeds 0 and 1: {common} of 100 questions in common; puzzle24: {paid} of 100 pay 1.0 for 6*4*1*1")
raise SystemExit(int((common, paid) != (99, 100)))
PYTHON
"$folder/env/bin/python" -W ignore run.py 2> errors.txt || { cat errors.txt; exit 1; }
