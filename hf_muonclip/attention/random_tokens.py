"""Call a model on a few random tokens, to see how it behaves."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

_LENGTH = 8  # tokens; enough that no score is special
_DECODER_LENGTH = 5
_LABELS = ("labels", "targets")


def call_model(model: nn.Module, inputs: Mapping[str, Any] | None = None) -> None:
    """Run a forward on the given inputs, or else on a few random tokens, with labels where it does not run without.

    Raises:
        ValueError: the model takes no tokens. What a forward raises is passed on.
    """
    if inputs is not None:
        model(**inputs)
        return
    embedding = _embedding(model)
    generator = torch.Generator().manual_seed(0)

    def draw(length: int) -> Tensor:
        # The first thousand tokens hold no placeholders for images or sounds in the models that have them.
        tokens = torch.randint(min(embedding.num_embeddings, 1000), (1, length), generator=generator)
        return tokens.to(embedding.weight.device)

    made: dict[str, Any] = {"input_ids": draw(_LENGTH)}
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        made["decoder_input_ids"] = draw(_DECODER_LENGTH)
    made["use_cache"] = False
    parameters = inspect.signature(model.forward).parameters
    labels = next((name for name in _LABELS if name in parameters), None)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        first = next(iter(parameters), "input_ids")
        if "input_ids" not in parameters:  # a model of one's own may call its tokens as it likes
            made[first] = made.pop("input_ids")
        made = {name: value for name, value in made.items() if name in parameters}
    try:
        model(**made)
    except Exception:  # whatever a model raises that computes its loss in any case
        if labels is None:
            raise
        tokens = made.get("decoder_input_ids", next(iter(made.values())))
        model(**made, **{labels: tokens})


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
            f"the proof feeds random tokens to one nn.Embedding; {type(model).__name__} takes its input through "
            f"{'nothing of the kind' if embedding is None else 'a ' + type(embedding).__name__}. Pass the arguments of "
            "a forward as inputs={...}."
        )
    return embedding
