"""Which tokens are padding in the forward under way, as the model was told by a 2-D attention mask.

A model is entered in many ways: as a whole, by the base model under its head, by an encoder alone, in evaluation
between two micro-batches, or layer by layer where gradient checkpointing runs a forward again. What one forward was
told holds for that forward alone: it is stored when the forward begins, removed when it ends, also by an exception, and
found again when a checkpoint repeats a part of it.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from .recomputation import backward_under_way


@dataclass(eq=False)
class Forward:
    """One forward of a model, or of a model inside it.

    Attributes:
        padding: (batch, length), bool; where its tokens are padding; None if it was not told.
        has_gradients: whether it was entered with gradients on, so that a checkpoint may repeat parts of it.
    """

    padding: Tensor | None
    has_gradients: bool


class ToldPadding:
    """Follows the forwards of a model, until `close`.

    Args:
        model: wrapped or not; None for none.
    """

    def __init__(self, model: nn.Module | None) -> None:
        self._under_way: list[tuple[nn.Module, Forward]] = []
        # The forwards of checkpointed layers, by the address of a layer's input, which its checkpoint keeps alive.
        self._to_repeat: dict[int, Forward] = {}
        self._repeated: tuple[int, Forward] | None = None  # which forward the backward of this number is repeating
        self._handles: list[RemovableHandle] = []
        for module in () if model is None else model.modules():
            if module is model or isinstance(module, PreTrainedModel):
                enter: _Hook = _EnterModel(self, module)
            elif isinstance(module, GradientCheckpointingLayer):
                # A checkpoint repeats the layer's forward alone: of hooks then only those inside of the layer run.
                self._handles.append(module.register_forward_pre_hook(_EnterLayer(self), with_kwargs=True))
                for child in module.children():
                    self._handles.append(child.register_forward_pre_hook(_RepeatLayer(self), with_kwargs=True))
                continue
            else:
                continue
            self._handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            self._handles.append(module.register_forward_hook(_Leave(self), always_call=True))

    @property
    def forward(self) -> Forward | None:
        """The innermost running forward, or the one that a checkpoint repeats; None outside of one."""
        if self._under_way:
            return self._under_way[-1][1]
        if self._repeated is not None and self._repeated[0] == backward_under_way():
            return self._repeated[1]
        return None

    @property
    def padding(self) -> Tensor | None:
        """(batch, length), bool; padding in the running forward; None outside of one, and if none was given."""
        return None if self.forward is None else self.forward.padding

    def forget(self) -> None:
        """Forget all forwards, finished and running."""
        self._to_repeat.clear()
        self._repeated = None
        self._under_way.clear()

    def close(self) -> None:
        """Remove all hooks from the model. Idempotent."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.forget()

    def enter(self, module: nn.Module, given: Mapping[str, Any]) -> None:
        """Begin a forward of a model that is called with these arguments."""
        told = given.get("decoder_attention_mask")
        if told is None:
            told = given.get("attention_mask")
        outer = self.forward
        if isinstance(told, Tensor) and told.ndim == 2:
            forward = Forward(told == 0, torch.is_grad_enabled())
        elif outer is None or ("attention_mask" in given and told is None):
            forward = Forward(None, torch.is_grad_enabled())
        else:  # a model inside of one that knows
            forward = outer
        self._under_way.append((module, forward))

    def enter_layer(self, module: nn.Module, states: Tensor) -> None:
        """Remember to which forward a layer's input belongs, where a checkpoint may repeat the layer."""
        forward = self.forward
        may_repeat = module.training and getattr(module, "gradient_checkpointing", True)
        if may_repeat and forward is not None and forward.has_gradients and backward_under_way() is None:
            self._to_repeat[states.data_ptr()] = forward

    def repeat_layer(self, states: Tensor) -> None:
        """Find the forward of a layer that is run again inside backward, by the input that its first child is given."""
        number = backward_under_way()
        if number is not None and states.data_ptr() in self._to_repeat:
            self._repeated = (number, self._to_repeat.pop(states.data_ptr()))

    def leave(self, module: nn.Module) -> None:
        """End the forward that a module began, if it did: another hook may have raised before."""
        if self._under_way and self._under_way[-1][0] is module:
            self._under_way.pop()


class _Hook:
    def __init__(self, told: ToldPadding | None, module: nn.Module | None = None) -> None:
        self.told = told
        kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = () if module is None else inspect.signature(module.forward).parameters.values()
        self.names = [parameter.name for parameter in parameters if parameter.kind in kinds]

    def __reduce__(self) -> tuple[type, tuple[None]]:
        return type(self), (None,)  # nobody follows a copied or pickled model

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any = None) -> None:
        raise NotImplementedError


class _EnterModel(_Hook):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any = None) -> None:
        if self.told is not None:
            # Not by zip(strict=False), whose strict=False the compiler of torch 2.9 takes for true.
            named = {name: args[place] for place, name in enumerate(self.names[: len(args)])}
            self.told.enter(module, named | kwargs)


class _EnterLayer(_Hook):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any = None) -> None:
        states = args[0] if args else kwargs.get("hidden_states")
        if self.told is not None and type(states) is Tensor and not torch.compiler.is_compiling():
            self.told.enter_layer(module, states)


class _RepeatLayer(_Hook):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any = None) -> None:
        states = args[0] if args else kwargs.get("hidden_states")
        if self.told is not None and type(states) is Tensor and not torch.compiler.is_compiling():
            self.told.repeat_layer(states)


class _Leave(_Hook):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any = None) -> None:
        if self.told is not None:
            self.told.leave(module)
