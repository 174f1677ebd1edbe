#!/usr/bin/env bash
# math-verify 0.9.0: any two numbers below about 1e-15 are equal.
#
# A guess: a verifier of mathematical answers tells the Boltzmann constant, 1.38 * 10^-23, from Planck's, 6.63 * 10^-34.
# Seen: where neither is a plain number it evaluates their difference to 15 digits and takes what is smaller for zero.
#   1.38 \times 10^{-23} = 6.63 \times 10^{-34}: True; 10^{-20} = 10^{-30}: True; 10^{-3} = 10^{-4}: False
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0
cd "$folder"
cat > run.py <<'PYTHON'
from math_verify import parse, verify

pairs = [
    (r"1.38 \times 10^{-23}", r"6.63 \times 10^{-34}"),
    ("10^{-20}", "10^{-30}"),
    ("10^{-3}", "10^{-4}"),
]
found = [verify(parse(f"${gold}$"), parse(f"${answer}$")) for gold, answer in pairs]
print("; ".join(f"{gold} = {answer}: {equal}" for (gold, answer), equal in zip(pairs, found)))
raise SystemExit(int(found != [True, True, False]))
PYTHON
"$folder/env/bin/python" run.py
