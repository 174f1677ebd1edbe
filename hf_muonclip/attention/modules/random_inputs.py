"""Call a model on a few random tokens, an image, a video or a sound, to see how it behaves."""

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

_LENGTH = 8  # tokens; enough that no score is special
_DECODER_LENGTH = 5
_LABELS = ("labels", "targets")
_PERCEIVED = ("pixel_values", "pixel_values_videos", "input_features", "input_values")
_SAMPLES = 4000  # of a waveform, a quarter of a second
_FRAMES = 64  # of a spectrogram
_IMAGE_SIZE = 64  # pixels, where the config names none
# What configs call the width of a spectrogram's frame, in the order of trust.
_FRAME_WIDTHS = ("num_mel_bins", "input_feat_per_channel", "feature_size", "input_dim")


def call_model(model: nn.Module, inputs: Mapping[str, Any] | None = None) -> None:
    """Run a forward on the given inputs, or else on random ones, with labels where it does not run without.

    Raises:
        ValueError: the model takes neither tokens nor an image, a video or a sound. What a forward raises is passed on.
    """
    if inputs is not None:
        model(**inputs)
        return
    generator = torch.Generator().manual_seed(0)
    parameters = inspect.signature(model.forward).parameters
    main = _main_input(model, parameters)
    made = _tokens(model, generator) if main == "input_ids" else _perceived(model, main, generator)
    if _is_encoder_decoder(model) and (main == "input_ids" or "decoder_input_ids" in parameters):
        made["decoder_input_ids"] = _draw_tokens(_embedding(model), _DECODER_LENGTH, generator)
    labels = next((name for name in _LABELS if name in parameters), None)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        first = next(iter(parameters), "input_ids")
        if (
            "input_ids" in made and "input_ids" not in parameters
        ):  # a model of one's own may call its tokens as it likes
            made[first] = made.pop("input_ids")
        made = {name: value for name, value in made.items() if name in parameters}
    try:
        model(**made)
    except Exception:  # whatever a model raises that computes its loss in any case
        tokens = next((made[name] for name in ("decoder_input_ids", "input_ids") if name in made), None)
        if labels is None or tokens is None:
            raise
        model(**made, **{labels: tokens})


def _main_input(model: nn.Module, parameters: Collection[str]) -> str:
    """Return what a model takes: as it says, or as the parameters of its forward are called where that is not true."""
    stated: str = getattr(model, "main_input_name", "input_ids")
    if stated in parameters:
        return stated
    return next((name for name in _PERCEIVED if name in parameters), stated)


def _tokens(model: nn.Module, generator: torch.Generator) -> dict[str, Any]:
    return {"input_ids": _draw_tokens(_embedding(model), _LENGTH, generator), "use_cache": False}


def _draw_tokens(embedding: nn.Embedding, length: int, generator: torch.Generator) -> Tensor:
    # The first thousand tokens hold no placeholders for images or sounds in the models that have them.
    tokens = torch.randint(min(embedding.num_embeddings, 1000), (1, length), generator=generator)
    return tokens.to(embedding.weight.device)


def _is_encoder_decoder(model: nn.Module) -> bool:
    return bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))


def _perceived(model: nn.Module, name: str, generator: torch.Generator) -> dict[str, Any]:
    """Return an image, a video or a sound of the sizes that the config names."""
    config = getattr(model, "config", None)
    size: Any = _stated(config, ("image_size",)) or _IMAGE_SIZE
    image = (_stated(config, ("num_channels", "in_channels")) or 3, *((size, size) if isinstance(size, int) else size))
    frame = _stated(config, _FRAME_WIDTHS)
    shapes = (
        image,
        (_stated(config, ("num_frames", "frames_per_clip")) or 4, *image),
        (_FRAMES, frame) if frame else None,
        (_SAMPLES,),
    )
    shape = dict(zip(_PERCEIVED, shapes, strict=True)).get(name)
    if shape is None:
        raise ValueError(f"detection feeds random tokens, pixels or sounds; {type(model).__name__} takes {name}.")
    like = next(parameter for parameter in model.parameters() if parameter.is_floating_point())
    return {name: torch.rand((1, *shape), generator=generator).to(like.device, like.dtype), "use_cache": False}


def _stated(config: Any, names: Sequence[str]) -> Any:
    """Return the first of these fields that a config or a config inside of it has; None if none has."""
    for name in names:
        if getattr(config, name, None):
            return getattr(config, name)
    inner = (value for value in vars(config).values() if isinstance(value, PretrainedConfig)) if config else ()
    return next((found for value in inner if (found := _stated(value, names))), None)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put every module into evaluation mode inside the block."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _embedding(model: nn.Module) -> nn.Embedding:
    embedding: Any = None
    if hasattr(model, "get_input_embeddings"):
        with suppress(AttributeError, NotImplementedError):
            embedding = model.get_input_embeddings()  # type: ignore[operator]
    else:
        embedding = next((module for module in model.modules() if isinstance(module, nn.Embedding)), None)
    while embedding is not None and embedding._modules.keys() & {"base_layer", "original_module"}:  # PEFT's
        embedding = embedding._modules.get("base_layer") or embedding._modules["original_module"]
    if not isinstance(embedding, nn.Embedding):
        raise ValueError(
            f"detection feeds random tokens to one nn.Embedding; {type(model).__name__} takes its input through "
            f"{'nothing of the kind' if embedding is None else 'a ' + type(embedding).__name__}."
        )
    return embedding
