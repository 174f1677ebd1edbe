"""Tensors that are published with an architecture and that transformers does not build, and fields that announce them.

Most are layers for multi-token prediction (MTP): DeepSeek-V3 and GLM-4.5 hold one layer more than `num_hidden_layers`,
Qwen3-Next a module `mtp`. A class of transformers lists what it leaves out (`_keys_to_ignore_on_load_unexpected`), for
numbered layers those of the published size alone; the configuration says how many there are. An engine that reads the
field looks for the layers: a folder without them must not announce any.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..common.wording import some_of
from .saved_form import SavedForm

# A buffer that older code saved in every layer and no engine reads; published Kimi K2 and Moonlight still have it.
_UNREAD = ".rotary_emb.inv_freq"
_MTP = {"mtp", "nextn"}
_MTP_NAME = re.compile(r"(?:^|[._])(?:mtp|nextn)")
_PER_LAYER = re.compile(r"layer|pattern|freq|types")


@dataclass(frozen=True)
class LeftOut:
    """The tensors of a folder that its architecture does not have, by what becomes of them.

    Attributes:
        prediction: tensors of layers for multi-token prediction.
        ignored: tensors of other parts that the class says it leaves out, such as a vision tower.
        tied: a second copy of a tied weight, with the name of the weight that it must equal.
        unread: buffers that nothing reads.
        surplus: unexpected tensors.
        beyond: those of the surplus that are of layers after the last.
    """

    prediction: tuple[str, ...]
    ignored: tuple[str, ...]
    tied: dict[str, str]
    unread: tuple[str, ...]
    surplus: tuple[str, ...]
    beyond: tuple[str, ...]


def announced_layers(fields: Mapping[str, Any]) -> dict[str, int]:
    """Return {field: number of layers for multi-token prediction that it announces}, without zeros.

    The fields have many names: num_nextn_predict_layers, mtp_num_hidden_layers, num_mtp_modules, use_mtp; they may be
    nested (`text_config.num_mtp_layers`).
    """
    return {".".join(path): int(value) for path, value in _announcements(fields) if value > 0}


def without_announced_layers(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration that announces no layers for multi-token prediction; lists per layer end before them."""
    for path, value in list(_announcements(fields)):
        owner = fields
        for name in path[:-1]:
            owner = owner[name]
        owner[path[-1]] = False if isinstance(value, bool) else 0
        layers = owner.get("num_hidden_layers")
        if value > 0 and isinstance(layers, int):
            for name, entries in owner.items():
                if isinstance(entries, list) and len(entries) == layers + value and _PER_LAYER.search(name):
                    owner[name] = entries[:layers]
    return fields


def builds_prediction_layers(names: Iterable[str]) -> bool:
    """Return whether a model builds layers for multi-token prediction itself; no class of transformers does."""
    return any(_MTP_NAME.search(name) for name in names)


def find_left_out(form: SavedForm, names: Iterable[str]) -> LeftOut:
    """Return the names on disk that an architecture does not have, by what becomes of them."""
    rules = _Rules(form)
    found: dict[str, list[str]] = {"prediction": [], "ignored": [], "unread": [], "surplus": [], "beyond": []}
    tied = {}
    for name in sorted(set(names) - form.tensors.keys()):
        if name in form.tied:
            tied[name] = form.tied[name]
        else:
            found[rules.fate_of(name)].append(name)
    found["surplus"] += found["beyond"]
    return LeftOut(tied=tied, **{fate: tuple(members) for fate, members in found.items()})


def refuse_broken_promises(folder: Path, written: Mapping[str, Any], form: SavedForm, left_out: LeftOut) -> None:
    """Raise ValueError if a field of config.json announces more layers for multi-token prediction than there are."""
    if builds_prediction_layers(form.tensors):
        return  # compared already
    held = len({_first_number(name) for name in left_out.prediction})
    for field, promised in announced_layers(written).items():
        if promised > held:
            raise ValueError(
                f"Every layer that config.json announces must be in the weights, but {field} announces {promised} for "
                f"multi-token prediction, got {held or 'none'} in {folder}. An engine fails on what it does not find: "
                f"set {field} to {held}, or save the model with save_checkpoint, which does."
            )


def describe_left_out(form: SavedForm, left_out: LeftOut) -> str:
    """Return in a sentence which tensors a model is loaded without; "" if it uses all that matter."""
    parts = []
    if left_out.prediction:
        parts.append(f"{len(left_out.prediction)} of multi-token prediction ({some_of(left_out.prediction, 1)})")
    if left_out.ignored:
        parts.append(f"{len(left_out.ignored)} of other parts ({some_of(left_out.ignored, 1)})")
    if not parts:
        return ""
    return (
        f"{type(form.model).__name__} has no place for all tensors of its published form and is loaded without "
        f"{' and '.join(parts)}: they are not trained, and save_checkpoint writes a checkpoint without them."
    )


class _Rules:
    """Classifies names that an architecture does not have."""

    def __init__(self, form: SavedForm) -> None:
        self._form = form
        config = form.model.config
        self._layers = getattr(config.get_text_config(decoder=True), "num_hidden_layers", None) or 0
        self._announced = max(announced_layers(config.to_dict()).values(), default=0)

    def fate_of(self, name: str) -> str:
        if name.endswith(_UNREAD):
            return "unread"
        is_ignored = self._ignored is not None and self._ignored.search(name) is not None
        match = re.match(r"(\D*?)(\d+)\.", name)
        if match and match[1] in self._layer_prefixes and int(match[2]) >= self._layers:
            beyond = int(match[2]) - self._layers
            # The class names the layer of the published size; another size must announce its own.
            return "prediction" if beyond < self._announced or (is_ignored and beyond == 0) else "beyond"
        if not is_ignored:
            return "surplus"
        return "prediction" if _MTP_NAME.search(name) else "ignored"

    @cached_property
    def _ignored(self) -> re.Pattern[str] | None:
        """Return the names that the class leaves out. A pattern with a layer number holds for one size only."""
        patterns = [
            pattern
            for pattern in self._form.model._keys_to_ignore_on_load_unexpected or ()
            if not (re.search(r"\d", pattern) and any(re.search(pattern, name) for name in self._form.tensors))
        ]
        return re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None

    @cached_property
    def _layer_prefixes(self) -> set[str]:
        """Return the prefixes in front of layer numbers, such as "model.layers."."""
        numbers: dict[str, set[int]] = {}
        for name in self._form.tensors:
            if match := re.match(r"(\D*?)(\d+)\.", name):
                numbers.setdefault(match[1], set()).add(int(match[2]))
        return {prefix for prefix, found in numbers.items() if found == set(range(self._layers))}


def _announcements(
    fields: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], int | bool]]:
    """Yield path and value of each field that counts layers for multi-token prediction, or says that there are some."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _announcements(value, (*path, str(name)))
        elif isinstance(value, int):
            words = "_".join((*path, str(name))).split("_")
            counts = not isinstance(value, bool) and words[-1] in ("layers", "modules") and {"num", "n"} & set(words)
            says_so = isinstance(value, bool) and words[-2:-1] in (["use"], ["enable"])
            if _MTP & set(words) and (counts or says_so):
                yield (*path, str(name)), value


def _first_number(name: str) -> int:
    """Return the number of the layer that a tensor belongs to; 0 for a tensor that layers share."""
    match = re.search(r"\.(\d+)\.", name)
    return int(match[1]) if match else 0
