"""The form in which an architecture is published: the name and shape of each tensor on disk, and its source in memory.

transformers 5 holds all experts of a layer in one tensor and publishes them one by one. Its conversions are used here
in both directions, in pieces small enough to stream: an expert of a layer is a piece, and so is any other tensor.
"""

import copy
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, core_model_loading
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    dot_natural_key,
    revert_weight_conversion,
)
from transformers.modeling_utils import remove_tied_weights_from_state_dict
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from ..models.weight_joining import WeightJoining

# Kimi K2 and DeepSeek-V3 publish it in float32 among bfloat16 weights: it is moved by 1e-3 at a time.
_CORRECTION_BIAS = ".e_score_correction_bias"
_PREFIX_CHANGE: Any = getattr(core_model_loading, "PrefixChange", ())  # older transformers has none


@dataclass(frozen=True)
class Piece:
    """Tensors that are converted together.

    Attributes:
        keys: names in the model's state dict.
        row: index into the first dimension of the one tensor that `keys` names; None for whole tensors.
        names: names on disk, in the order in which the conversion gives them.
    """

    keys: tuple[str, ...]
    row: int | None
    names: tuple[str, ...]


class SavedForm:
    """The tensors of an architecture as they are published.

    Attributes:
        model: the architecture on the meta device.
        tensors: on the meta device, by name on disk, in natural order: layer by layer, expert by expert.
        tied: names on disk under which some publish a tied weight a second time, with its name in `tensors`.
    """

    def __init__(self, config: PreTrainedConfig) -> None:
        """Build the architecture on the meta device; nothing is allocated.

        Args:
            config: the model's configuration; it is copied.
        """
        build: Any = AutoModelForCausalLM.from_config
        with torch.device("meta"):
            self.model: PreTrainedModel = build(copy.deepcopy(config))
        # A model from `from_pretrained` carries the conversions of the files that it came from; these are the
        # architecture's own. A prefix that only some files have is not part of the form.
        conversions: list[Any] = get_model_conversion_mapping(self.model, add_legacy=False)
        self._conversions = [entry for entry in conversions if not isinstance(entry, _PREFIX_CHANGE)]
        untyped: Any = self.model
        untyped._weight_conversions = self._conversions  # looked up once, not for every piece
        self._joining = WeightJoining(self.model, self._conversions, self.model.state_dict())
        saved = self._revert(self.state_of(self.model))
        self.tensors: dict[str, Tensor] = {name: saved[name] for name in sorted(saved, key=dot_natural_key)}
        self.tied: dict[str, str] = {
            copy: kept
            for pair in self.model.all_tied_weights_keys.items()
            for copy, kept in (pair, reversed(pair))
            if copy not in self.tensors and kept in self.tensors
        }

    @cached_property
    def pieces(self) -> list[Piece]:
        """The groups of tensors that are converted together; all pieces together hold every tensor once."""
        state = self.state_of(self.model)
        pieces = [piece for keys in self._joint_keys(state) for piece in self._cut(keys, state)]
        made = sorted(name for piece in pieces for name in piece.names)
        assert made == sorted(self.tensors), set(made).symmetric_difference(self.tensors)
        return pieces

    @cached_property
    def float32_names(self) -> frozenset[str]:
        """Names on disk of the tensors that the class keeps in float32 in any dtype, such as the router.

        That is `_keep_in_fp32_modules_strict`, and every router's correction bias.
        """
        patterns = self.model._keep_in_fp32_modules_strict or ()
        kept = re.compile("|".join(f"(?:{pattern.replace('*', '.*')})" for pattern in patterns))
        state = self.state_of(self.model)
        names = {name for name in self.tensors if name.endswith(_CORRECTION_BIAS)}
        for keys in self._joint_keys(state) if patterns else ():
            if any(kept.search(key) for key in keys if state[key].is_floating_point()):
                names |= self._revert({key: state[key] for key in keys}).keys()
        return frozenset(names)

    def state_of(self, model: PreTrainedModel) -> dict[str, Tensor]:
        """Return the tensors of a model of this architecture that are saved: its state dict, each tied weight once."""
        ignored = set(model._keys_to_ignore_on_save or ())
        state = {name: tensor for name, tensor in model.state_dict().items() if name not in ignored}
        # Buffers are tied to nothing, and older transformers looks every name up among the parameters.
        buffers = {name for name, _ in model.named_buffers() if name in state}
        parameters = {name: tensor for name, tensor in state.items() if name not in buffers}
        untied: dict[str, Tensor] = remove_tied_weights_from_state_dict(parameters, model)
        return {name: tensor for name, tensor in state.items() if name in untied or name in buffers}

    def saved(self, piece: Piece, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a piece as it is on disk: views of the given tensors where the conversion can, else copies.

        Args:
            piece: one of `pieces`.
            tensors: {key of the piece: tensor}; with a row, only that row: (1, ...).
        """
        return dict(zip(piece.names, self._revert(tensors).values(), strict=True))

    def restored(self, saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a piece as it is in memory: the inverse of `saved`, by the conversions that `from_pretrained` uses.

        Args:
            saved: all tensors of the piece by name on disk; the names say where each belongs.
        """
        return self._joining.join(saved)

    def _revert(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        reverted: dict[str, Tensor] = revert_weight_conversion(self.model, dict(tensors))
        return reverted

    def _joint_keys(self, state: Mapping[str, Tensor]) -> list[tuple[str, ...]]:
        """Return tuples of keys that are converted together: those of one layer that one conversion mixes."""
        mixing = [
            entry.reverse_transform()
            for entry in self._conversions
            if isinstance(entry, WeightConverter) and len(entry.target_patterns) > 1
        ]
        tuples: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for key in state:
            if any(entry.rename_source_key(key)[1] is not None for entry in mixing):
                parts = key.split(".")
                before_index = list(takewhile(lambda part: not part.isdigit(), parts))
                tuples[tuple(parts[: len(before_index) + 1])].append(key)
            else:
                tuples[key,].append(key)
        return [tuple(keys) for keys in tuples.values()]

    def _cut(self, keys: tuple[str, ...], state: Mapping[str, Tensor]) -> list[Piece]:
        """Return the pieces of tensors that are converted together, one per row where rows are independent."""
        whole = self._revert({key: state[key] for key in keys})
        rows = state[keys[0]].shape[0] if state[keys[0]].ndim else 0
        if len(keys) == 1 and rows > 1 and len(whole) % rows == 0:
            first = tuple(self._revert({keys[0]: state[keys[0]][:1]}))
            both = self._revert({keys[0]: state[keys[0]][:2]})
            second = tuple(name for name in both if name not in first)
            if len(first) == len(second) == len(whole) // rows:
                pieces = [
                    Piece(keys, row, tuple(map(_with_index, first, second, [row] * len(first)))) for row in range(rows)
                ]
                if sorted(name for piece in pieces for name in piece.names) == sorted(whole):
                    return pieces
        return [Piece(keys, None, tuple(whole))]


def _with_index(first: str, second: str, index: int) -> str:
    """Return the name that has `index` where the first name has 0 and the second has 1."""
    parts = zip(first.split("."), second.split("."), strict=True)
    return ".".join(one if one == two else str(index) for one, two in parts)
