#!/usr/bin/env bash
# latex2sympy2_extended 1.11.0 (math-verify's reader): what it does not know becomes something else, without a word.
#
# A guess: a reader of LaTeX that cannot read a formula says so.
# Seen: two numbers side by side are added, a thin space between thousands multiplies, a degree sign is dropped inside of
#   sine (30 radians are meant then), a number's base is dropped, and of an approximation the right side is.
#   3 4: 7; 3\,000: 0; \sin 30^\circ: sin(30); 12_7: 12; 2 \approx 3: 2
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0
cd "$folder"
cat > run.py <<'PYTHON'
from latex2sympy2_extended import latex2sympy

due = {"3 4": "7", r"3\,000": "0", r"\sin 30^\circ": "sin(30)", "12_7": "12", r"2 \approx 3": "2"}
found = {text: latex2sympy(text) for text in due}
found = {text: str(value.doit() if text == r"3\,000" else value) for text, value in found.items()}
print("; ".join(f"{text}: {value}" for text, value in found.items()))
raise SystemExit(int(found != due))
PYTHON
"$folder/env/bin/python" run.py
