"""The first batch that a model trains on, kept until the first step, to see on it which modules attend.

A few tokens do not show all: a model may take images, or attend otherwise in training. The model runs once more on the
batch, when the first step is due and nothing of a forward or a backward is under way.
"""

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch import nn
from transformers import Cache

from .attending import see_attending
from .class_source import is_foreign, own_class


class FirstBatch:
    """Keeps the arguments of a model's first forward in training mode and with gradients.

    Attributes:
        call: (args, kwargs) of that forward; None until then.
    """

    def __init__(self, model: nn.Module) -> None:
        self.call: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._model = model
        self._handle = model.register_forward_pre_hook(_KeepCall(self), with_kwargs=True)

    def close(self) -> None:
        """Release the batch and remove the hook from the model. Idempotent."""
        self._handle.remove()
        self.call = None

    def unmeasured(self, measured: Collection[str]) -> dict[str, str]:
        """Return {module name: class} of the modules that attend on the batch, are trained, and are not measured.

        Collective where the model is sharded: call on every rank.

        Args:
            measured: names of the modules whose logits were measured.
        """
        if self.call is None:
            return {}
        (args, kwargs), self.call = self.call, None
        attended = see_attending(self._model, lambda: self._model(*args, **kwargs)).attended
        modules = {name: self._model.get_submodule(name) for name in sorted(attended - set(measured))}
        return {name: own_class(module).__name__ for name, module in modules.items() if _is_trained(module)}


def needs_first_batch(model: nn.Module) -> bool:
    """Return whether a model has code whose attention is known from a few tokens alone, or not at all."""
    partitioned = any(hasattr(parameter, "ds_id") for parameter in model.parameters())  # by DeepSpeed's engine
    return not partitioned and any(is_foreign(module) for module in model.modules())


class _KeepCall:
    def __init__(self, batch: FirstBatch | None) -> None:
        self.batch = batch

    def __reduce__(self) -> tuple[type, tuple[None]]:
        return type(self), (None,)  # a copied or pickled model keeps nothing

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.compiler.is_compiling() or self.batch is None or self.batch.call is not None:
            return
        if module.training and torch.is_grad_enabled():
            self.batch.call = (
                tuple(copy.deepcopy(a) if isinstance(a, Cache) else a for a in args),
                {name: copy.deepcopy(a) if isinstance(a, Cache) else a for name, a in kwargs.items()},
            )


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad and parameter.grad is not None for parameter in module.parameters())
