"""Load weights that the Trainer saved in another form than the model holds in memory, such as experts.

transformers 5 keeps all experts of a layer in one tensor and saves them one by one. `from_pretrained` joins them again;
`Trainer.train(resume_from_checkpoint=...)` and `load_best_model_at_end` do not: they call `load_state_dict`, once for
every shard, which leaves the experts as they are and warns (https://github.com/huggingface/transformers/issues/48805).

Here `load_state_dict` joins them. A layer's experts may come from several shards: they are kept until the last one is
loaded, and then copied into the model. They are only cast to the model's own dtypes.
"""

import json
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import trainer as transformers_trainer
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_INDEX_NAME

from ..common.patching import PatchedMethod
from ..models.weight_joining import WeightJoining

_MARK = "_loads_saved_form"


def load_saved_form(model: nn.Module) -> None:
    """Let `model.load_state_dict` accept state dicts in the form that `save_pretrained` writes. Idempotent.

    A state dict must be complete, except where transformers loads the shards of one checkpoint one after the other. One
    in the form of the model itself passes unchanged, so this is harmless where transformers converts.
    """
    if isinstance(model, PreTrainedModel) and not loads_saved_form(model):
        untyped: Any = model
        untyped.register_load_state_dict_pre_hook(_join_)
        setattr(model, _MARK, True)
        _load_sharded_checkpoint.start(model)


def loads_saved_form(model: nn.Module) -> bool:
    """Return whether `load_saved_form` was called with the model."""
    return hasattr(model, _MARK)


def _join_(
    model: PreTrainedModel, state_dict: dict[str, Tensor], prefix: str, metadata: dict[str, Any], *_: Any
) -> None:
    """Convert a state dict from the saved form to the model's; the pre-hook of `load_state_dict`. In place."""
    own = model.state_dict(keep_vars=True)
    if prefix or not state_dict.keys() - own.keys():
        return
    load = _open_loads.get(model) or _Load(model, own, state_dict)
    load.take_(state_dict, fill=not metadata.get("assign_to_params_buffers"))
    if model not in _open_loads:
        load.check_complete()
        state_dict.update({key: own[key] for key in load.tied()})


class _Load:
    """One checkpoint being loaded into a model, in one state dict or several.

    Attributes:
        unexpected: names that the model does not use.

    Args:
        model: the model to load into.
        own: the model's state dict, with its parameters.
        names: names of all tensors of the checkpoint.
    """

    def __init__(self, model: PreTrainedModel, own: dict[str, Tensor], names: Iterable[str]) -> None:
        self._joining = WeightJoining(model, get_model_conversion_mapping(model), own, model.base_model_prefix)
        self._own = own
        self._needless = set(model._keys_to_ignore_on_save or ())
        self._loaded: set[str] = set()
        self._key_of: dict[str, str] = {}  # name on disk -> the first key that it becomes part of
        self._names_of: dict[str, set[str]] = {}
        self._waiting: dict[str, dict[str, Tensor]] = {}
        self.unexpected: list[str] = []
        for name in names:
            key, pattern = self._joining.target(name)
            if key not in own:
                self.unexpected.append(name)
            elif key == name and pattern is None:
                self._loaded.add(name)  # by torch itself
            else:
                self._key_of[name] = key
                self._names_of.setdefault(key, set()).add(name)

    def take_(self, state_dict: dict[str, Tensor], fill: bool) -> None:
        """Remove tensors in the saved form from a state dict, and add the joined ones that are complete. In place.

        Args:
            state_dict: the whole checkpoint, or a shard.
            fill: copy complete tensors into the model at once, which avoids a second copy of all experts.
        """
        for name in [name for name in state_dict if name in self._key_of]:
            key = self._key_of[name]
            waiting = self._waiting.setdefault(key, {})
            waiting[name] = state_dict.pop(name)
            if waiting.keys() != self._names_of[key]:
                continue
            for made, tensor in self._joining.join(self._waiting.pop(key)).items():
                self._loaded.add(made)
                state_dict[made] = _filled(self._own[made], tensor) if fill and made in self._own else tensor

    def tied(self) -> list[str]:
        """Return the keys of tensors that were loaded under another name."""
        loaded = {id(self._own[key]) for key in self._loaded & self._own.keys()}
        return [key for key, tensor in self._own.items() if key not in self._loaded and id(tensor) in loaded]

    def check_complete(self) -> None:
        """Refuse a checkpoint that lacks weights of the model.

        Raises:
            ValueError: weights are missing.
        """
        missing = sorted(self._own.keys() - self._loaded - self._needless - set(self.tied()))
        if missing:
            raise ValueError(
                f"a checkpoint must hold all weights; {len(missing)} are missing, {missing[0]} for one. Resume a whole "
                "checkpoint of this model, or load this one with from_pretrained."
            )


def _filled(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Return a parameter with a tensor copied into it; the tensor itself if it does not fit, which torch refuses."""
    if parameter.shape != tensor.shape:
        return tensor
    with torch.no_grad():
        parameter.copy_(tensor)
    return parameter


def _load_shards(
    load: Callable[..., Any], model: nn.Module, folder: Any, strict: bool = True, prefer_safe: bool = True
) -> Any:
    """Load the shards of a checkpoint as parts of one; replaces `load_sharded_checkpoint`."""
    names = _names_in_index(Path(folder), prefer_safe)
    if not isinstance(model, PreTrainedModel) or not loads_saved_form(model) or names <= model.state_dict().keys():
        return load(model, folder, strict=strict, prefer_safe=prefer_safe)
    joined = _open_loads[model] = _Load(model, model.state_dict(keep_vars=True), names)
    try:
        result = load(model, folder, strict=False, prefer_safe=prefer_safe)
    finally:
        del _open_loads[model]
    joined.check_complete()
    return result._replace(missing_keys=[], unexpected_keys=joined.unexpected)  # it had compared names on disk


def _names_in_index(folder: Path, prefer_safe: bool) -> set[str]:
    """Return the names of all tensors of a sharded checkpoint; none without an index, which the loader refuses."""
    order = (SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_INDEX_NAME)
    for index in order if prefer_safe else reversed(order):
        if (folder / index).is_file():
            return set(json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"])
    return set()


_open_loads: "weakref.WeakKeyDictionary[nn.Module, _Load]" = weakref.WeakKeyDictionary()
_load_sharded_checkpoint = PatchedMethod(transformers_trainer, "load_sharded_checkpoint", _load_shards)
