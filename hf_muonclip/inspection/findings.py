"""Findings of a diagnosis, each with its severity and what to do about it."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["refused", "warning", "note"]
LEVELS: tuple[Level, ...] = ("refused", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that a user should know before training.

    Attributes:
        level: "refused" stops a run, a "warning" changes what it does, a "note" says what to expect.
        what: the rule and what was found, in one or two sentences.
        way_out: what to do; empty where nothing needs to be done.
    """

    level: Level
    what: str
    way_out: str = ""


def gravest_first(findings: list[Finding]) -> list[Finding]:
    """Return findings by level, each level in its own order."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
