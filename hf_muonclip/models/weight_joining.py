"""From tensors as `save_pretrained` writes them to tensors as a model holds them, by transformers' own conversions.

transformers 5 publishes experts one by one and holds all of a layer in one tensor; other architectures are renamed,
split or joined between disk and memory. `from_pretrained` converts a whole checkpoint; here any part of it is.
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel
from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key


class WeightJoining:
    """Joins saved tensors of one model.

    Args:
        model: whose configuration the conversions read; its weights are not touched.
        conversions: in the direction of loading, as `get_model_conversion_mapping` returns them.
        keys: the keys of the model's state dict.
        base_prefix: name of the base model in one with a head, where saved names may lack it or have it in excess;
            "" where names are exact.
    """

    def __init__(
        self, model: PreTrainedModel, conversions: Sequence[Any], keys: Collection[str], base_prefix: str = ""
    ) -> None:
        self._model = model
        self._keys = frozenset(keys)
        self._renamings = [entry for entry in conversions if isinstance(entry, WeightRenaming)]
        self._converters = [entry for entry in conversions if isinstance(entry, WeightConverter)]
        # The last two arguments of rename_source_key, whose names differ between versions of transformers.
        self._prefix: tuple[Any, ...] = (base_prefix, dict.fromkeys(self._keys, True)) if base_prefix else ()

    def target(self, name: str) -> tuple[str, str | None]:
        """Return the key in memory of a name on disk, or the first of several, and the pattern that converts it.

        Returns:
            (key, pattern of a converter that matches; None where the tensor is renamed at most). A key that the model
            has not means that the model has no use for the tensor.
        """
        key, pattern = rename_source_key(name, self._renamings, self._converters, *self._prefix)
        if key not in self._keys and name in self._keys:
            return name, None  # as the loader does: a rule for another name also matches this one
        return key, pattern

    def join(self, saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors as they are in memory, from all saved tensors that are converted together with each.

        Args:
            saved: by name on disk; the names say where each belongs.
        """
        collected: dict[str, Any] = {}
        for name in sorted(saved, key=dot_natural_key):
            key, pattern = self.target(name)
            if key not in collected:
                collected[key] = WeightRenaming(name, key) if pattern is None else self._converter(pattern)
            # The loader hands over futures or functions, never bare tensors.
            collected[key].add_tensor(key, name, pattern or name, lambda tensor=saved[name]: tensor)
        joined: dict[str, Tensor] = {}
        for key, transform in collected.items():
            made = transform.convert(key, model=self._model, config=self._model.config)
            joined |= {name: value[0] if isinstance(value, list) else value for name, value in made.items()}
        return joined

    def _converter(self, pattern: str) -> WeightConverter:
        """Return a new converter for a pattern; older transformers changes patterns when it reverses a converter."""
        return copy.deepcopy(next(entry for entry in self._converters if pattern in entry.source_patterns))
