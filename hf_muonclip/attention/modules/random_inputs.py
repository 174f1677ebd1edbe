"""Call a model on a few random tokens, an image, a video or a sound, to see how it behaves."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ...common.forward_inputs import guessed_inputs

_LENGTH = 8  # tokens; enough that no score is special
_DECODER_LENGTH = 5
_LABELS = ("labels", "targets")


def call_model(model: nn.Module, inputs: Mapping[str, Any] | None = None) -> None:
    """Run a forward on the given inputs, or else on random ones, with labels where it does not run without.

    Raises:
        ValueError: the model takes neither tokens nor an image, a video or a sound. What a forward raises is passed on.
    """
    if inputs is not None:
        model(**inputs)
        return
    generator = torch.Generator().manual_seed(0)
    if _takes_tokens(model):
        _run_with_labels(model, _tokens(model, generator))
        return
    failure: Exception = ValueError(
        f"detection feeds random tokens, pixels or sounds; {type(model).__name__} takes {_main_input(model)}."
    )
    for guess in guessed_inputs(model):
        try:
            _run_with_labels(model, {name: _filled(model, like, generator) for name, like in guess.items()})
            return
        except Exception as error:  # whatever a model raises on inputs of another shape
            failure = error
    raise failure


def _run_with_labels(model: nn.Module, made: dict[str, Any]) -> None:
    """Run a forward, and again with labels where it does not run without."""
    parameters = inspect.signature(model.forward).parameters
    labels = next((name for name in _LABELS if name in parameters), None)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        first = next(iter(parameters), "input_ids")
        if "input_ids" in made and "input_ids" not in parameters:  # a model of one's own calls its tokens as it likes
            made[first] = made.pop("input_ids")
        made = {name: value for name, value in made.items() if name in parameters}
    try:
        model(**made)
    except Exception:  # whatever a model raises that computes its loss in any case
        if labels is None:
            raise
        tokens = made.get("decoder_input_ids", next(iter(made.values())))
        model(**made, **{labels: tokens})


def _main_input(model: nn.Module) -> str:
    name: str = getattr(model, "main_input_name", "input_ids")
    return name


def _takes_tokens(model: nn.Module) -> bool:
    """Return whether a model says that it takes tokens; one of the user's own does."""
    return _main_input(model) == "input_ids" and (
        "input_ids" in inspect.signature(model.forward).parameters or not isinstance(model, PreTrainedModel)
    )


def _tokens(model: nn.Module, generator: torch.Generator) -> dict[str, Any]:
    embedding = _embedding(model)
    made: dict[str, Any] = {"input_ids": _draw_tokens(embedding, (1, _LENGTH), generator)}
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        made["decoder_input_ids"] = _draw_tokens(embedding, (1, _DECODER_LENGTH), generator)
    return {**made, "use_cache": False}


def _draw_tokens(embedding: nn.Embedding, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    # The first thousand tokens hold no placeholders for images or sounds in the models that have them.
    tokens = torch.randint(min(embedding.num_embeddings, 1000), shape, generator=generator)
    return tokens.to(embedding.weight.device)


def _filled(model: nn.Module, like: Tensor, generator: torch.Generator) -> Tensor:
    """Return random tokens, pixels or samples in the shape of a tensor without values."""
    if not like.is_floating_point():
        return _draw_tokens(_embedding(model), like.shape, generator)
    weight = next(parameter for parameter in model.parameters() if parameter.is_floating_point())
    return torch.rand(like.shape, generator=generator).to(weight.device, weight.dtype)


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
    while isinstance(embedding, nn.Module) and embedding._modules.keys() & {"base_layer", "original_module"}:  # PEFT's
        embedding = embedding._modules.get("base_layer") or embedding._modules["original_module"]
    if not isinstance(embedding, nn.Embedding):
        raise ValueError(
            f"detection feeds random tokens to one nn.Embedding; {type(model).__name__} takes its input through "
            f"{'nothing of the kind' if embedding is None else 'a ' + type(embedding).__name__}."
        )
    return embedding
