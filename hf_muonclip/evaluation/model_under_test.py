"""Load a model for an evaluation, and restore one in memory afterwards."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import AutoModelForCausalLM
from transformers.utils.peft_utils import find_adapter_config_file

from ..common.wording import some_of
from ..export import load_checkpoint
from .results import StrPath


def load(
    model: PreTrainedModel | StrPath, tokenizer: PreTrainedTokenizerBase | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a causal language model and its tokenizer, loaded where a folder or a name on the Hub is given.

    A folder is loaded by `load_checkpoint`; one with an adapter, or a name on the Hub, by `from_pretrained`. A loaded
    model goes to the accelerator, where there is one. A model in memory stays where it is.

    Raises:
        ValueError: a model in memory comes without its tokenizer, or is no causal language model; a loaded one would
            have weights that are not the checkpoint's.
    """
    if not isinstance(model, PreTrainedModel):
        source = str(model)
        folder = Path(source)
        if folder.is_dir() and not (folder / "adapter_config.json").is_file():
            loaded: Any = load_checkpoint(folder)
        else:
            loaded = _load_whole(source)
        if torch.accelerator.is_available():
            loaded = loaded.to(torch.accelerator.current_accelerator())
        return loaded, AutoTokenizer.from_pretrained(source) if tokenizer is None else tokenizer
    if tokenizer is None:
        raise ValueError(f"a model in memory ({type(model).__name__}) needs its tokenizer; pass it, or pass a folder")
    if not model.can_generate() or model.config.is_encoder_decoder:
        raise ValueError(
            f"only causal language models are evaluated, got {type(model).__name__}; load a ...ForCausalLM"
        )
    return model, tokenizer


def _load_whole(source: str) -> Any:
    """Return what `from_pretrained` loads, and refuse missing weights, which it would fill at random.

    An adapter is put on its base here: `from_pretrained` reports of the adapter alone, and in older versions fails.
    """
    adapter = find_adapter_config_file(source)
    if adapter is not None:
        loaded = _load_whole(json.loads(Path(adapter).read_text(encoding="utf-8"))["base_model_name_or_path"])
        report = loaded.load_adapter(source)
        if report is not None:  # older transformers only logs it
            _refuse_random(source, report.to_dict())
        return loaded
    from_pretrained: Any = AutoModelForCausalLM.from_pretrained
    loaded, report = from_pretrained(source, output_loading_info=True)
    _refuse_random(source, report)
    return loaded


def _refuse_random(source: str, report: Mapping[str, Any]) -> None:
    """Raise ValueError if transformers reports weights that the checkpoint lacks or has in another shape."""
    found = {what: sorted(map(str, report[what])) for what in ("missing_keys", "mismatched_keys")}
    if problems := {what: keys for what, keys in found.items() if keys}:
        described = "; ".join(f"{what}: {some_of(keys)}" for what, keys in problems.items())
        raise ValueError(
            f"every weight of a model must come from its checkpoint, but transformers "
            f"reports of {source} {described}. Load a complete checkpoint; of a quantized Kimi K2, pass the folder of "
            "huggingface_hub.snapshot_download"
        )


@contextmanager
def measuring(model: PreTrainedModel) -> Iterator[None]:
    """Switch off dropout and gradients inside the block; every module's training flag is restored.

    Not inference mode: tensors that a model caches there, such as rotary frequencies, could not be trained through.
    """
    were_training = [module for module in model.modules() if module.training]
    model.eval()  # type: ignore[no-untyped-call]
    try:
        with torch.no_grad():
            yield
    finally:
        for module in were_training:
            module.training = True


def leading_special_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens that a tokenizer puts in front of a text by itself, such as the beginning-of-text token."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    leading = []
    for token, special in zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True):
        if not special:
            break
        leading.append(token)
    return leading


def context_limit(model: PreTrainedModel) -> int | None:
    """Return the maximum number of positions of a model's configuration; None if it names no limit."""
    limit = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None
