"""The dtypes that parameters were trained in, so that weights which were rounded since can be told from trained ones.

`Trainer.evaluate()` and `predict()` with bf16_full_eval or fp16_full_eval cast the model itself once training is over,
as `.half()` and `.bfloat16()` do. A parameter keeps its identity through all of these, so it is what is remembered.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

_trained: WeakIdKeyDictionary = WeakIdKeyDictionary()  # parameter -> dtype


def remember_dtypes(parameters: Iterable[Tensor]) -> None:
    """Remember the dtypes that parameters have now, as those they are trained in; the first one of each counts."""
    for parameter in parameters:
        _trained.setdefault(parameter, parameter.dtype)


def rounded_weights(model: nn.Module) -> dict[str, torch.dtype]:
    """Return the parameters of a model that have lost digits since training, with the dtypes that they were trained in.

    Returns:
        {name: dtype in training}; without those whose dtype now holds every value of the one in training.
    """
    return {
        name: _trained[parameter]
        for name, parameter in model.named_parameters()
        if parameter in _trained and torch.promote_types(_trained[parameter], parameter.dtype) != parameter.dtype
    }


def describe_rounding(model: nn.Module) -> str:
    """Return in words how the weights of a model were rounded since training; "" if they were not."""
    rounded = rounded_weights(model)
    if not rounded:
        return ""
    name = next(iter(rounded))
    now = model.get_parameter(name).dtype
    return (
        f"{len(rounded)} weights were {_short(rounded[name])} when MuonClip was built and have been rounded to "
        f"{_short(now)} since, {name} for one: by evaluate() or predict() with bf16_full_eval or fp16_full_eval, or by "
        ".half(), .bfloat16() or .to(dtype)"
    )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
