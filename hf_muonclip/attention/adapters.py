"""The state of PEFT's adapters: which are active, merged into their base, or switched off.

Layers are recognized by their attributes, so PEFT need not be installed.
"""

from collections.abc import Iterator
from typing import Any

from torch import nn

from ..common.wording import some_of


def adapter_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield path and module of every layer that PEFT put around another: adapters, and copies to be saved."""
    for name, module in model.named_modules():
        children = module._modules  # not hasattr(): PEFT's wrappers answer for the module inside them
        if ("base_layer" in children or "original_module" in children) and hasattr(module, "active_adapters"):
            yield name, module


def adapter_method(layer: nn.Module) -> str:
    """Return PEFT's name of the method that a layer belongs to, as in `peft.tuners`; "" for any other layer."""
    package = type(layer).__module__.split(".")
    return package[2] if package[:2] == ["peft", "tuners"] and len(package) > 2 else ""


class AdapterWatch:
    """Remembers which adapters of a model were active at construction, to notice changes.

    Args:
        model: with or without adapters; without any, no change is ever found.
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = dict(adapter_layers(model))
        self._first = next(iter(self._layers.values()), None)
        self._before = {name: _standing(layer) for name, layer in self._layers.items()}

    @property
    def found(self) -> bool:
        """Whether the model has adapters."""
        return self._first is not None

    @property
    def switched_off(self) -> bool:
        """Whether adapters are off now, as inside `disable_adapter()`, which switches all of a model at once."""
        return self._first is not None and bool(self._first.disable_adapters)

    def change(self) -> str:
        """Return in words what has changed since construction; "" if nothing has."""
        for name, layer in self._layers.items():
            now = _standing(layer)
            if now != self._before[name]:
                return f"{name} had {_said(self._before[name])}, and now has {_said(now)}"
        return ""

    def additions(self, model: nn.Module) -> str:
        """Return which layers with weights to train were put into the model since, in words; "" if none."""
        added = [
            name
            for name, layer in adapter_layers(model)
            if layer is not self._layers.get(name) and any(p.requires_grad for p in layer.parameters())
        ]
        return f"since then the model was given {some_of(added, 1)}" if added else ""


def _standing(layer: Any) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Return the active adapters, the merged ones, and whether all are off."""
    return tuple(layer.active_adapters), tuple(getattr(layer, "merged_adapters", ())), bool(layer.disable_adapters)


def _said(standing: tuple[tuple[str, ...], tuple[str, ...], bool]) -> str:
    active, merged, off = standing
    said = f"adapters {list(active)} active" if active else "no adapter active"
    if merged:
        said += f", {list(merged)} merged into the base"
    return f"{said}, all switched off" if off else said
