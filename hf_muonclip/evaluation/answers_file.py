"""Answers on disk as they are sampled, one JSON object per line, so that an interrupted evaluation can be resumed.

The first line holds what the answers depend on. Answers of other weights, questions or settings are never taken for
those of this evaluation. How many runs there are is not among it: an answer's seed does not depend on it. Nor is the
scorer: a score on disk is for readers, and a run that takes an answer up again scores its text again.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .results import Answer, StrPath

_FINGERPRINT_ENTRIES = 64  # of each tensor: reading a whole 1T model takes hours


class AnswersFile:
    """The answers of an evaluation so far.

    Args:
        path: the file; created if it does not exist.
        settings: all that the answers depend on, JSON values by name.

    Raises:
        ValueError: the file holds answers of other settings, or is not a file of answers.
    """

    def __init__(self, path: StrPath, settings: Mapping[str, Any]) -> None:
        self._path = Path(path)
        self._answers: dict[tuple[int, int], Answer] = {}
        first_line = _line({"settings": settings}).encode()
        content = self._path.read_bytes() if self._path.exists() else b""
        if b"\n" not in content and first_line.startswith(content):  # also where writing it was interrupted
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(first_line)
            return
        whole = content[: content.rfind(b"\n") + 1]  # what follows is a line whose writing was interrupted
        try:
            head, *lines = [json.loads(line) for line in whole.decode("utf-8").split("\n")[:-1]]
            found = head["settings"]
            answers = [
                Answer(**{field.name: line[field.name] for field in dataclasses.fields(Answer)}) for line in lines
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"answers_file must be one that an evaluation wrote, got {path} ({error!r}). Name another file."
            ) from None
        # Earlier versions wrote no date; the hash of the prompts holds it anyway.
        compared = {*found, *settings} - ({"date"} - found.keys())
        differing = sorted(key for key in compared if found.get(key) != settings.get(key))
        if differing:
            changes = "; ".join(f"{key}: {found.get(key)!r} there, {settings.get(key)!r} here" for key in differing)
            raise ValueError(
                f"answers_file must come from the same evaluation, but in {path} {changes}. Name another file."
            )
        for answer in answers:
            if (answer.run, answer.question) in self._answers:
                raise ValueError(
                    f"answers_file must hold each answer once, but {path} has run {answer.run}, question "
                    f"{answer.question} twice. Remove one line."
                )
            self._answers[answer.run, answer.question] = answer
        if len(whole) < len(content):
            os.truncate(self._path, len(whole))

    def get(self, run: int, question: int) -> Answer | None:
        """Return an answer from the file; None if it has none."""
        return self._answers.get((run, question))

    def append(self, answers: Iterable[Answer], prompts: Sequence[str]) -> None:
        """Append answers, each with its question for readers of the file."""
        with self._path.open("a", encoding="utf-8") as file:
            for answer in answers:
                file.write(_line({"prompt": prompts[answer.question], **dataclasses.asdict(answer)}))


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False) + "\n"


def fingerprint(model: nn.Module) -> str:
    """Return a hash of entries of every parameter and buffer of a model: almost certainly different after training.

    The entries are spread evenly over each tensor, including its first and last; a small tensor is taken whole.
    """
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        entries = tensor.detach().flatten()
        count = min(len(entries), _FINGERPRINT_ENTRIES)
        # In float64, which tells apart the places in any tensor that fits in memory.
        places = torch.linspace(0, len(entries) - 1, count, dtype=torch.float64).round().long()
        entries = entries[places.to(entries.device)]
        digest.update(f"{name} {tuple(tensor.shape)} {entries.to(torch.float32).tolist()}".encode())
    return digest.hexdigest()[:16]


def prompts_hash(prompts: Sequence[Sequence[int]]) -> str:
    """Return a hash of all prompts' tokens, in their order."""
    return hashlib.sha256(json.dumps([list(prompt) for prompt in prompts]).encode()).hexdigest()[:16]
