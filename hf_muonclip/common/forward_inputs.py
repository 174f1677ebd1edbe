"""Inputs that a forward may run on, guessed from its signature and from the module that reads them first.

They have shapes and dtypes, but no values: they are on the meta device, and the caller fills them.
"""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_BATCH, _LENGTH = 2, 8
_SHORT = 64  # frames of a spectrogram that any encoder takes
_INTEGERS = re.compile(r"mask|ids?$|idx|token|labels?$|targets?$")


def guessed_inputs(model: nn.Module) -> Iterator[dict[str, Any]]:
    """Yield keyword arguments that the forward of a model may take, the likeliest first; all tensors on "meta"."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    names = {parameter.name for parameter in parameters}
    main = getattr(model, "main_input_name", None)
    if isinstance(main, str) and main in names:
        yield from _of_pretrained(model, main, names)
        return
    required = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    if not required and parameters:  # forward(**batch), or optional arguments alone
        takes_any = parameters[-1].kind is parameters[-1].VAR_KEYWORD
        required = ["input_ids"] if "input_ids" in names or takes_any else [parameters[0].name]
    for guess in _of_first_module(model):
        yield {name: _integers(_BATCH, _LENGTH) if _INTEGERS.search(name) else guess for name in required}


def _of_first_module(model: nn.Module) -> Iterator[Tensor]:
    """Yield what the first modules of a model read."""
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            yield _integers(_BATCH, _LENGTH)
            return
        if isinstance(module, nn.Conv2d):
            for size in (_image_size(model), 32, 64, 224):
                if size:
                    yield _floats(_BATCH, module.in_channels, size, size)
            return
        if isinstance(module, nn.Conv1d):
            for length in (64, 3000, 16000):
                yield _floats(_BATCH, module.in_channels, length)
            return
        width = getattr(module, "in_features", None)
        if isinstance(width, int):
            yield _floats(_BATCH, width)
            yield _floats(_BATCH, _LENGTH, width)
            return


def _of_pretrained(model: nn.Module, main: str, names: set[str]) -> Iterator[dict[str, Any]]:
    """Yield inputs of a transformers model by the names of its main inputs."""
    config: Any = getattr(model, "config", None)
    tokens = {"input_ids": _integers(_BATCH, _LENGTH)}
    decoder = {"decoder_input_ids": _integers(_BATCH, _LENGTH)} if "decoder_input_ids" in names else {}
    image = {}
    if "pixel_values" in names:
        size, channels = _image_size(model) or 224, _found(config, "num_channels") or 3
        image = {"pixel_values": _floats(_BATCH, channels, size, size)}
    video = {}
    if "pixel_values_videos" in names:
        frames = _found(config, "num_frames") or _found(config, "frames_per_clip") or 4
        size, channels = _image_size(model) or 224, _found(config, "num_channels") or 3
        video = {"pixel_values_videos": _floats(_BATCH, frames, channels, size, size)}
    sound: list[dict[str, Any]] = []
    if "input_features" in names:
        bins = _found(config, "num_mel_bins") or 80
        length = 2 * (_found(config, "max_source_positions") or 1500)
        shapes = ((bins, length), (length, bins), (_SHORT, bins))
        sound = [{"input_features": _floats(_BATCH, *shape)} for shape in shapes]
    if "input_values" in names:
        sound += [{"input_values": _floats(_BATCH, 16000)}, {"input_values": _floats(_BATCH, 1, 16000)}]
    if main == "input_ids":
        yield tokens | decoder
        if image:
            yield tokens | decoder | image
    elif main == "pixel_values":
        yield image | (tokens if "input_ids" in names else {}) | decoder
        yield image
    elif main == "pixel_values_videos":
        yield video
    elif main in ("input_features", "input_values"):
        for heard in sound:
            yield heard | decoder
    elif main == "inputs_embeds":
        width = _found(config, "hidden_size") or 0
        yield {"inputs_embeds": _floats(_BATCH, _LENGTH, width)}
    elif main == "inputs":
        yield {"inputs": _integers(_BATCH, _LENGTH)}


def _image_size(model: nn.Module) -> int | None:
    for owner in (getattr(model, "config", None), model, *model.children()):
        size = _found(owner, "image_size") or _found(owner, "img_size")
        if size:
            return size
    return None


def _found(config: Any, name: str) -> int | None:
    """Return a size that a config or one of the configs inside it states."""
    for owner in (config, *(getattr(config, key, None) for key in getattr(config, "sub_configs", ()) or ())):
        value = getattr(owner, name, None)
        if isinstance(value, list | tuple) and value:
            value = value[-1]
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _integers(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.int64, device="meta")


def _floats(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")
